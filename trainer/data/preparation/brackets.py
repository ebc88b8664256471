"""Finds the exposure brackets in a tree of photographs: by folder, or by EXIF."""

import hashlib
import os
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Literal

from tqdm import tqdm

from trainer.data.preparation.photos import PHOTO_SUFFIXES, Photo, read_photo

Grouping = Literal["auto", "folder", "exif"]

MIN_EXPOSURES = 3
MAX_GAP_S = 4.0
"""Pause between two exposures of one bracket; a long exposure may be followed by a dark frame of
the same length, which comes on top."""

SAME_EV = 0.2
"""Exposures nearer than this repeat each other; brackets step by a third of an EV or more."""

SAME_FOCAL_LENGTH = 0.02
"""Relative change of the focal length that a zoom lens reports while nobody touches it."""


@dataclass(frozen=True, slots=True)
class Bracket:
    """Photographs that are taken for the exposures of one scene.

    Attributes:
        name: Name of the scene: one path component, unique in the tree.
        folder: Folder of the photographs, relative to the tree.
        photos: The photographs.
        grouped_by: How they were found; `nothing` where EXIF was asked for and says nothing.
    """

    name: str
    folder: str
    photos: tuple[Photo, ...]
    grouped_by: Literal["folder", "exif", "nothing"]


@dataclass(frozen=True, slots=True)
class Survey:
    """What a tree of photographs holds.

    Attributes:
        brackets: The brackets, sorted by folder and time.
        ignored: Number of other files by suffix.
    """

    brackets: tuple[Bracket, ...]
    ignored: dict[str, int]


def find_brackets(root: Path, by: Grouping = "auto", *, without: Path | None = None) -> Survey:
    """Find the brackets of a tree; hidden files and folders are passed over.

    Args:
        root: Top of the tree.
        by: `folder`: the photographs of one folder are one bracket. `exif`: those of a folder are
            split by camera, time and exposure. `auto`: by EXIF where this finds several brackets
            in a folder, else by folder.
        without: A folder that is passed over, such as the one that is written to.

    Returns:
        The brackets, unusable ones too, and what else lies there.
    """
    ignored: Counter[str] = Counter()
    found: list[Bracket] = []
    for directory, names in tqdm(_walk(root, without), desc="scanning", unit="folder"):
        photos = []
        for name in names:
            path = directory / name
            if path.suffix.lower() in PHOTO_SUFFIXES:
                photos.append(read_photo(path))
            else:
                ignored[path.suffix.lower() or "none"] += 1
        if photos:
            folder = directory.relative_to(root).as_posix()
            found += _group(photos, by, folder, root.resolve().name)
    return Survey(tuple(_name_apart(found, root)), dict(ignored))


def split_by_exif(photos: Sequence[Photo]) -> list[list[Photo]]:
    """Split the photographs of one folder into brackets.

    In the order of camera and time, a new bracket begins where the camera, the size, the
    orientation or the focal length changes, where the pause since the end of the exposure before
    is longer than `MAX_GAP_S` and a dark frame, or where an exposure of the bracket comes again.

    Args:
        photos: Photographs with a time and an exposure.

    Returns:
        The brackets, in the order of camera and time.
    """
    brackets: list[list[Photo]] = []
    for photo in sorted(photos, key=lambda one: (one.camera, one.taken_s, one.path.name)):
        if brackets and _continues(brackets[-1], photo):
            brackets[-1].append(photo)
        else:
            brackets.append([photo])
    return brackets


def _continues(bracket: Sequence[Photo], photo: Photo) -> bool:
    last = bracket[-1]
    if _setting(last) != _setting(photo) or not _is_same_zoom(last, photo):
        return False
    return _pause_s(last, photo) <= MAX_GAP_S + (last.exposure_s or 0.0) and not _repeats(
        bracket, photo
    )


def _setting(photo: Photo) -> tuple[str, int, int, int]:
    return photo.camera, photo.width, photo.height, photo.orientation


def _is_same_zoom(first: Photo, second: Photo) -> bool:
    if first.focal_length_mm is None or second.focal_length_mm is None:
        return first.focal_length_mm == second.focal_length_mm
    change = abs(first.focal_length_mm - second.focal_length_mm)
    return change <= SAME_FOCAL_LENGTH * first.focal_length_mm


def _pause_s(last: Photo, photo: Photo) -> float:
    """Seconds from the end of one exposure to the beginning of the next."""
    if last.taken_s is None or photo.taken_s is None:
        return float("inf")
    return photo.taken_s - last.taken_s - (last.exposure_s or 0.0)


def _repeats(bracket: Sequence[Photo], photo: Photo) -> bool:
    """Whether an exposure comes again: the same EV, or the same step of a bracketing camera.

    The light may have changed between two brackets, and the metered EV with it; the exposure
    compensation then still tells them apart. It is constant where a photographer steps by hand.
    """
    if any(_is_same_ev(one, photo) for one in bracket):
        return True
    biases = {one.bias_ev for one in bracket}
    return photo.bias_ev is not None and len(biases) > 1 and photo.bias_ev in biases


def _is_same_ev(first: Photo, second: Photo) -> bool:
    if first.exposure_ev is None or second.exposure_ev is None:
        return False
    return abs(first.exposure_ev - second.exposure_ev) < SAME_EV


def _group(photos: Sequence[Photo], by: Grouping, folder: str, root_name: str) -> list[Bracket]:
    """Group the photographs of one folder."""
    label = root_name if folder == "." else folder
    timed = [one for one in photos if one.taken_s is not None and one.exposure_ev is not None]
    groups = split_by_exif(timed)
    if by == "folder" or (by == "auto" and not _needs_splitting(photos, groups)):
        return [Bracket(label, folder, tuple(photos), "folder")]
    found = [
        Bracket(f"{label}/{group[0].path.stem}", folder, tuple(group), "exif") for group in groups
    ]
    paths = {one.path for one in timed}
    untimed = tuple(one for one in photos if one.path not in paths)
    if untimed:
        found.append(Bracket(f"{label}/without-exif", folder, untimed, "nothing"))
    return found


def _needs_splitting(photos: Sequence[Photo], groups: Sequence[Sequence[Photo]]) -> bool:
    """Whether a folder holds more than one bracket.

    Pauses alone do not say so: who changes the exposure by hand takes his time. But several
    groups that could each be a bracket do, and so do exposures that come again beside one.
    """
    timed = sum(len(group) for group in groups)
    if 2 * timed <= len(photos):
        return False
    whole = sum(len(group) >= MIN_EXPOSURES for group in groups)
    levels = sorted(one.exposure_ev or 0.0 for group in groups for one in group)
    is_repeated = any(b - a < SAME_EV for a, b in pairwise(levels))
    return whole > 1 or (whole == 1 and len(groups) > 1 and is_repeated)


def _walk(root: Path, without: Path | None) -> list[tuple[Path, list[str]]]:
    """Every folder with its files, sorted, but for hidden ones and the one to leave out."""
    left_out = None if without is None else without.resolve()
    found = []
    for place, folders, files in os.walk(root):
        directory = Path(place)
        folders[:] = sorted(
            name
            for name in folders
            if name[0] not in ".@" and (directory / name).resolve() != left_out
        )
        found.append((directory, sorted(name for name in files if name[0] != ".")))
    return found


def _name_apart(brackets: Sequence[Bracket], root: Path) -> list[Bracket]:
    """Give every bracket a name that is one path component and nobody else's."""
    plain = [re.sub(r"[^A-Za-z0-9._-]+", "-", one.name).strip("-.") for one in brackets]
    count = Counter(name.lower() for name in plain)
    named = []
    for bracket, name in zip(brackets, plain, strict=True):
        if not name or count[name.lower()] > 1:
            first = bracket.photos[0].path.relative_to(root).as_posix()
            name = f"{name}-{hashlib.sha256(first.encode()).hexdigest()[:8]}".lstrip("-")
        named.append(replace(bracket, name=name))
    return named
