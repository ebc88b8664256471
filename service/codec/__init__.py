"""Encoded files to pixels and back, in processes that may be killed at any time."""
