"""Makes shoots whose brackets are known: generated files with the headers of several makers."""
