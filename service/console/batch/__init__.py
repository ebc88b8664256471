"""Fuses the brackets of a whole shoot, a bracket at a time, and remembers what is done."""
