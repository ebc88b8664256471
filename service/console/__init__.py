"""The command `expofuse`."""
