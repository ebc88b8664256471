"""Training triples: an under, a correct and an over exposure of one scene."""
