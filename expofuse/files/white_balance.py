"""Says whose white balance is for all raw files of a stack."""

from collections.abc import Sequence

WhiteBalance = tuple[float, ...]
"""Factors of red, green, blue and the second green."""


def choose_balanced(raws: Sequence[int], *, wanted: int | None) -> int:
    """Which raw file's white balance is for all: the reference's where it was asked for.

    Args:
        raws: Indices of the raw files of a stack, at least one, as given.
        wanted: Index of the reference that was asked for; None where none was.

    Example:
        >>> choose_balanced([0, 1, 2], wanted=None), choose_balanced([0, 2], wanted=2)
        (1, 2)
    """
    return wanted if wanted is not None and wanted in raws else raws[len(raws) // 2]
