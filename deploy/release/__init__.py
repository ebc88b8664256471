"""What a release must pass, and the files that are written for it."""
