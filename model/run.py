"""Describes one picture on its way through a pipeline, and what every pipeline does with it."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from model.exposure import ExposureStack, Pixels, StackAlignment
from model.geometry import reference_to_moving
from model.ghosts.ghost_map import GhostMap
from model.ghosts.replace import replace_ghosts
from model.registration import Registration
from model.tiling import Rect, Window

Matrix = NDArray[np.float64]
Warp = Callable[[Pixels, Matrix, Rect], Pixels]


@dataclass(frozen=True, slots=True, eq=False)
class FusionRun:
    """One picture on its way: views of its exposures, its passes, and where the result goes.

    Attributes:
        stack: The exposures, not copied.
        passes: The windows of the picture, pass by pass, none of them empty. All windows of a pass
            must be fused, in any order, before one of the next pass is.
        output: The picture. Shape (H, W, 3), dtype of the stack; complete once the last pass was
            fused.
        motions: Of each exposure, reference pixel -> pixel of that exposure; None where it is not
            warped.
        ghosts: Of each exposure, what moved in it; None where nothing did.
        reference: The exposure that the others lie on, and that says what moved.
    """

    stack: ExposureStack
    passes: tuple[tuple[Window, ...], ...]
    output: Pixels
    motions: tuple[Matrix | None, ...]
    ghosts: tuple[GhostMap | None, ...]
    reference: int


def prepare_ghosts(stack: ExposureStack, registration: Registration) -> tuple[GhostMap | None, ...]:
    """What moved in each exposure; None where nothing did.

    Raises:
        ValueError: Their number is not the stack's.
    """
    ghosts = registration.ghosts
    if ghosts is None:
        return (None,) * len(stack)
    if len(ghosts) != len(stack):
        raise ValueError(f"expected ghosts of {len(stack)} exposures, got {len(ghosts)}")
    return ghosts


def prepare_output(stack: ExposureStack, out: Pixels | None) -> Pixels:
    """The array for the result: the one given, or a new one.

    Raises:
        ValueError: `out` does not fit.
    """
    shape, dtype = stack.darkest.shape, stack.darkest.dtype
    output = np.empty(shape, dtype) if out is None else out
    if output.shape != shape or output.dtype != dtype or not output.flags.writeable:
        raise ValueError(
            f"expected a writeable output of shape {shape} and {dtype}, "
            f"got {output.shape} and {output.dtype}"
        )
    return output


def prepare_motions(
    stack: ExposureStack, alignment: StackAlignment | None
) -> tuple[Matrix | None, ...]:
    """Of each exposure, reference pixel -> pixel of that exposure; None where it is not warped.

    Raises:
        ValueError: A homography cannot warp the picture, or their number is not the stack's.
    """
    if alignment is None:
        return (None,) * len(stack)
    if len(alignment.reports) != len(stack):
        raise ValueError(
            f"expected alignment of {len(stack)} exposures, got {len(alignment.reports)}"
        )
    return tuple(
        None
        if report is None or not report.needs_warp
        else reference_to_moving(report.homography, stack.height, stack.width)
        for report in alignment.reports
    )


def prepare_window(run: FusionRun, window: Rect, *, warp: Warp) -> list[Pixels]:
    """Read a window of every exposure: warped onto the reference, and freed of ghosts.

    Args:
        run: The picture.
        window: In reference pixels.
        warp: Samples an exposure where a homography leads, see `model.warp.warp_pixels`.

    Returns:
        Shape (window.height, window.width, 3) each, of the stack's type; views of the exposures
        that are neither warped nor freed.
    """
    exposures = [
        pixels[window.slices] if motion is None else warp(pixels, motion, window)
        for pixels, motion in zip(run.stack.exposures, run.motions, strict=True)
    ]
    return replace_ghosts(
        exposures,
        run.ghosts,
        reference=run.reference,
        window=window,
        height=run.stack.height,
        width=run.stack.width,
    )


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
