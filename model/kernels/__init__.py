"""Compiled arithmetic: C that `setup.py` compiles, and the library that this machine can run."""
