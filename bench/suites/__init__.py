"""The suites of `python -m bench`, one in a file; each has a `run` that measures within a scope."""
