"""Finds the brackets of a whole shoot from what the headers of its files say."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal, Protocol

from expofuse.grouping.file_numbers import order_naturally
from expofuse.grouping.frame import Frame, FrameKind
from expofuse.grouping.groups import Bracket, Groups, Single
from expofuse.grouping.order import is_clock_stuck, order_frames, split_by_camera
from expofuse.grouping.patterns import (
    Pattern,
    cut_by_pattern,
    cut_by_shots,
    find_levels,
    find_pattern,
    is_whole,
)
from expofuse.grouping.runs import SAME_BIAS_EV, cut_runs
from expofuse.grouping.twins import set_twins_aside
from model.exposure import MAX_EXPOSURES, MIN_EXPOSURES

SAME_LIGHT_EV = 0.3
"""Exposures nearer than this lie on one level: what a camera meters moves a little by itself."""

MIN_METERED_STEP_EV = 0.6
"""Without a mark or a changing compensation, exposures nearer than this are the same."""

MIN_BRIGHTNESS_STEP_EV = 0.1
"""Least difference of two exposures' mean brightness, where only pixels tell; clipping leaves
little of the step between two bright exposures."""

MIN_STEP_EV = 0.25
"""Brackets step by a third of an EV or more."""

Basis = Literal["mark", "bias", "manual", "light", "content"]
"""What tells the exposures of a run apart: the maker's mark, the exposure compensation, settings
that somebody chose by hand, settings of which the header does not say who chose them, or pixels."""

_BY: dict[Basis, str] = {
    "mark": "the camera's bracket mark",
    "bias": "a changing exposure compensation",
    "manual": "exposures set by hand",
    "light": "exposures in quick succession",
    "content": "what they show",
}


class SceneJudge(Protocol):
    """Tells of pictures by their content; see `expofuse.grouping.content.Contents`."""

    def show_one_scene(self, first: str, second: str) -> bool:
        """Whether two frames show one scene, whatever their exposure."""
        ...

    def brightness_ev(self, name: str) -> float:
        """How bright a frame is."""
        ...


@dataclass(frozen=True, slots=True)
class _Exposures:
    """Exposures of a run in EV, what they were read from, and the level of each."""

    basis: Basis
    values: tuple[float, ...]
    levels: tuple[int, ...]


def group_frames(
    frames: Sequence[Frame],
    *,
    prefer: FrameKind = "picture",
    contents: SceneJudge | None = None,
) -> Groups:
    """Find the brackets of a shoot, from headers alone.

    Each camera is looked at by itself, in the order in which it took its frames. A run of frames
    without a change of size, orientation, focal length, or of the camera's own mark, and without a
    longer pause than a bracket can have, is cut into brackets by the pattern of exposures that
    repeats in it. What has equal exposures is a burst; what was metered anew for every frame is no
    bracket either.

    Of a raw file and the picture that the camera wrote with it only one is used, so that no scene
    is fused twice; and of several files with the same name, time and settings the first.

    Args:
        frames: Of the whole shoot, in any order; their names differ.
        prefer: Which of a raw file and its picture is used.
        contents: Tells of the pictures whose headers tell no exposure; without it they stay single.

    Returns:
        Every frame once: in a bracket of two to nine, or as a single with the reason.

    Raises:
        ValueError: Two frames have one name.

    Example:
        >>> def take(number: int, bias_ev: float) -> Frame:
        ...     return Frame(
        ...         f"IMG_{number:04}.JPG",
        ...         taken_s=100.0 + number,
        ...         exposure_s=2.0**bias_ev / 60,
        ...         bias_ev=bias_ev,
        ...     )
        >>> groups = group_frames([take(1, 0.0), take(2, -2.0), take(3, 2.0), take(4, 0.0)])
        >>> groups.brackets[0].names, groups.singles[0].name
        (('IMG_0001.JPG', 'IMG_0002.JPG', 'IMG_0003.JPG'), 'IMG_0004.JPG')
    """
    if len({one.name for one in frames}) < len(frames):
        raise ValueError("expected frames of different names, got two of one name")
    sound = [one for one in frames if not one.fault]
    singles = [Single(one.name, one.fault) for one in frames if one.fault]
    kept, twins = set_twins_aside(sound, prefer=prefer)
    singles += twins
    found: list[tuple[Frame, Bracket]] = []
    for camera in split_by_camera(kept):
        brackets, alone = _group_camera(order_frames(camera), contents)
        found += brackets
        singles += alone
    place = {one.name: index for index, one in enumerate(sorted(frames, key=_order_of_shoot))}
    found.sort(key=lambda pair: place[pair[0].name])
    return Groups(
        tuple(bracket for _, bracket in found),
        tuple(sorted(singles, key=lambda one: place[one.name])),
    )


def _order_of_shoot(frame: Frame) -> tuple[object, ...]:
    return frame.taken_s is None, frame.taken_s or 0.0, order_naturally(frame.name)


def _group_camera(
    frames: Sequence[Frame], contents: SceneJudge | None
) -> tuple[list[tuple[Frame, Bracket]], list[Single]]:
    """Brackets, with the first frame of each, and singles of one camera's frames, in order."""
    if is_clock_stuck(frames):
        frames = [replace(one, taken_s=None) for one in frames]
    brackets: list[tuple[Frame, Bracket]] = []
    singles: list[Single] = []
    usual: Counter[Pattern] = Counter()
    # Short runs first: a lone bracket is unambiguous, and tells the camera's usual pattern.
    for run, exposures in sorted(_list_runs(frames, contents), key=lambda pair: len(pair[0])):
        if exposures is None:
            singles += [Single(one.name, "its header tells no exposure") for one in run]
            continue
        for piece in _cut(run, exposures, usual):
            part = [run[index] for index in piece]
            refused = _refuse(part, exposures, piece)
            if refused:
                singles += [Single(one.name, refused) for one in part]
                continue
            usual[find_pattern([exposures.levels[index] for index in piece])] += 1
            reason = _explain(exposures, piece)
            brackets.append((part[0], Bracket(tuple(one.name for one in part), reason)))
    return brackets, singles


def _list_runs(
    frames: Sequence[Frame], contents: SceneJudge | None
) -> Iterator[tuple[list[Frame], _Exposures | None]]:
    for run in cut_runs(frames):
        if run[0].light_ev is not None:
            yield run, _read_exposures(run)
        elif contents is None:
            yield run, None
        else:
            for scene in _cut_scenes(run, contents):
                values = tuple(contents.brightness_ev(one.name) for one in scene)
                levels = tuple(find_levels(values, MIN_BRIGHTNESS_STEP_EV))
                yield scene, _Exposures("content", values, levels)


def _cut_scenes(run: Sequence[Frame], contents: SceneJudge) -> list[list[Frame]]:
    """Cut a run where the scene changes: where a frame is like none of the nine before it."""
    scenes = [[run[0]]]
    for frame in run[1:]:
        last = scenes[-1][-MAX_EXPOSURES:]
        if any(contents.show_one_scene(frame.name, one.name) for one in reversed(last)):
            scenes[-1].append(frame)
        else:
            scenes.append([frame])
    return scenes


def _cut(run: Sequence[Frame], exposures: _Exposures, usual: Counter[Pattern]) -> list[range]:
    pieces = cut_by_shots(run, exposures.levels)
    if pieces is None:
        # Clipping makes steps of brightness unequal: then their order alone tells.
        is_seen = exposures.basis == "content"
        values = [float(one) for one in exposures.levels] if is_seen else exposures.values
        pieces = cut_by_pattern(run, values, exposures.levels, usual)
    return pieces


def _read_exposures(run: Sequence[Frame]) -> _Exposures:
    """Tell the exposures of a run apart by what says most about them."""
    steps = [one.mark.step_ev if one.mark and one.mark.is_bracketing else None for one in run]
    biases = [one.bias_ev for one in run]
    light = tuple(one.light_ev or 0.0 for one in run)
    is_marked = run[0].is_bracketing is True
    told: tuple[tuple[Basis, list[float | None]], ...] = (("mark", steps), ("bias", biases))
    for basis, values in told:
        known = tuple(value for value in values if value is not None)
        if len(known) == len(run) and max(known) - min(known) >= MIN_STEP_EV:
            levels = tuple(find_levels(known, SAME_BIAS_EV))
            return _Exposures("mark" if is_marked else basis, known, levels)
    levels = tuple(find_levels(light, SAME_LIGHT_EV))
    by_hand: Basis = "manual" if run[0].mode == "manual" else "light"
    return _Exposures("mark" if is_marked else by_hand, light, levels)


def _refuse(part: Sequence[Frame], exposures: _Exposures, piece: range) -> str:
    """Why frames are no bracket; empty where they are one."""
    if len(part) < MIN_EXPOSURES:
        index = piece[0]
        near = {index - 1, index + 1} & set(range(len(exposures.levels)))
        if any(exposures.levels[other] == exposures.levels[index] for other in near):
            return "one of a burst of equal exposures"
        return "no other exposure of its scene beside it"
    if len(part) > MAX_EXPOSURES:
        return f"{len(part)} different exposures in a row, more than {MAX_EXPOSURES}"
    values = [exposures.values[index] for index in piece]
    if part[0].taken_s is None and part[0].is_bracketing is False and not is_whole(values):
        return "not bracketed, says its camera, and its clock says nothing"
    step = min(after - before for before, after in pairwise(sorted(values)))
    if exposures.basis == "content":
        return ""
    if exposures.basis in ("mark", "bias"):
        return "" if step >= MIN_STEP_EV else "exposures that hardly differ"
    if exposures.basis == "light" and part[0].mode == "auto" and part[0].bias_ev is not None:
        return "metered by itself, like the frames around it"
    return "" if step >= MIN_METERED_STEP_EV else "exposures that hardly differ"


def _explain(exposures: _Exposures, piece: range) -> str:
    values = [exposures.values[index] for index in piece]
    span = max(values) - min(values)
    return f"{len(values)} exposures over {span:.1f} EV, by {_BY[exposures.basis]}"
