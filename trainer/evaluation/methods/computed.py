"""Makes the methods that are computed on the spot: Mertens, the plain mean, enfuse."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model.exposure import Pixels
from trainer.errors import DataError
from trainer.evaluation.methods.enfuse import find_enfuse
from trainer.evaluation.methods.mertens import MertensMethod
from trainer.evaluation.methods.method import Method
from trainer.evaluation.scenes import EvaluationScene, Sources

METHODS = ("mertens", "mertens-aligned", "mertens-mtb", "mean", "enfuse")
"""What can be computed on the spot."""


@dataclass(frozen=True, slots=True)
class MeanMethod:
    """The plain mean of all exposures, halves rounded up."""

    label: str = "mean"

    def applies_to(self, scene: EvaluationScene) -> bool:
        """See `Method.applies_to`."""
        return True

    def fingerprint(self, scene: EvaluationScene) -> str:
        """See `Method.fingerprint`."""
        return "mean, halves up"

    def fuse(self, sources: Sources) -> Pixels:
        """See `Method.fuse`."""
        exposures = sources.exposures.exposures
        total: NDArray[np.uint32] = np.sum(exposures, axis=0, dtype=np.uint32)
        mean: NDArray[np.uint32] = (total + len(exposures) // 2) // len(exposures)
        is_deep = exposures[0].dtype == np.uint16
        return mean.astype(np.uint16) if is_deep else mean.astype(np.uint8)


def make_methods(names: Sequence[str]) -> tuple[list[Method], list[str]]:
    """Make the methods that are computed on the spot.

    Args:
        names: Of `METHODS`.

    Returns:
        The methods in this order, and the names of those that this machine has not.

    Raises:
        DataError: A name is none of these.
    """
    methods: list[Method] = []
    missing: list[str] = []
    for name in names:
        match name:
            case "mean":
                methods.append(MeanMethod())
            case "mertens":
                methods.append(MertensMethod())
            case "mertens-aligned":
                methods.append(MertensMethod(name, alignment="service"))
            case "mertens-mtb":
                methods.append(MertensMethod(name, alignment="mtb"))
            case "enfuse":
                enfuse = find_enfuse()
                methods += [] if enfuse is None else [enfuse]
                missing += [name] if enfuse is None else []
            case _:
                raise DataError(f"expected methods of {', '.join(METHODS)}, got '{name}'")
    return methods, missing
