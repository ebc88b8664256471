"""Turns a tree of photographs into training data."""
