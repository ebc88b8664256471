"""Fuses an exposure pair on arrays: finds how the exposures lie on each other, runs a pipeline.

Loads neither torch nor a network by itself: a process that only aligns needs neither.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from model.alignment.estimate import align_pair
from model.errors import AlignmentError
from model.exposure import AlignmentReport, AlignMode, ExposurePair, Pixels, Reference

if TYPE_CHECKING:
    from model.pipeline import FusionPipeline


class FindAlignment(Protocol):
    """Finds how the exposures of a pair lie on each other, as `align_pair` does."""

    def __call__(self, pair: ExposurePair, *, reference: Reference) -> AlignmentReport:
        """See `align_pair`."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Fusion:
    """A fused picture and how it came about.

    Attributes:
        picture: The picture, at the size and of the type of the exposures. Shape (H, W, 3).
        alignment: What alignment found; None when it was not asked for.
    """

    picture: Pixels
    alignment: AlignmentReport | None


def fuse_pair(
    pair: ExposurePair,
    pipeline: "FusionPipeline",
    *,
    align: AlignMode = "auto",
    reference: Reference = "over",
    find_alignment: FindAlignment = align_pair,
) -> Fusion:
    """Align the exposures of a pair and fuse them.

    Args:
        pair: The exposures.
        pipeline: Weights on a device.
        align: `auto` warps nothing where no homography passes the gates, `off` does not look for
            one, `require` refuses such a pair.
        reference: The exposure that stays where it is; the weights' manifest says which.
        find_alignment: What finds the homography. A caller that fuses one pair by several weights
            gives a function that remembers it.

    Returns:
        The picture and the alignment.

    Raises:
        AlignmentError: `require`, and no homography passes the gates.
        InferenceError: The computation failed.
    """
    report = align_as_asked(pair, mode=align, reference=reference, find_alignment=find_alignment)
    return Fusion(pipeline.fuse(pair, report), report)


def align_as_asked(
    pair: ExposurePair,
    *,
    mode: AlignMode,
    reference: Reference = "over",
    find_alignment: FindAlignment = align_pair,
) -> AlignmentReport | None:
    """Align the exposures of a pair in one of the three modes.

    Args:
        pair: The exposures.
        mode: See `fuse_pair`, as the others.
        reference: See there.
        find_alignment: See there.

    Returns:
        What was found; None when the mode is `off`.

    Raises:
        AlignmentError: `require`, and no homography passes the gates.

    Example:
        >>> import numpy as np
        >>> black = np.zeros((32, 32, 3), np.uint8)
        >>> pair = ExposurePair.from_images(black, black)
        >>> align_as_asked(pair, mode="off"), align_as_asked(pair, mode="auto").refused
        (None, 'few_matches')
    """
    if mode == "off":
        return None
    report = find_alignment(pair, reference=reference)
    if mode == "require" and report.refused is not None:
        raise AlignmentError(
            f"expected an alignment that passes its gates, got one refused for {report.refused}"
        )
    return report
