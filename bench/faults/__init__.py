"""What is done to a running service to see that it loses nothing, for `python -m bench faults`."""
