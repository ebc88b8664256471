"""Guards: faults of a fused picture that quality metrics do not see."""
