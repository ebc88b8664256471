"""Reads what a file says of its colours, and brings them to sRGB."""
