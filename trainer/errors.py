"""Errors of the trainer; they continue the tree of `model/errors.py`."""

from model.errors import FusionError


class TrainerError(FusionError):
    """Base of the trainer's own errors."""

    code = "trainer-error"


class ConfigError(TrainerError):
    """The training config has an unknown key or a value out of range."""

    code = "config-invalid"


class DataError(TrainerError):
    """A file of the training data is not what it should be."""

    code = "data-invalid"


class RunError(TrainerError):
    """A run folder does not fit the command: another config, no checkpoint."""

    code = "run-mismatch"


class SceneError(TrainerError):
    """A bracket of photographs cannot become training data.

    Attributes:
        reason: Why, from the closed set `trainer.data.preparation.scenes.Reason`.
    """

    code = "scene-refused"

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
