"""Released weights: save, verify, load and describe them."""
