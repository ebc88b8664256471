"""Evaluation of weights beside other methods, on full-resolution pictures of the service's path."""

from trainer.evaluation.pairs import EvaluationPair, list_pairs
from trainer.evaluation.run import evaluate
from trainer.evaluation.summary import Summary, read_summary
from trainer.evaluation.weights_method import WeightsMethod

__all__ = [
    "EvaluationPair",
    "Summary",
    "WeightsMethod",
    "evaluate",
    "list_pairs",
    "read_summary",
]
