"""Splits a shoot by camera, and brings what each camera took into the order in which it did."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise

from expofuse.grouping.file_numbers import FileNumber, order_naturally, read_file_number
from expofuse.grouping.frame import Frame

STUCK_SHARE = 0.5
MIN_STUCK = 5
"""A clock that shows the same for half of the frames, and at least for so many, stands still."""

CLOCK_STEP_S = 1.0
"""A time without fractions may look this much earlier than the one before it."""

Key = Callable[[Frame], tuple[object, ...]]


def split_by_camera(frames: Iterable[Frame]) -> list[list[Frame]]:
    """Split frames into those of one camera and one kind of file each.

    Two bodies of one model that tell no serial number are told apart by what stands before the
    number in their files' names. Frames that name no camera are split by folder.

    Args:
        frames: Of a shoot.

    Returns:
        The frames of each camera, not yet ordered, in the order in which cameras first appear.
    """
    streams: dict[tuple[str, ...], list[Frame]] = defaultdict(list)
    for frame in frames:
        streams[_name_camera(frame)].append(frame)
    return list(streams.values())


def _name_camera(frame: Frame) -> tuple[str, ...]:
    camera = (frame.kind, frame.make, frame.model)
    if frame.serial:
        return (*camera, frame.serial)
    number = read_file_number(frame.stem)
    prefix = number.prefix if number else ""
    return (*camera, prefix) if frame.model else (*camera, prefix, frame.folder)


def order_frames(frames: Sequence[Frame]) -> list[Frame]:
    """Order the frames of one camera as they were taken.

    They are ordered by time, by file number, and by folder and file number; the order in which
    times and numbers contradict least counts, and of equal ones the first. So a clock that was
    reset or set back during the shoot, and numbers that begin anew in every folder, do no harm.

    Args:
        frames: Of one camera.

    Returns:
        The same frames.
    """
    numbers = {one.name: read_file_number(one.stem) for one in frames}
    unwrapped = _unwrap([number for number in numbers.values() if number is not None])

    def by_number(frame: Frame) -> tuple[object, ...]:
        number = numbers[frame.name]
        return (0, unwrapped[number.number]) if number else (1, 0)

    def by_time(frame: Frame) -> tuple[object, ...]:
        is_timed = frame.taken_s is not None
        return (not is_timed, frame.taken_s or 0.0, *by_number(frame), order_naturally(frame.name))

    keys: list[Key] = [
        by_time,
        lambda frame: (*by_number(frame), frame.taken_s or 0.0, order_naturally(frame.name)),
        lambda frame: (frame.folder, *by_number(frame), order_naturally(frame.name)),
    ]
    orders = [sorted(frames, key=key) for key in keys]
    return min(orders, key=lambda order: _count_contradictions(order, numbers))


def is_clock_stuck(frames: Sequence[Frame]) -> bool:
    """Whether the clock of a camera stood still, so that its times say nothing.

    Args:
        frames: Of one camera.
    """
    times = Counter(one.taken_s for one in frames if one.taken_s is not None)
    if not times:
        return False
    (_, most), *_ = times.most_common(1)
    return most >= MIN_STUCK and most > STUCK_SHARE * len(frames)


def _unwrap(numbers: Sequence[FileNumber]) -> dict[int, int]:
    """Numbers counted on beyond their wrap; they begin behind the longest unused stretch."""
    used = sorted({one.number for one in numbers})
    if not used:
        return {}
    cycle = min(one.cycle for one in numbers)
    gaps = [after - before for before, after in pairwise(used)]
    around = used[0] + cycle - used[-1]
    longest = max(gaps, default=0)
    if longest <= around:
        return {number: number for number in used}
    first = used[gaps.index(longest) + 1]
    return {number: number + (cycle if number < first else 0) for number in used}


def _count_contradictions(order: Sequence[Frame], numbers: dict[str, FileNumber | None]) -> int:
    """How often the time, or the number, goes back from one frame to the next."""
    count = 0
    for before, after in pairwise(order):
        if before.taken_s is not None and after.taken_s is not None:
            step_s = 0.0 if before.has_fraction and after.has_fraction else CLOCK_STEP_S
            count += after.taken_s < before.taken_s - step_s
        first, second = numbers[before.name], numbers[after.name]
        if first is not None and second is not None:
            count += first.steps_to(second) < 0
    return count
