"""One training run: its loop, its folder, its validation and its end."""
