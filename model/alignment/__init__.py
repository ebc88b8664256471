"""Finds how the exposures of a pair lie on each other."""
