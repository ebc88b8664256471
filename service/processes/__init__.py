"""Child processes and the memory that they share with the event loop's process."""
