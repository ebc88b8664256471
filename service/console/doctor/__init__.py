"""Examines an installation: what is there, what is wrong, how to mend it."""
