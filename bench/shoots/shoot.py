"""Makes a shoot of several cameras, with everything that makes its brackets hard to find.

What is taken: brackets of two to nine in one press or frame by frame, again and again without a
pause, as panoramas, by hand, of long exposures with and without dark frames; bursts with steady
and with wandering exposure, single pictures, panoramas of single pictures, pictures with the
compensation turned between them. What goes wrong: clocks that are wrong by years, reset, set back
or stuck, headers without a time, files that are missing, numbers that begin anew, cameras that
take turns, raw files beside the pictures.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from bench.shoots.cameras import CAMERAS, Camera
from bench.shoots.header_writer import write_exif, write_jpeg, write_raw
from bench.shoots.taken import Taken

MISSING_SHARE = 0.015
RAW_SHARE = 0.15
BEGIN_S = datetime(2024, 5, 1, 9, 0, tzinfo=UTC).timestamp()
THIRD = 1.0 / 3.0


@dataclass(frozen=True, slots=True)
class Shoot:
    """A shoot and its truth.

    Attributes:
        files: Content by name.
        brackets: Names of the files of each bracket of which at least two are there.
        descriptions: What was meant by the frame, by name: for the list of errors.
    """

    files: dict[str, bytes]
    brackets: tuple[frozenset[str], ...]
    descriptions: dict[str, str]

    def write(self, folder: Path) -> list[Path]:
        """Write the files; returns their paths."""
        for name, content in self.files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        return [folder / name for name in self.files]


@dataclass(slots=True)
class Photographer:
    """Somebody with one camera, who takes one thing after another.

    Attributes:
        camera: What the camera does.
        dice: Decides everything.
        now_s: Seconds since the shoot began.
        taken: What was taken so far.
        next_bracket: Number of the next bracket, unique in the shoot.
        kinds: What each frame was meant as.
    """

    camera: Camera
    dice: random.Random
    now_s: float = 0.0
    taken: list[Taken] = field(default_factory=list)
    next_bracket: int = 0
    kinds: list[str] = field(default_factory=list)

    def press(self, taken: Taken, kind: str) -> None:
        """Take one frame now."""
        self.taken.append(replace(taken, began_s=self.now_s))
        self.kinds.append(kind)
        self.now_s += taken.exposure_s

    def wait(self, least_s: float, most_s: float) -> None:
        """Do nothing for a while."""
        self.now_s += self.dice.uniform(least_s, most_s)

    def meter(self) -> Taken:
        """A frame as the light is now."""
        exposure_s = 2.0 ** -(round(self.dice.uniform(3.0, 10.0) * 3) / 3)
        return Taken(
            0.0,
            exposure_s,
            f_number=self.dice.choice((2.8, 4.0, 5.6, 8.0, 11.0)),
            iso=self.dice.choice((100, 200, 400)),
            focal_length_mm=self.dice.choice((16.0, 24.0, 35.0, 50.0)),
            orientation=self.dice.choice((1, 1, 1, 6, 8)),
            is_manual=self.dice.random() < 0.2,
        )


def take_bracket(
    who: Photographer,
    base: Taken,
    shots: int,
    step_ev: float,
    kind: str,
    *,
    between_s: tuple[float, float] = (0.08, 0.3),
) -> None:
    """A bracket by the camera itself."""
    number = who.next_bracket
    who.next_bracket += 1
    steps = who.camera.order_steps(shots)
    for shot, multiple in enumerate(steps, 1):
        offset_ev = multiple * step_ev
        frame = replace(
            base,
            exposure_s=base.exposure_s * 2.0**offset_ev,
            step_ev=offset_ev,
            drive="bracket",
            shot=shot,
            shots=shots,
            bracket=number,
        )
        if who.camera.note == "none" and not who.camera.says_bracket:
            frame.is_manual = True  # A phone's programme locks the exposure of each frame.
        who.press(frame, kind)
        if shot < len(steps):
            who.wait(*between_s)


def _choose_bracket(who: Photographer) -> tuple[int, float]:
    shots = who.dice.choices((2, 3, 5, 7, 9), (1, 10, 5, 3, 1))[0]
    step_ev = who.dice.choice((THIRD * 2, 1.0, 2.0) if shots <= 5 else (THIRD * 2, 1.0))
    return shots, step_ev


def single_bracket(who: Photographer) -> None:
    """A bracket in one press."""
    take_bracket(who, who.meter(), *_choose_bracket(who), "bracket")


def bracket_frame_by_frame(who: Photographer) -> None:
    """A bracket for which the photographer presses every time."""
    between_s = (0.6, 1.5) if who.camera.note == "none" else (0.8, 3.5)
    take_bracket(
        who, who.meter(), *_choose_bracket(who), "bracket, frame by frame", between_s=between_s
    )


def brackets_again(who: Photographer) -> None:
    """The same bracket several times without a pause."""
    base, (shots, step_ev) = who.meter(), _choose_bracket(who)
    for _ in range(who.dice.randint(2, 4)):
        take_bracket(who, base, shots, step_ev, "bracket, repeated")
        who.wait(0.3, 0.6)


def panorama_of_brackets(who: Photographer) -> None:
    """Brackets with the camera turned between them; metered anew or locked."""
    base, (shots, step_ev) = who.meter(), _choose_bracket(who)
    is_locked = base.is_manual or not who.camera.writes_bias
    for _ in range(who.dice.randint(4, 8)):
        drift_ev = 0.0 if is_locked else round(who.dice.uniform(-1.0, 1.0) * 3) / 3
        turned = replace(base, exposure_s=base.exposure_s * 2.0**drift_ev)
        take_bracket(who, turned, shots, step_ev, "panorama of brackets")
        who.wait(1.5, 4.0)


def night_bracket(who: Photographer) -> None:
    """Long exposures; the camera may take a dark frame after each."""
    base = replace(who.meter(), exposure_s=2.0 ** who.dice.randint(0, 3), iso=100, is_manual=True)
    has_dark_frames = who.dice.random() < 0.5
    number = who.next_bracket
    who.next_bracket += 1
    steps = who.camera.order_steps(who.dice.choice((3, 5)))
    is_phone = who.camera.note == "none" and not who.camera.says_bracket
    for shot, multiple in enumerate(steps, 1):
        exposure_s = min(base.exposure_s * 2.0**multiple, 30.0)
        frame = replace(base, exposure_s=exposure_s, step_ev=multiple, drive="bracket", shot=shot)
        who.press(
            replace(frame, shots=len(steps), bracket=number, is_manual=base.is_manual or is_phone),
            "night bracket",
        )
        who.now_s += exposure_s if has_dark_frames else 0.0
        who.wait(0.2, 0.6)


def bracket_by_hand(who: Photographer) -> None:
    """Exposures set at the dial, on a tripod."""
    base = replace(who.meter(), is_manual=True)
    number = who.next_bracket
    who.next_bracket += 1
    count = who.dice.choice((2, 3, 3, 4, 5))
    step_ev = who.dice.choice((1.0, 2.0)) * who.dice.choice((-1, 1))
    for place in range(count):
        exposure_s = base.exposure_s * 2.0 ** (step_ev * (place - count // 2))
        who.press(replace(base, exposure_s=exposure_s, bracket=number), "bracket by hand")
        who.wait(1.5, 4.5)


def burst(who: Photographer) -> None:
    """Many frames of one exposure, or of one that the camera adjusts a little as it goes on."""
    base = replace(who.meter(), is_manual=False)
    wanders = who.dice.random() < 0.5
    offset_ev = 0.0
    for shot in range(1, who.dice.randint(4, 18)):
        offset_ev += who.dice.choice((-THIRD, 0.0, THIRD)) if wanders else 0.0
        exposure_s = base.exposure_s * 2.0**offset_ev
        who.press(replace(base, exposure_s=exposure_s, drive="continuous", shot=shot), "burst")
        who.wait(0.05, 0.2)


def singles(who: Photographer) -> None:
    """Pictures here and there, some of them soon after each other, each metered."""
    for _ in range(who.dice.randint(2, 8)):
        who.press(replace(who.meter(), is_manual=False), "single")
        who.wait(*who.dice.choice(((1.2, 4.0), (5.0, 60.0), (60.0, 600.0))))


def singles_by_hand(who: Photographer) -> None:
    """Pictures with settings by hand, some equal, each of something else."""
    base = replace(who.meter(), is_manual=True)
    for _ in range(who.dice.randint(2, 5)):
        change_ev = who.dice.choice((0.0, 0.0, THIRD, -1.0, 1.0))
        base = replace(base, exposure_s=base.exposure_s * 2.0**change_ev)
        who.press(base, "single by hand")
        who.wait(12.0, 60.0)


def panorama_of_singles(who: Photographer) -> None:
    """One exposure for all of them, or metered anew for each."""
    base, is_locked = who.meter(), who.dice.random() < 0.6
    for _ in range(who.dice.randint(4, 10)):
        drift_ev = 0.0 if is_locked else round(who.dice.uniform(-1.0, 1.0) * 3) / 3
        exposure_s = base.exposure_s * 2.0**drift_ev
        who.press(replace(base, exposure_s=exposure_s, is_manual=is_locked), "panorama of singles")
        who.wait(1.0, 2.5)


def compensation_turned(who: Photographer) -> None:
    """The same thing again, brighter or darker, after a look at the screen."""
    base = replace(who.meter(), is_manual=False)
    for bias_ev in who.dice.sample((0.0, -THIRD, THIRD * 2, -1.0, 1.0), who.dice.randint(2, 3)):
        exposure_s = base.exposure_s * 2.0**bias_ev
        who.press(replace(base, exposure_s=exposure_s, bias_ev=bias_ev), "compensation turned")
        who.wait(6.0, 20.0)


EVENTS: tuple[tuple[Callable[[Photographer], None], float], ...] = (
    (single_bracket, 6.0),
    (bracket_frame_by_frame, 3.0),
    (brackets_again, 2.0),
    (panorama_of_brackets, 1.5),
    (night_bracket, 1.5),
    (bracket_by_hand, 1.5),
    (burst, 1.5),
    (singles, 3.0),
    (singles_by_hand, 1.0),
    (panorama_of_singles, 1.0),
    (compensation_turned, 1.0),
)


def make_shoot(seed: int, files: int = 1000) -> Shoot:
    """Make a shoot of about so many files, taken by all cameras by turns.

    Args:
        seed: Of everything.
        files: How many files there are at the end, at most a few more.
    """
    dice = random.Random(seed)
    crew = [Photographer(camera, random.Random(dice.random())) for camera in CAMERAS]
    # Some bring a second body of the same model.
    crew += [Photographer(camera, random.Random(dice.random())) for camera in CAMERAS[:5:2]]
    for index, who in enumerate(crew):
        who.next_bracket = index * 100_000
    functions, weights = zip(*EVENTS, strict=True)
    while sum(len(who.taken) for who in crew) < files / (1.0 + RAW_SHARE / 2):
        who = min(crew, key=lambda one: one.now_s)
        dice.choices(functions, weights)[0](who)
        who.wait(*dice.choice(((5.0, 15.0), (20.0, 300.0))))
    return _develop(crew, dice)


def _develop(crew: list[Photographer], dice: random.Random) -> Shoot:
    shoot: dict[str, bytes] = {}
    truth: dict[int, set[str]] = {}
    descriptions: dict[str, str] = {}
    for index, who in enumerate(crew):
        serial = f"{dice.randint(100_000, 999_999)}"
        fault = _set_clock(who, dice)
        _name_files(who, index, dice)
        for taken, kind in zip(who.taken, who.kinds, strict=True):
            if dice.random() < MISSING_SHARE:
                continue
            exif = write_exif(who.camera, taken, serial)
            shoot[taken.name] = write_jpeg(exif)
            descriptions[taken.name] = f"{who.camera.model}, {fault}: {kind}"
            if taken.bracket is not None:
                truth.setdefault(taken.bracket, set()).add(taken.name)
            if taken.has_raw:
                name = taken.name.rpartition(".")[0] + ".DNG"
                shoot[name] = write_raw(who.camera, taken, serial)
                descriptions[name] = "raw twin"
    brackets = tuple(frozenset(names) for names in truth.values() if len(names) > 1)
    return Shoot(shoot, brackets, descriptions)


def _set_clock(who: Photographer, dice: random.Random) -> str:
    """Give every frame the time that its camera's clock showed."""
    wrong_s = dice.choice((0.0, 0.0, dice.uniform(-9e7, 9e7), 3600.0))
    fault = dice.choices(("sound", "reset", "set back", "stuck", "gaps"), (8, 1, 1, 1, 1))[0]
    if who.camera.name.startswith("PXL"):
        fault, wrong_s = "sound", 0.0  # A phone's clock is right.
    breaks = [
        index
        for index in range(1, len(who.taken))
        if who.taken[index].bracket is None
        or who.taken[index].bracket != who.taken[index - 1].bracket
    ]
    turn = dice.choice(breaks) if breaks else 0
    first_s = who.taken[turn].began_s if who.taken else 0.0
    for index, taken in enumerate(who.taken):
        stamp_s = taken.ended_s if who.camera.stamps_end else taken.began_s
        taken.clock_s = BEGIN_S + stamp_s + wrong_s
        if fault == "reset" and index >= turn:
            taken.clock_s = 946_684_800.0 + stamp_s - first_s  # 2000-01-01
        elif fault == "set back" and index >= turn:
            taken.clock_s -= 3600.0
        elif fault == "stuck":
            taken.clock_s = 1_483_228_800.0
        elif fault == "gaps":
            taken.has_clock = dice.random() > 0.02
    return f"clock {fault}"


def _name_files(who: Photographer, index: int, dice: random.Random) -> None:
    """Name the files; two cameras' numbers may wrap, and folders change at a wrap."""
    last = who.camera.last_number
    number = dice.choice((dice.randint(1, last), last - dice.randint(5, 40)))
    folder = 100 + index * 10
    writes_raw = dice.random() < 2 * RAW_SHARE
    for taken in who.taken:
        number += 1
        if number > last:
            number, folder = 1, folder + 1
        moment = datetime.fromtimestamp(taken.clock_s, UTC).strftime("%Y%m%d_%H%M%S%f")[:-3]
        taken.name = f"{folder}CARD/{who.camera.name.format(number, moment)}"
        taken.has_raw = writes_raw and dice.random() < 0.5
