"""Decodes picture files to upright RGB pixels in sRGB."""
