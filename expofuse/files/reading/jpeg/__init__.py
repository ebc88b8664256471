"""Decodes JPEG streams strictly, after what is harmless in them was mended."""
