"""Picture files: what they are, and their pixels; the same for every way into the project."""
