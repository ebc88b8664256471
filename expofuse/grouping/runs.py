"""Cuts what a camera took where no bracket can go on: changes, pauses, clocks that go back."""

from collections.abc import Sequence
from itertools import pairwise

from expofuse.grouping.file_numbers import read_file_number
from expofuse.grouping.frame import Frame
from expofuse.grouping.order import CLOCK_STEP_S

MARKED_PAUSE_S = 30.0
"""Most seconds between two frames of which the camera says that they are bracketed: it may wait for
the photographer's finger, or for the self-timer, before each."""

BIAS_PAUSE_S = 4.0
"""The same between frames whose exposure compensation alone tells that they are bracketed."""

MANUAL_PAUSE_S = 6.0
"""The same between frames whose exposure somebody set by hand, at a dial."""

UNKNOWN_PAUSE_S = 2.0
"""The same where the header says neither."""

DARK_FRAME_S = 0.25
"""From this exposure time on a camera may take a dark frame of the same length after it."""

MAX_NUMBER_STEP = 3
"""Without a clock, frames belong together whose numbers are at most so far apart."""

SAME_FOCAL_LENGTH = 0.02
"""Relative change of the focal length that a zoom lens reports while nobody touches it."""

SAME_BIAS_EV = 0.2


def cut_runs(frames: Sequence[Frame]) -> list[list[Frame]]:
    """Cut the frames of one camera into runs that a bracket does not reach beyond.

    Args:
        frames: In the order in which they were taken.

    Returns:
        The runs, in order; at least one frame each.
    """
    runs = [[frames[0]]] if frames else []
    for before, after in pairwise(frames):
        if _goes_on(before, after):
            runs[-1].append(after)
        else:
            runs.append([after])
    return runs


def measure_pause_s(before: Frame, after: Frame) -> float | None:
    """Seconds in which the camera did nothing between two frames; None without times.

    Some makers write when an exposure began, others when it ended, and after a long one there may
    be a dark frame. So what is taken off the difference of the times is the longer exposure, twice
    where it is long, and a second where times have no fractions.

    Example:
        >>> night = Frame("a.jpg", taken_s=100.0, has_fraction=True, exposure_s=8.0)
        >>> measure_pause_s(night, Frame("b.jpg", taken_s=118.0, has_fraction=True, exposure_s=2.0))
        2.0
    """
    if before.taken_s is None or after.taken_s is None:
        return None
    exposure_s = max(before.exposure_s or 0.0, after.exposure_s or 0.0)
    busy_s = exposure_s * (2.0 if exposure_s >= DARK_FRAME_S else 1.0)
    unsure_s = 0.0 if before.has_fraction and after.has_fraction else CLOCK_STEP_S
    return max(after.taken_s - before.taken_s - busy_s - unsure_s, 0.0)


def _goes_on(before: Frame, after: Frame) -> bool:
    if _setting(before) != _setting(after) or not _is_same_zoom(before, after):
        return False
    pause_s = measure_pause_s(before, after)
    if pause_s is None:
        return _is_next_number(before, after)
    assert before.taken_s is not None
    assert after.taken_s is not None
    if after.taken_s < before.taken_s - CLOCK_STEP_S:
        return False
    return pause_s <= _longest_pause_s(before, after)


def _setting(frame: Frame) -> tuple[object, ...]:
    return (
        frame.width_px,
        frame.height_px,
        frame.orientation,
        frame.is_bracketing,
        frame.mode,
        frame.exposure_s is None,
    )


def _is_same_zoom(before: Frame, after: Frame) -> bool:
    first, second = before.focal_length_mm, after.focal_length_mm
    if first is None or second is None:
        return first == second
    return abs(first - second) <= SAME_FOCAL_LENGTH * first


def _is_next_number(before: Frame, after: Frame) -> bool:
    first, second = read_file_number(before.stem), read_file_number(after.stem)
    if first is None or second is None:
        return before.folder == after.folder
    return 0 < first.steps_to(second) <= MAX_NUMBER_STEP


def _longest_pause_s(before: Frame, after: Frame) -> float:
    if before.is_bracketing:
        return MARKED_PAUSE_S
    if before.mode == "manual":
        return MANUAL_PAUSE_S
    if before.bias_ev is not None and after.bias_ev is not None:
        return BIAS_PAUSE_S
    return UNKNOWN_PAUSE_S
