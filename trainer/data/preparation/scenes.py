"""One bracket to one stack of the training data, or to the reason why it is none."""

import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from model.errors import FusionError
from trainer.data.preparation.alignment import Placement, crop_to_common, place_exposures
from trainer.data.preparation.brackets import MIN_EXPOSURES, SAME_EV, Bracket
from trainer.data.preparation.photos import Photo, read_pixels
from trainer.data.stacks import MID_TONE_LIGHTNESS, find_triples, mean_lightness
from trainer.errors import DataError, SceneError

MAX_EXPOSURES = 24
"""A folder with more photographs is no bracket but several, or none."""

MIN_SIDE_PX = 256
"""Side of the default training crop."""

MIN_STEP_LIGHTNESS = 2.0
"""Mean L* between two exposures below which the second shows nothing that the first does not."""

MIN_SPAN_LIGHTNESS = 15.0
"""Mean L* from the darkest to the brightest exposure; one EV at the mid-tones moves it by 18."""

MIN_SPAN_EV = 1.0
PNG_COMPRESSION = 6

ERRORS_OF_LIBRARIES = (
    FusionError,
    MemoryError,
    OSError,
    RuntimeError,
    ValueError,
    cv2.error,
)
"""What alignment, OpenCV, PyTorch and the file system raise on a scene that they cannot cope with;
anything else is a mistake in this programme and ends it."""

Reason = Literal[
    "no_exif",
    "too_few_exposures",
    "too_many_exposures",
    "unreadable",
    "sizes_differ",
    "too_small",
    "too_alike",
    "no_correct_exposure",
    "no_triple",
    "alignment_refused",
    "duplicate",
    "failed",
]
"""Why a bracket is refused: grouping by EXIF found none; fewer than three or more than
`MAX_EXPOSURES` photographs; too many of them cannot be read; their sizes differ; a side is shorter
than `MIN_SIDE_PX`, maybe after the crop; all are about equally bright; none passes as correctly
exposed; no exposure is darker, or none brighter, than the correct one; too few can be aligned;
another bracket holds the same files; a library or the disk failed."""


class Outcome(BaseModel):
    """What became of one bracket.

    Attributes:
        scene: Name of the scene and of its folder under `stacks/`.
        folder: Folder of the photographs, relative to the tree.
        grouped_by: How the bracket was found.
        photos: Names of its files.
        fingerprint: Of the files and options; another one means that the scene is to be redone.
        reason: Why the bracket was refused, None when it was accepted.
        detail: The same as a sentence.
        kept: The files that became exposures, dark to bright.
        lightness: Mean L* of each exposure.
        correct: Which of them the others were aligned to.
        span_ev: EV from the first exposure to the last, None where EXIF does not say.
        shifts_px: Largest motion of a corner of each exposure; 0 where nothing was moved.
        cropped_share: Share of the picture that was lost to the crop.
        width: Width of the exposures.
        height: Height of the exposures.
        notes: What else is worth knowing, such as dropped exposures.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    scene: str
    folder: str
    grouped_by: str
    photos: tuple[str, ...]
    fingerprint: str = ""
    reason: Reason | None = None
    detail: str = ""
    kept: tuple[str, ...] = ()
    lightness: tuple[float, ...] = ()
    correct: int = 0
    span_ev: float | None = None
    shifts_px: tuple[float, ...] = ()
    cropped_share: float = 0.0
    width: int = 0
    height: int = 0
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Exposure:
    """One photograph of a bracket with its pixels."""

    photo: Photo
    image: NDArray[np.uint8]
    lightness: float
    placement: Placement = field(default_factory=Placement)


def prepare_scene(bracket: Bracket, stacks: Path, max_side_px: int, fingerprint: str) -> Outcome:
    """Turn one bracket into a stack of the training data.

    The photographs are read upright, in sRGB and reduced; ordered by their lightness, whatever
    EXIF says; thinned where two are about the same; aligned onto the correct exposure; cropped to
    what all of them show; and written without loss, as `00.png`, `01.png`, ..., dark to bright.
    PNG, because a second JPEG compression, whose blocks lie elsewhere after reduction and crop,
    would teach the network artefacts that no camera makes.

    Args:
        bracket: The photographs.
        stacks: Folder that the stack's folder is written into; one of that name is replaced.
        max_side_px: The longer side of the photographs is reduced to this.
        fingerprint: Carried into the outcome.

    Returns:
        The outcome; what a library or the disk fails at is one too.
    """
    outcome = Outcome(
        scene=bracket.name,
        folder=bracket.folder,
        grouped_by=bracket.grouped_by,
        photos=tuple(photo.path.name for photo in bracket.photos),
        fingerprint=fingerprint,
    )
    notes: list[str] = []
    try:
        outcome = _prepare(bracket, stacks / bracket.name, max_side_px, outcome, notes)
    except SceneError as error:
        outcome = outcome.model_copy(update={"reason": error.reason, "detail": error.message})
    except ERRORS_OF_LIBRARIES as error:
        # A scene that breaks a library fails alone, as a job of the device worker does.
        detail = f"{type(error).__name__}: {error}"
        outcome = outcome.model_copy(update={"reason": "failed", "detail": detail})
    return outcome.model_copy(update={"notes": tuple(notes)})


def _prepare(
    bracket: Bracket, target: Path, max_side_px: int, outcome: Outcome, notes: list[str]
) -> Outcome:
    """Fill in the outcome of a bracket that is accepted; any other raises."""
    photos = _check_files(bracket, notes)
    exposures = _read(photos, max_side_px, notes)
    _check_size(exposures[0].image, "")
    exposures.sort(key=lambda one: one.lightness)
    _compare_with_exif(exposures, notes)
    _check_span(exposures)
    exposures, correct = _choose(exposures, notes)
    height, width = exposures[0].image.shape[:2]
    exposures, correct = _align(exposures, correct, notes)
    _check_span(exposures)
    images, rect = crop_to_common(
        [one.image for one in exposures], [one.placement for one in exposures]
    )
    _check_size(exposures[correct].image[rect.slices], " after alignment and crop")
    lightness = tuple(round(mean_lightness(image), 3) for image in images)
    if not find_triples(lightness):
        raise SceneError("no_correct_exposure", f"after the crop, mean L* is {_listed(lightness)}")
    _write(images, target)
    span_ev = _span_ev(exposures)
    return outcome.model_copy(
        update={
            "kept": tuple(one.photo.path.name for one in exposures),
            "lightness": lightness,
            "correct": correct,
            "span_ev": None if span_ev is None else round(span_ev, 2),
            "shifts_px": tuple(round(one.placement.shift_px, 2) for one in exposures),
            "cropped_share": round(1 - rect.height * rect.width / (height * width), 4),
            "width": rect.width,
            "height": rect.height,
        }
    )


def _check_files(bracket: Bracket, notes: list[str]) -> list[Photo]:
    """What the headers tell already, before a pixel is decoded."""
    count = len(bracket.photos)
    if bracket.grouped_by == "nothing":
        raise SceneError("no_exif", f"{count} photographs without a time or an exposure in EXIF")
    if count < MIN_EXPOSURES:
        raise SceneError("too_few_exposures", f"expected at least {MIN_EXPOSURES}, found {count}")
    if count > MAX_EXPOSURES:
        raise SceneError("too_many_exposures", f"expected at most {MAX_EXPOSURES}, found {count}")
    readable = [photo for photo in bracket.photos if photo.width]
    notes += [f"{photo.path.name} is no image" for photo in bracket.photos if not photo.width]
    _check_readable(readable, notes)
    readable = _drop_results(readable, notes)
    sizes = Counter((photo.width, photo.height) for photo in readable)
    if len(sizes) > 1:
        listed = ", ".join(f"{w}x{h} ({times})" for (w, h), times in sizes.most_common())
        raise SceneError("sizes_differ", f"expected one size, found {listed}")
    return readable


def _drop_results(photos: list[Photo], notes: list[str]) -> list[Photo]:
    """Drop the few without an exposure time among those that have one: results, as a rule."""
    timed = [photo for photo in photos if photo.exposure_ev is not None]
    if len(timed) < max(MIN_EXPOSURES, len(photos) // 2 + 1):
        return photos
    notes += [
        f"{photo.path.name} dropped: no exposure time in EXIF, unlike the others"
        for photo in photos
        if photo.exposure_ev is None
    ]
    return timed


def _check_readable(readable: Sequence[object], notes: Sequence[str]) -> None:
    if len(readable) < MIN_EXPOSURES:
        raise SceneError(
            "unreadable",
            f"expected at least {MIN_EXPOSURES} readable exposures, found {len(readable)}: "
            + "; ".join(notes),
        )


def _read(photos: Sequence[Photo], max_side_px: int, notes: list[str]) -> list[Exposure]:
    exposures = []
    for photo in photos:
        try:
            image = read_pixels(photo.path, max_side_px)
        except DataError as error:
            notes.append(error.message)
        else:
            exposures.append(Exposure(photo, image, mean_lightness(image)))
    _check_readable(exposures, notes)
    return exposures


def _check_size(image: NDArray[np.uint8], when: str) -> None:
    height, width = image.shape[:2]
    if min(height, width) < MIN_SIDE_PX:
        raise SceneError(
            "too_small", f"expected sides of at least {MIN_SIDE_PX}, got {width}x{height}{when}"
        )


def _compare_with_exif(exposures: Sequence[Exposure], notes: list[str]) -> None:
    levels = [one.photo.exposure_ev for one in exposures]
    known = [level for level in levels if level is not None]
    if len(known) == len(levels) and any(b < a - SAME_EV for a, b in pairwise(known)):
        notes.append(f"EXIF orders them otherwise ({_listed(known)} EV); ordered by lightness")


def _check_span(exposures: Sequence[Exposure]) -> None:
    span = exposures[-1].lightness - exposures[0].lightness
    if span < MIN_SPAN_LIGHTNESS:
        raise SceneError(
            "too_alike", f"expected {MIN_SPAN_LIGHTNESS} of mean L* between them, got {span:.1f}"
        )
    span_ev = _span_ev(exposures)
    if span_ev is not None and span_ev < MIN_SPAN_EV:
        raise SceneError("too_alike", f"expected {MIN_SPAN_EV} EV between them, got {span_ev:.2f}")


def _span_ev(exposures: Sequence[Exposure]) -> float | None:
    """EV from the first to the last; None where EXIF does not tell them apart.

    It does not where a time is missing, nor where several renderings of one raw file repeat it.
    """
    known = [one.photo.exposure_ev for one in exposures if one.photo.exposure_ev is not None]
    span = max(known) - min(known) if len(known) == len(exposures) else 0.0
    return span if span >= SAME_EV else None


def _choose(exposures: Sequence[Exposure], notes: list[str]) -> tuple[list[Exposure], int]:
    """Choose the correct exposure and drop what hardly differs from a better neighbour."""
    low, high = MID_TONE_LIGHTNESS
    lightness = [one.lightness for one in exposures]
    passing = [index for index, value in enumerate(lightness) if low <= value <= high]
    if not passing:
        raise SceneError(
            "no_correct_exposure",
            f"expected one of mean L* {low:.0f} to {high:.0f}, got {_listed(lightness)}",
        )
    between = [
        index
        for index in passing
        if lightness[0] <= lightness[index] - MIN_STEP_LIGHTNESS
        and lightness[index] + MIN_STEP_LIGHTNESS <= lightness[-1]
    ]
    if not between:
        raise SceneError(
            "no_triple",
            "expected a darker and a brighter exposure than a correct one, got mean L* "
            + _listed(lightness),
        )
    correct = min(between, key=lambda index: abs(lightness[index] - (low + high) / 2))
    kept = [correct]
    for outwards in (range(correct - 1, -1, -1), range(correct + 1, len(exposures))):
        last = correct
        for index in outwards:
            if abs(lightness[index] - lightness[last]) >= MIN_STEP_LIGHTNESS:
                kept.append(index)
                last = index
            else:
                names = [exposures[one].photo.path.name for one in (index, last)]
                notes.append(f"{names[0]} dropped: as bright as {names[1]}")
    kept.sort()
    return [exposures[index] for index in kept], kept.index(correct)


def _align(
    exposures: Sequence[Exposure], correct: int, notes: list[str]
) -> tuple[list[Exposure], int]:
    """Place the exposures; those that cannot be placed are dropped."""
    placements = place_exposures([one.image for one in exposures], correct)
    placed, refused = [], []
    for exposure, placement in zip(exposures, placements, strict=True):
        if placement.refused is None:
            placed.append(replace(exposure, placement=placement))
        else:
            refused.append(f"{exposure.photo.path.name} dropped: alignment {placement.refused}")
    notes += refused
    position = sum(one.refused is None for one in placements[:correct])
    if position == 0 or position == len(placed) - 1:
        raise SceneError(
            "alignment_refused",
            "no aligned exposure is left on one side of the correct one: " + "; ".join(refused),
        )
    return placed, position


def _write(images: Sequence[NDArray[np.uint8]], target: Path) -> None:
    """Write the stack; a kill in the middle leaves no folder of that name."""
    partial = target.with_name(f".{target.name}.partial")
    for directory in (partial, target):
        shutil.rmtree(directory, ignore_errors=True)
    partial.mkdir(parents=True)
    for index, image in enumerate(images):
        path = partial / f"{index:02d}.png"
        options = [cv2.IMWRITE_PNG_COMPRESSION, PNG_COMPRESSION]
        if not cv2.imwrite(str(path), image[..., ::-1], options):
            raise OSError(f"'{path.name}' could not be written")
    partial.rename(target)


def _listed(numbers: Sequence[float]) -> str:
    return ", ".join(f"{number:.1f}" for number in numbers)
