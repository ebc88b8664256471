"""Ablations: a file of questions, each answered by arms that differ in one point."""
