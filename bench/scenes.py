"""Pictures of any size and number to measure with, from photographs where there are any.

The sample pair of `examples/` is always there, the larger photographs only beside a checkout that
has the shared ones. A size that no photograph has is made by resampling one, and says so.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from bench.measurement import MEGAPIXEL, Measurement, Rounds
from bench.processes import Memory
from bench.repository import ROOT, SHARED_DATA

Picture = NDArray[np.uint8]

SAMPLE = (ROOT / "examples" / "under.jpg", ROOT / "examples" / "over.jpg")
HIGHRES = tuple(SHARED_DATA / "highres" / "meflut-1" / name for name in ("00.jpg", "03.jpg"))
HANDHELD = tuple(SHARED_DATA / "handheld" / "sycLin-scene1" / name for name in ("01.jpg", "03.jpg"))

SAMPLE_ENOUGH_MP = 0.7
"""Up to here a scene is made of the sample pair, above of the large photographs, if there."""

QUALITY = 95
"""Of the JPEG files that are made."""

MARGIN = 0.05
"""Share of a side that is cut off after exposures were displaced, so that all show the scene."""

ROTATION_DEG, SHIFT, PERSPECTIVE = 0.5, 0.012, 0.004
"""How far the next exposure of a hand-held stack lies: turned by so much, shifted by this share of
the longer side, and the far edge smaller by this share."""

WANDERER = 0.12
"""Side of what moves in a scene, as a share of the shorter side."""


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """Exposures of one scene, dark to bright, and where they come from.

    Attributes:
        exposures: RGB. Shape (H, W, 3) each, uint8.
        source: In words.
        files: The same as JPEG files; None where none were made yet.
        maps: Of displaced exposures, where each shows the scene: maps of scene pixels to its own.
            Shape (3, 3) each. None where they are not known.
    """

    exposures: tuple[Picture, ...]
    source: str
    files: tuple[bytes, ...] | None = None
    maps: tuple[NDArray[np.float64], ...] | None = None

    @property
    def width(self) -> int:
        """Width in pixels."""
        return int(self.exposures[0].shape[1])

    @property
    def height(self) -> int:
        """Height in pixels."""
        return int(self.exposures[0].shape[0])

    def describe(
        self,
        name: str,
        rounds: Rounds,
        facts: dict[str, object] | None = None,
        *,
        peaks: dict[str, Memory] | None = None,
        skipped: Mapping[str, str] | None = None,
    ) -> Measurement:
        """What was measured of it; the arguments are those of `Measurement`."""
        return Measurement(
            name=name,
            source=self.source,
            width=self.width,
            height=self.height,
            exposures=len(self.exposures),
            rounds=rounds,
            facts=facts or {},
            peaks=peaks or {},
            skipped=skipped or {},
        )

    def encode(self) -> tuple[bytes, ...]:
        """The files as they are, or JPEG files made now."""
        if self.files is not None:
            return self.files
        options = [cv2.IMWRITE_JPEG_QUALITY, QUALITY]
        return tuple(
            cv2.imencode(".jpg", cv2.cvtColor(one, cv2.COLOR_RGB2BGR), options)[1].tobytes()
            for one in self.exposures
        )


def has_photographs() -> bool:
    """The shared photographs lie beside this checkout."""
    return all(path.exists() for path in (*HIGHRES, *HANDHELD))


def take_photographs(paths: Sequence[Path]) -> Scene:
    """Photographs as they are.

    Args:
        paths: Their files, dark to bright.
    """
    source = " and ".join("/".join(path.parts[-3:]) for path in paths)
    files = tuple(path.read_bytes() for path in paths)
    return Scene(tuple(read_photograph(path) for path in paths), f"{source}, as they are", files)


def take_still(megapixels: float, count: int = 2) -> Scene:
    """A scene at rest of a given size, in two to nine exposures.

    Those between the first and the last photograph are weighted means of the two.

    Args:
        megapixels: Size of an exposure.
        count: How many.
    """
    (under, over), source = _read_base(megapixels)
    size = choose_size(megapixels, under)
    ends = [resample(one, size) for one in (under, over)]
    exposures = tuple(
        np.asarray(cv2.addWeighted(ends[0], 1 - share, ends[1], share, 0), np.uint8)
        for share in np.linspace(0, 1, count)
    )
    between = f", {count - 2} exposures mixed of the two" if count > 2 else ""
    return Scene(exposures, f"{source}, resampled{between}")


def take_handheld(megapixels: float, count: int = 2, *, moves: bool = False) -> Scene:
    """The same, each exposure displaced by a known homography as a hand does it.

    The exposure in the middle stays. All are cut to what they have in common.

    Args:
        megapixels: See `take_still`, as the other.
        count: See there.
        moves: A part of the picture wanders from exposure to exposure too.
    """
    still = take_still(megapixels / (1 - 2 * MARGIN) ** 2, count)
    exposures = list(still.exposures)
    if moves:
        exposures = [add_wanderer(one, number) for number, one in enumerate(exposures)]
    size = choose_size(megapixels, exposures[0])
    corner = ((still.width - size[0]) // 2, (still.height - size[1]) // 2)
    warps = [displacement(still.width, still.height, k - count // 2) for k in range(count)]
    displaced = tuple(
        _displace(one, warp, corner, size) for one, warp in zip(exposures, warps, strict=True)
    )
    cut = np.array([[1.0, 0, -corner[0]], [0, 1, -corner[1]], [0, 0, 1]])
    maps = tuple(cut @ warp @ np.linalg.inv(cut) for warp in warps)
    what = "displaced as by hand" + (", with something that moves" if moves else "")
    return Scene(displaced, f"{still.source}, {what}", maps=maps)


def displacement(width: int, height: int, steps: float) -> NDArray[np.float64]:
    """The homography by which a hand displaces a picture in so many steps.

    Args:
        width: Of the picture.
        height: Likewise.
        steps: 0 leaves it where it is.

    Returns:
        Map of pixels. Shape (3, 3).
    """
    angle, side = math.radians(ROTATION_DEG) * steps, max(width, height)
    to_centre = np.array([[1, 0, -width / 2], [0, 1, -height / 2], [0, 0, 1.0]])
    turn = np.array(
        [
            [math.cos(angle), -math.sin(angle), SHIFT * side * steps],
            [math.sin(angle), math.cos(angle), -0.7 * SHIFT * side * steps],
            [PERSPECTIVE * steps / side, 0.5 * PERSPECTIVE * steps / side, 1],
        ]
    )
    moved = np.linalg.inv(to_centre) @ turn @ to_centre
    return np.asarray(moved / moved[2, 2], np.float64)


def add_wanderer(picture: Picture, number: int) -> Picture:
    """Show a part of a picture once more, a step further on in each exposure.

    Args:
        picture: One exposure. Shape (H, W, 3).
        number: Which of the stack, from 0.
    """
    height, width = picture.shape[:2]
    side = max(int(WANDERER * min(height, width)), 4)
    top, left = height // 4, width // 8
    part = picture[top : top + side, left : left + side]
    right = min(width // 3 + number * side // 2, width - side)
    down = height // 2
    rows, columns = np.mgrid[:side, :side] / side - 0.5
    opacity = np.clip((0.5 - np.hypot(rows, columns)) * 12, 0, 1)[..., None]
    moved = picture.copy()
    place = moved[down : down + side, right : right + side]
    place[:] = np.rint(place + opacity * (part.astype(np.float64) - place)).astype(np.uint8)
    return moved


def choose_size(megapixels: float, like: Picture) -> tuple[int, int]:
    """Width and height of so many megapixels, at most, in the shape of a picture.

    Example:
        >>> choose_size(12, np.zeros((30, 40, 3), np.uint8))
        (4000, 3000)
    """
    height, width = like.shape[:2]
    side = math.sqrt(megapixels * MEGAPIXEL / (width * height))
    return max(int(side * width + 1e-6), 16), max(int(side * height + 1e-6), 16)


def resample(picture: Picture, size: tuple[int, int]) -> Picture:
    """Bring a picture to a width and height; by area where it shrinks, else bicubic."""
    if picture.shape[1::-1] == size:
        return picture
    way = cv2.INTER_AREA if size[0] < picture.shape[1] else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(picture, size, interpolation=way), np.uint8)


@lru_cache(maxsize=4)
def read_photograph(path: Path) -> Picture:
    """Read a photograph; whoever changes it changes it for all."""
    picture = cv2.imread(str(path), cv2.IMREAD_COLOR_RGB)
    if picture is None:
        raise FileNotFoundError(f"expected a picture, got {path.name}")
    return np.asarray(picture, np.uint8)


def _read_base(megapixels: float) -> tuple[tuple[Picture, Picture], str]:
    is_large = megapixels > SAMPLE_ENOUGH_MP and has_photographs()
    under, over = HIGHRES if is_large else SAMPLE
    source = " and ".join("/".join(path.parts[-2:]) for path in (under, over))
    return (read_photograph(under), read_photograph(over)), source


def _displace(
    picture: Picture, warp: NDArray[np.float64], corner: tuple[int, int], size: tuple[int, int]
) -> Picture:
    whole = picture.shape[1::-1]
    warped = cv2.warpPerspective(picture, warp, whole, borderMode=cv2.BORDER_REFLECT_101)
    (left, top), (width, height) = corner, size
    cut = warped[top : top + height, left : left + width]
    return np.ascontiguousarray(np.asarray(cut, np.uint8))
