"""What a column of the result tables is: something that gives one picture for a scene."""

from typing import Protocol

from model.exposure import Pixels
from trainer.evaluation.scenes import EvaluationScene, Sources


class Method(Protocol):
    """A column of the result tables.

    Instances cross to the worker processes.
    """

    @property
    def label(self) -> str:
        """Name of the column and of the folder of its pictures."""
        ...

    def applies_to(self, scene: EvaluationScene) -> bool:
        """Whether there is a picture of this scene at all."""
        ...

    def fingerprint(self, scene: EvaluationScene) -> str:
        """What, besides the exposures, decides the picture: equal only for equal pictures."""
        ...

    def fuse(self, sources: Sources) -> Pixels:
        """The picture, at the size of the exposures. Shape (H, W, 3), uint8 or uint16."""
        ...
