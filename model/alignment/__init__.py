"""Finds how the exposures lie on each other, and brings one onto the other."""
