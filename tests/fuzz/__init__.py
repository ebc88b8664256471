"""Damaged files of every format that is read, for the decoders that must answer each of them."""
