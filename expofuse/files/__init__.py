"""Reads and writes picture files, the same for every way into the project."""
