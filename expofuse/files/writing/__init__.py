"""Encodes pixels to picture files."""
