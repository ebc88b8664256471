"""Sets aside files that show the same exposure as another one: raw twins and copies."""

from collections.abc import Sequence

from expofuse.grouping.frame import Frame, FrameKind
from expofuse.grouping.groups import Single


def set_twins_aside(
    frames: Sequence[Frame], *, prefer: FrameKind
) -> tuple[list[Frame], list[Single]]:
    """Keep one file of each exposure.

    Files are of one exposure that have the same name but for folder and suffix, the same camera,
    the same time and the same settings. Where the header tells no time they must also lie in one
    folder.

    Args:
        frames: Of a shoot.
        prefer: Which kind of file is kept where there are both.

    Returns:
        What is kept, in the order given, and the others with the reason.
    """
    kept: dict[tuple[object, ...], Frame] = {}
    aside: dict[str, Single] = {}
    for frame in sorted(frames, key=lambda one: (one.kind != prefer, one.name)):
        first = kept.setdefault(_identify(frame), frame)
        if first is not frame and _may_be_one_body(first, frame):
            aside[frame.name] = Single(frame.name, f"{_relate(frame, first)} {first.name}")
    return [one for one in frames if one.name not in aside], list(aside.values())


def _may_be_one_body(first: Frame, second: Frame) -> bool:
    """A serial number that only one of two files tells says nothing against it."""
    return not first.serial or not second.serial or first.serial == second.serial


def _relate(frame: Frame, first: Frame) -> str:
    if frame.kind == first.kind:
        return "the same exposure as"
    return "the raw file of" if frame.kind == "raw" else "the picture of"


def _identify(frame: Frame) -> tuple[object, ...]:
    if frame.taken_s is None and frame.exposure_s is None:
        return (frame.name,) if not frame.model else (frame.folder, frame.stem.lower(), frame.model)
    place = frame.folder if frame.taken_s is None else ""
    # A raw file may tell its exposure time more exactly than the picture beside it.
    return place, frame.stem.lower(), frame.make, frame.model, frame.taken_s
