"""Compares weights with other methods on full-resolution pictures, fused as the service does."""

from trainer.evaluation.methods.runs import RunMethod
from trainer.evaluation.methods.weights import WeightsMethod
from trainer.evaluation.report.summary import Summary, read_summary
from trainer.evaluation.run import evaluate
from trainer.evaluation.scenes import EvaluationScene, list_scenes

__all__ = [
    "EvaluationScene",
    "RunMethod",
    "Summary",
    "WeightsMethod",
    "evaluate",
    "list_scenes",
    "read_summary",
]
