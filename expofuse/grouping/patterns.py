"""Finds in a run of frames the pattern of exposures that repeats, and cuts it into brackets."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean, median

from expofuse.grouping.file_numbers import read_file_number
from expofuse.grouping.frame import Frame
from expofuse.grouping.runs import measure_pause_s
from model.exposure import MAX_EXPOSURES

Pattern = tuple[int, ...]
"""Levels of exposure in the order in which they were taken, numbered from 0, each once."""

LONG_PAUSE_RATIO = 4.0
"""A pause so many times as long as the usual one of its run divides brackets, ..."""

LONG_PAUSE_S = 4.0
"""... if it lasts so long."""

SINGLE_COST, ODD_COST, WHOLE_COST = 1.2, 0.95, 0.5
"""Of a frame alone, of two frames or an order that no camera takes, and of a whole bracket. So a
run is explained by whole brackets where that is possible, and else by those that lack least."""

MISCOUNT_COST = 0.3
"""Of a file that is missing within what would be a whole bracket without it."""

PAUSE_COST = 0.2
"""Of the pauses within a bracket, times the mean share of the run's pauses that are shorter."""

USUAL_BONUS = 0.2
"""Of a pattern, times its share of what was found for the camera so far."""

STEP_TOLERANCE = 0.3
"""Steps of one bracket differ at most by this share: shutters keep to thirds, not to EV."""


def find_levels(values: Sequence[float], tolerance: float) -> list[int]:
    """Number the levels that values lie on, from the least one on.

    Args:
        values: Exposures in EV.
        tolerance: Neighbours nearer than this lie on one level.

    Example:
        >>> find_levels([0.0, -2.0, 2.0, 0.1], 0.2)
        [1, 0, 2, 1]
    """
    order = sorted(range(len(values)), key=lambda index: values[index])
    levels = [0] * len(values)
    level = 0
    for before, after in pairwise(order):
        level += values[after] - values[before] >= tolerance
        levels[after] = level
    return levels


def find_pattern(levels: Sequence[int]) -> Pattern:
    """The pattern of a bracket's levels.

    Example:
        >>> find_pattern((5, 1, 7))
        (1, 0, 2)
    """
    ranks = {level: rank for rank, level in enumerate(sorted(levels))}
    return tuple(ranks[level] for level in levels)


def is_whole(values: Sequence[float]) -> bool:
    """Whether exposures are what a camera takes as a bracket of three or more, none missing.

    They are equal steps apart, and go up, go down, or begin in the middle and go to and fro.

    Args:
        values: In EV, in the order in which they were taken.

    Example:
        >>> is_whole([0.0, -2.0, 2.0]), is_whole([-2.0, 2.0, 0.0]), is_whole([0.0, 2.0])
        (True, False, False)
    """
    if len(values) < 3:
        return False
    steps = [after - before for before, after in pairwise(sorted(values))]
    if max(steps) - min(steps) > STEP_TOLERANCE * max(steps):
        return False
    count = len(values)
    rising = list(range(count))
    middle = count // 2
    outward = [middle, *(middle + side * far for far in range(1, middle + 1) for side in (-1, 1))]
    orders = [rising, rising[::-1]]
    if count % 2:
        orders += [outward, [count - 1 - rank for rank in outward]]
    return list(find_pattern(find_levels(values, min(steps) / 2.0))) in orders


def cut_by_pattern(
    run: Sequence[Frame],
    values: Sequence[float],
    levels: Sequence[int],
    usual: Counter[Pattern],
) -> list[range]:
    """Cut a run into what may be brackets, so that it is explained best.

    Args:
        run: Frames in the order in which they were taken.
        values: Exposure of each in EV.
        levels: Level of exposure of each.
        usual: How often which pattern was found for this camera.

    Returns:
        Positions of the frames in each; together, all of the run.
    """
    pauses = [measure_pause_s(before, after) for before, after in pairwise(run)]
    known = sorted(pause for pause in pauses if pause is not None)
    limit_s = max(LONG_PAUSE_S, LONG_PAUSE_RATIO * median(known)) if known else 0.0
    chunks = _join(len(run), lambda index: (pauses[index] or 0.0) > limit_s)
    ranks = [
        0.0 if pause is None else sum(other < pause for other in known) / len(known)
        for pause in pauses
    ]
    judge = _Judge(run, values, levels, ranks, usual)
    return [piece for chunk in chunks for piece in _cut_best(chunk, judge)]


def cut_by_shots(run: Sequence[Frame], levels: Sequence[int]) -> list[range] | None:
    """Cut a run by the number that the camera gave each frame in its bracket.

    Args:
        run: Frames in the order in which they were taken.
        levels: Level of exposure of each.

    Returns:
        As `cut_by_pattern`; None where a frame has no such number, or where the numbers count on
        over an exposure that comes again, and so do not begin anew with every bracket.
    """
    shots = [one.mark.shot or 0 if one.mark else 0 for one in run]
    if not all(shots):
        return None

    def begins_anew(index: int) -> bool:
        step = shots[index + 1] - shots[index]
        counted = _count_files(run[index], run[index + 1])
        return step <= 0 or (counted is not None and counted != step)

    pieces = _join(len(run), begins_anew)
    if any(len({levels[index] for index in piece}) < len(piece) for piece in pieces):
        return None
    return pieces


@dataclass(frozen=True, slots=True)
class _Judge:
    """Says what it costs to take frames of a run for one bracket."""

    run: Sequence[Frame]
    values: Sequence[float]
    levels: Sequence[int]
    pause_ranks: Sequence[float]
    usual: Counter[Pattern]

    def cost(self, piece: range) -> float | None:
        """Of the frames at these positions; None where an exposure comes twice."""
        if len(piece) == 1:
            return SINGLE_COST
        levels = self.levels[piece.start : piece.stop]
        if len(set(levels)) < len(levels):
            return None
        pauses = PAUSE_COST * fmean(self.pause_ranks[piece.start : piece.stop - 1])
        found = self.usual.total()
        bonus = USUAL_BONUS * self.usual[find_pattern(levels)] / found if found else 0.0
        if not is_whole(self.values[piece.start : piece.stop]):
            return ODD_COST + pauses - bonus
        frames = self.run[piece.start : piece.stop]
        counted = [_count_files(before, after) for before, after in pairwise(frames)]
        missing = sum(count is not None and count != 1 for count in counted)
        return WHOLE_COST + MISCOUNT_COST * missing + pauses - bonus


def _cut_best(chunk: range, judge: _Judge) -> list[range]:
    """The cheapest way to cut; by dynamic programming, from the beginning on."""
    best: list[tuple[float, list[range]]] = [(0.0, [])]
    for end in range(chunk.start + 1, chunk.stop + 1):
        ways = []
        for begin in range(max(chunk.start, end - MAX_EXPOSURES), end):
            piece = range(begin, end)
            cost = judge.cost(piece)
            if cost is not None:
                before, pieces = best[begin - chunk.start]
                ways.append((before + cost, [*pieces, piece]))
        best.append(min(ways, key=lambda way: way[0]))
    return best[-1][1]


def _join(count: int, begins_anew: Callable[[int], bool]) -> list[range]:
    """Ranges of positions; asked is whether what is behind a position begins a new range."""
    begins = [0, *(index + 1 for index in range(count - 1) if begins_anew(index)), count]
    return [range(begin, end) for begin, end in pairwise(begins)]


def _count_files(before: Frame, after: Frame) -> int | None:
    """How far a camera counted from one file to another; None where numbers do not tell."""
    first, second = read_file_number(before.stem), read_file_number(after.stem)
    if first is None or second is None or not (first.is_of_camera and second.is_of_camera):
        return None
    return first.steps_to(second)
