"""API keys: the file that lists them, how they are recognised, what each may ask for."""
