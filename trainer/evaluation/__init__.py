"""Compares weights with other methods on full-resolution pictures, fused as the service does."""

from trainer.evaluation.methods.weights import WeightsMethod
from trainer.evaluation.pairs import EvaluationPair, list_pairs
from trainer.evaluation.report.summary import Summary, read_summary
from trainer.evaluation.run import evaluate

__all__ = [
    "EvaluationPair",
    "Summary",
    "WeightsMethod",
    "evaluate",
    "list_pairs",
    "read_summary",
]
