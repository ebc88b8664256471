"""Describes one picture on its way through a pipeline, and what every pipeline does with it."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from model.exposure import AlignmentReport, ExposurePair, Pixels
from model.tiling import Window
from model.warp import reference_to_moving


@dataclass(frozen=True, slots=True, eq=False)
class FusionRun:
    """One picture on its way: views of its exposures, its passes, and where the result goes.

    Attributes:
        pair: The exposures, not copied.
        passes: The windows of the picture, pass by pass, none of them empty. All windows of a pass
            must be fused, in any order, before one of the next pass is.
        output: The picture. Shape (H, W, 3), dtype of the pair; complete once the last pass was
            fused.
        to_moving: Reference pixel -> moving-exposure pixel, None where nothing is warped.
        is_under_moving: The under exposure is the one that is warped.
    """

    pair: ExposurePair
    passes: tuple[tuple[Window, ...], ...]
    output: Pixels
    to_moving: NDArray[np.float64] | None
    is_under_moving: bool


def prepare_output(pair: ExposurePair, out: Pixels | None) -> Pixels:
    """The array for the result: the one given, or a new one.

    Raises:
        ValueError: `out` does not fit.
    """
    shape, dtype = pair.under.shape, pair.under.dtype
    output = np.empty(shape, dtype) if out is None else out
    if output.shape != shape or output.dtype != dtype or not output.flags.writeable:
        raise ValueError(
            f"expected a writeable output of shape {shape} and {dtype}, "
            f"got {output.shape} and {output.dtype}"
        )
    return output


def prepare_warp(
    pair: ExposurePair, report: AlignmentReport | None
) -> tuple[NDArray[np.float64] | None, bool]:
    """Reference pixel -> moving pixel, None where nothing is warped; whether under moves.

    Raises:
        ValueError: The homography cannot warp the picture.
    """
    if report is None or report.model == "identity":
        return None, False
    to_moving = reference_to_moving(report.homography, pair.height, pair.width)
    return to_moving, report.reference == "over"


def check_batch(batch: Sequence[tuple[FusionRun, Window]]) -> None:
    """Check that a micro-batch is one.

    Raises:
        ValueError: It is empty or mixes batch keys.
    """
    keys = {window.batch_key for _, window in batch}
    if len(keys) != 1:
        raise ValueError(f"expected windows of one batch key, got {len(keys)} keys")


def fuse_run(
    run: FusionRun,
    fuse_windows: Callable[[Sequence[tuple[FusionRun, Window]]], None],
    *,
    batch_size: int,
) -> Pixels:
    """Fuse every window of a run, pass by pass, and return its output."""
    for batch in _batches(run, batch_size):
        fuse_windows(batch)
    return run.output


def _batches(run: FusionRun, size: int) -> Iterator[list[tuple[FusionRun, Window]]]:
    """The run's windows, pass by pass, in micro-batches of one batch key and at most `size`."""
    for windows in run.passes:
        ordered = sorted(windows, key=lambda window: window.batch_key)
        for _, group in groupby(ordered, key=lambda window: window.batch_key):
            alike = list(group)
            for start in range(0, len(alike), size):
                yield [(run, window) for window in alike[start : start + size]]
