"""Brings exposures of other sizes onto the frame of the reference exposure."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import cv2
import numpy as np

from model.alignment.estimate import NEGLIGIBLE_SHIFT_PX, keep_rest, refine_views
from model.alignment.patches import map_points
from model.alignment.resample import resample
from model.alignment.rest import measure_tiles
from model.alignment.stack import align_stack
from model.alignment.view import ExposureView
from model.errors import ExposureError
from model.exposure import (
    TURNED,
    AlignmentReport,
    ExposureSet,
    ExposureStack,
    Pixels,
    Size,
    StackAlignment,
)
from model.geometry import Matrix, shift, stretch

MAX_ASPECT_RATIO = 1.2
"""Ratio of two exposures' aspects up to which one scene is sought in them. Their frames are
stretched onto each other first, and the gates refuse what is then off by a quarter."""

MAX_CUT_ERROR_PX = 2.0
"""How far a place may lie off a cut of whole pixels for the cut to be tried: what the homography of
a large exposure is uncertain by."""

GRID = 7
"""Places a side at which the two are compared."""

FindAlignment = Callable[[Sequence[Pixels], int], tuple[AlignmentReport | None, ...]]
"""Finds how each exposure lies on the reference, as `align_stack` does."""

MakeRoom = Callable[[int, tuple[int, int, int], np.dtype[Any]], Pixels]
"""Gives the array, of a shape and type, for the resampled exposure that was given at an index."""


def align_onto(exposures: Sequence[Pixels], reference: int) -> tuple[AlignmentReport | None, ...]:
    """See `align_stack`; as a `FindAlignment`."""
    return align_stack(exposures, reference=reference)


def make_array(index: int, shape: tuple[int, int, int], dtype: np.dtype[Any]) -> Pixels:
    """A new array; as a `MakeRoom`."""
    return np.empty(shape, dtype)


def lay_exposures(
    given: ExposureSet,
    reference: int,
    *,
    find_alignment: FindAlignment = align_onto,
    make_room: MakeRoom = make_array,
) -> tuple[ExposureStack, StackAlignment]:
    """Find exposures of several sizes in the reference exposure, and make one stack of them.

    Those of other sizes are stretched onto the reference's frame, edge onto edge, and all are
    aligned as exposures of one size are: a few pixels that a RAW converter cut off, a fixed scale
    and a hand's motion come to one homography each. By that they are resampled, once, from the
    pixels that were given.

    Args:
        given: The exposures, of at least two sizes.
        reference: Index of the one that stays as it is.
        find_alignment: What finds the homographies.
        make_room: What gives the arrays for the resampled exposures; they may be filled twice.

    Returns:
        The exposures at the reference's size, and how they lie: those that were resampled say so
        in `own_size` and need no warp any more.

    Raises:
        ExposureError: The shape of an exposure says that it shows something else or lies on its
            side, or nothing in it matches.
    """
    _check_shapes(given, reference)
    fixed, size = given.exposures[reference], given.sizes[reference]
    exposures = list(given.exposures)
    for index, own_size in enumerate(given.sizes):
        if own_size != size:
            room = make_room(given.order[index], (size[1], size[0], 3), fixed.dtype)
            _stretch(given.exposures[index], room)
            exposures[index] = room
    reports = list(find_alignment(exposures, reference))
    view = ExposureView(fixed)
    for index, (own_size, report) in enumerate(zip(given.sizes, reports, strict=True)):
        if own_size == size or report is None:
            continue
        _check_found(report, given, index, reference)
        found = _refine(report, ExposureView(exposures[index]), view)
        whole = _place(
            given.exposures[index],
            np.reshape(found.homography, (3, 3)) @ stretch(own_size, size),
            exposures[index],
            view,
        )
        reports[index] = replace(
            found, model="homography", homography=tuple(whole.ravel().tolist()), own_size=own_size
        )
    return ExposureStack(tuple(exposures), given.order), StackAlignment(reference, tuple(reports))


def _check_shapes(given: ExposureSet, reference: int) -> None:
    """Refuse an exposure whose shape says that it cannot be found in the reference."""
    wanted = given.sizes[reference]
    for index, size in enumerate(given.sizes):
        ratio = _aspect(size) / _aspect(wanted)
        turned = _aspect(size) * _aspect(wanted)
        is_other = not 1 / MAX_ASPECT_RATIO <= ratio <= MAX_ASPECT_RATIO
        both = f"got {_name(given, index)} beside {_name(given, reference)}"
        is_turned = size != wanted and size == wanted[::-1]
        if is_turned or (is_other and 1 / MAX_ASPECT_RATIO <= turned <= MAX_ASPECT_RATIO):
            raise ExposureError(f"expected exposures of one scene, {both}; {TURNED}")
        if is_other:
            raise ExposureError(f"expected exposures whose sides have nearly one ratio, {both}")


def _check_found(report: AlignmentReport, given: ExposureSet, index: int, reference: int) -> None:
    if report.refused is not None:
        raise ExposureError(
            f"expected exposures of one scene, got {_name(given, index)} in which nothing matches "
            f"{_name(given, reference)} ({report.refused})"
        )


def _stretch(image: Pixels, out: Pixels) -> None:
    """Bring an image to the size of `out`, edge onto edge."""
    size = (out.shape[1], out.shape[0])
    is_smaller = out.shape[0] < image.shape[0]
    kernel = cv2.INTER_AREA if is_smaller else cv2.INTER_CUBIC
    cv2.resize(image, size, out, interpolation=kernel)


def _refine(
    report: AlignmentReport, stretched: ExposureView, reference: ExposureView
) -> AlignmentReport:
    """Measure more finely what is taken for rest: what is resampled anyway loses nothing by it."""
    if report.model == "homography":
        return report
    found = keep_rest(
        refine_views(stretched, reference, np.eye(3)),
        measure_tiles(stretched, reference),
        reference,
    )
    return found if found.model == "homography" else report


def _place(image: Pixels, homography: Matrix, out: Pixels, reference: ExposureView) -> Matrix:
    """Resample an exposure onto the reference's frame; a cut of whole pixels only moves.

    A cut is what the homography is taken for where the two differ by less than
    `NEGLIGIBLE_SHIFT_PX` (root mean square over the frame), or where the exposure, moved so, is at
    rest as those of one size are: resampling would only blur.

    Args:
        image: The exposure.
        homography: Its pixels -> reference pixels. Shape (3, 3).
        out: Where it goes, of the reference's size.
        reference: The reference exposure.

    Returns:
        The map that was applied, `h[2, 2] = 1`. Shape (3, 3).
    """
    axes = (np.linspace(0, side - 1, GRID) for side in image.shape[1::-1])
    points = np.stack(np.meshgrid(*axes), axis=-1).reshape(-1, 2)
    shifts = map_points(homography, points) - points
    x, y = np.rint(shifts.mean(axis=0))
    errors_px = np.linalg.norm(shifts - (x, y), axis=1)
    if errors_px.max() < MAX_CUT_ERROR_PX:
        cut = shift(x, y)
        resample(image, cut, out)
        is_cut = float(np.sqrt((errors_px**2).mean())) < NEGLIGIBLE_SHIFT_PX
        if is_cut or measure_tiles(ExposureView(out), reference).is_at_rest():
            return cut
    normalised: Matrix = homography / homography[2, 2]
    resample(image, normalised, out)
    return normalised


def _aspect(size: Size) -> float:
    return size[0] / size[1]


def _name(given: ExposureSet, index: int) -> str:
    width, height = given.sizes[index]
    return f"exposure {given.order[index] + 1} of {width}x{height} pixels"
