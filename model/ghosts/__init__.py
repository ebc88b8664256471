"""Finds what moved in a stack of exposures, and replaces it by what the reference shows."""
