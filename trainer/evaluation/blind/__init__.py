"""Comparison of methods by people who do not know which is which."""
