"""The command line of the trainer, a file for each command."""
