"""Reads and writes ordinary JPEG files on a GPU; everything else is left to the ways of the CPU."""
