"""Damaged files of every format that is read, and damaged requests: all must be answered."""
