"""The reduced views and keypoints of one exposure, each computed once however often it is asked."""

import math
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from threading import RLock
from typing import Any, Literal, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from model.alignment.adaptive_gamma import apply_gamma, gamma_of_contrast
from model.exposure import Pixels, Size

PROXY_MAX_PX = 3_000_000
"""Patches are located on at most this many pixels: more of them show noise only."""

SIFT_MAX_PX = 1_000_000
"""Keypoints are sought on at most this many pixels: SIFT on 24 megapixels peaks at 5.4 GB."""

LOOK_PX = 200_000
"""Tiles are chosen on at most this many pixels, which are picked and not averaged."""

SIFT_FEATURES = 2000
SIFT_CONTRAST = 0.01
"""A quarter of the usual threshold: what an under exposure shows is faint even after AGC."""

Matrix = NDArray[np.float64]
Grey = NDArray[np.float32]
Tone = Literal["agc", "root"]
Key = TypeVar("Key", bound=Hashable)
Made = TypeVar("Made")
Keypoints = tuple[Matrix, NDArray[np.float32]]
"""Positions (M, 2) and SIFT descriptors (M, 128)."""


@dataclass(frozen=True, slots=True)
class Look:
    """How an exposure is looked at.

    Attributes:
        level: How often both sides of the proxy are halved: what is out of focus or full of noise
            shows only at a coarser level what it shares.
        tone: Of the proxy; `root` leaves a nearly black exposure its few lights, which AGC drowns
            in the noise that it lifts to white.
    """

    level: int = 0
    tone: Tone = "agc"


FIRST_LOOK = Look()


class ExposureView:
    """The reduced, AGC-corrected grey views of one exposure and its keypoints.

    Several threads may ask for them at once.

    Args:
        image: RGB image (H, W, 3), uint8 or uint16.
    """

    def __init__(self, image: Pixels) -> None:
        self.image = image
        self._proxies: dict[Look, Grey] = {}
        self._keypoints: dict[Look, Keypoints] = {}
        self._seen: dict[str, NDArray[Any]] = {}
        self._lock = RLock()

    @property
    def height(self) -> int:
        """Height of the exposure in pixels."""
        return int(self.image.shape[0])

    @property
    def width(self) -> int:
        """Width of the exposure in pixels."""
        return int(self.image.shape[1])

    def proxy(self, look: Look = FIRST_LOOK) -> Grey:
        """The grey proxy of a look: see `make_proxy` and `Look`."""

        def make() -> Grey:
            if look.level == 0:
                return make_proxy(self.image, tone=look.tone)
            return halve(self.proxy(Look(look.level - 1, look.tone)))

        return self._make_once(self._proxies, look, make)

    def shrink_look(self, look: Look, limit_px: int) -> Look:
        """The first look at a level of this or a coarser proxy with at most so many pixels."""
        while self.proxy(look).size > limit_px:
            look = Look(look.level + 1, look.tone)
        return look

    @property
    def proxy_factor(self) -> int:
        """How many pixels of the exposure a side of a pixel of its proxy stands for."""
        return int(2 ** count_halvings(self.height, self.width))

    def proxy_size(self, look: Look = FIRST_LOOK) -> Size:
        """Width and height of the proxy of a look, which need not be there for it.

        A proxy is halved without the last row or column of an odd number.
        """
        factor = self.proxy_factor * 2**look.level
        return max(self.width // factor, 1), max(self.height // factor, 1)

    def proxy_frame(self, look: Look = FIRST_LOOK) -> Size:
        """Width and height, in pixels of the exposure, of what the proxy of a look shows."""
        width, height = self.proxy_size(look)
        factor = self.proxy_factor * 2**look.level
        return width * factor, height * factor

    def keypoints(self, look: Look = FIRST_LOOK) -> Keypoints:
        """See `detect_keypoints`; positions on the proxy of a look, found on one small enough."""

        def make() -> Keypoints:
            small = self.shrink_look(look, SIFT_MAX_PX)
            positions, features = detect_keypoints(self.proxy(small))
            factor = 2.0 ** (small.level - look.level)
            return (positions + 0.5) * factor - 0.5, features

        return self._make_once(self._keypoints, look, make)

    @property
    def has_keypoints(self) -> bool:
        """Whether keypoints were sought in it."""
        return len(self._keypoints) > 0

    @property
    def look_step(self) -> int:
        """Every how manieth pixel in either direction `look` shows."""
        return max(1, math.ceil(math.sqrt(self.width * self.height / LOOK_PX)))

    @property
    def _look_grey(self) -> NDArray[Any]:
        first, step = self.look_step // 2, self.look_step
        picked = self.image[first::step, first::step]
        return self._make_once(self._seen, "grey", lambda: _to_grey(picked))

    @property
    def curve(self) -> Grey:
        """AGC of every grey level, by the statistics of `look`. Shape (256,) or (65536,)."""
        return self._make_once(self._seen, "curve", lambda: make_curve(self._look_grey))

    @property
    def look(self) -> Grey:
        """A small AGC-corrected grey view of picked pixels, 0..1."""
        return self._make_once(self._seen, "look", lambda: self.to_tone(self._look_grey))

    def measure_structure(self, block_px: int) -> Grey:
        """Smaller eigenvalue of the structure tensor of `look` over blocks of a side."""
        return np.asarray(cv2.cornerMinEigenVal(self.look, block_px, ksize=3), np.float32)

    def to_tone(self, grey: NDArray[Any]) -> Grey:
        """Apply the AGC of `curve` to grey levels of the exposure's type."""
        return apply_curve(self.curve, grey)

    def _make_once(self, made: dict[Key, Made], key: Key, make: Callable[[], Made]) -> Made:
        with self._lock:
            if key not in made:
                made[key] = make()
            return made[key]


def make_proxy(image: Pixels, *, tone: Tone = "agc") -> Grey:
    """Reduce an RGB image (H, W, 3) to a grey proxy in 0..1, float32.

    Args:
        image: RGB image (H, W, 3), uint8 or uint16.
        tone: Adaptive gamma correction, or the square root.

    Returns:
        At most `PROXY_MAX_PX` pixels.
    """
    reduced = image
    for _ in range(count_halvings(*image.shape[:2])):
        reduced = halve(reduced)
    if tone == "root":
        share = np.divide(reduced, np.iinfo(image.dtype).max, dtype=np.float32)
        root: Grey = np.sqrt(cv2.cvtColor(share, cv2.COLOR_RGB2GRAY).clip(0.0))
        return root
    grey = _to_grey(reduced)
    return apply_curve(make_curve(grey), grey)


def count_halvings(height: int, width: int) -> int:
    """How often an image is halved to have at most `PROXY_MAX_PX` pixels."""
    count = 0
    while (height >> count) * (width >> count) > PROXY_MAX_PX:
        count += 1
    return count


def halve(image: NDArray[Any]) -> NDArray[Any]:
    """Means of 2x2 pixels of an image (H, W) or (H, W, C), without an odd last row or column."""
    height, width = (max(side // 2, 1) for side in image.shape[:2])
    even = image[: 2 * height, : 2 * width]
    return np.asarray(cv2.resize(even, (width, height), interpolation=cv2.INTER_AREA))


def make_curve(grey: NDArray[Any]) -> Grey:
    """Tabulate the AGC of a grey image (H, W) over all levels of its type: 256 or 65,536 numbers.

    The statistics are those of the image; a table is forty times as fast as a power a pixel.
    """
    full = np.iinfo(grey.dtype).max
    levels: Grey = np.divide(np.arange(full + 1), full, dtype=np.float32)
    mean, sigma = (float(one[0, 0]) / full for one in cv2.meanStdDev(grey))
    return apply_gamma(levels, gamma_of_contrast(mean, sigma), mean=mean)


def apply_curve(curve: Grey, grey: NDArray[Any]) -> Grey:
    """Look grey levels (H, W) up in a table of all levels of their type."""
    if grey.dtype == np.uint8:
        return np.asarray(cv2.LUT(grey, curve), np.float32)
    return np.asarray(curve[grey])


def detect_keypoints(proxy: Grey) -> Keypoints:
    """SIFT keypoints (M, 2) and descriptors (M, 128) of a proxy."""
    sift = cv2.SIFT.create(
        nfeatures=SIFT_FEATURES, contrastThreshold=SIFT_CONTRAST, enable_precise_upscale=True
    )
    keypoints, features = sift.detectAndCompute(np.rint(proxy * 255.0).astype(np.uint8), None)
    if features is None:
        return np.empty((0, 2)), np.empty((0, 128), np.float32)
    return np.array([keypoint.pt for keypoint in keypoints], np.float64), features


def _to_grey(image: NDArray[Any]) -> NDArray[Any]:
    return np.asarray(cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2GRAY))
