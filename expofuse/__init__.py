"""Multi-exposure image fusion: many exposures of one scene in, one well-exposed picture out."""
