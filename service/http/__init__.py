"""Everything that speaks HTTP: the routes, what clients send, and what they get back."""
