"""The reduced views and keypoints of one exposure, each computed once however often it is asked."""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from model.alignment.adaptive_gamma import adaptive_gamma, apply_gamma
from model.exposure import Pixels

PROXY_MAX_PX = 1_500_000
"""Keypoints are sought on at most this many pixels: SIFT on 24 megapixels peaks at 5.4 GB."""

LOOK_PX = 200_000
"""Tiles are chosen on at most this many pixels, which are picked and not averaged."""

SIFT_FEATURES = 4000
SIFT_CONTRAST = 0.01
"""A quarter of the usual threshold: what an under exposure shows is faint even after AGC."""

Matrix = NDArray[np.float64]
Grey = NDArray[np.float32]
Tone = Literal["agc", "root"]
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

    Args:
        image: RGB image (H, W, 3), uint8 or uint16.
    """

    def __init__(self, image: Pixels) -> None:
        self.image = image
        self._proxies: dict[Look, Grey] = {}
        self._keypoints: dict[Look, Keypoints] = {}

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
        if look not in self._proxies:
            self._proxies[look] = (
                make_proxy(self.image, tone=look.tone)
                if look.level == 0
                else np.asarray(
                    cv2.resize(
                        self.proxy(Look(look.level - 1, look.tone)),
                        None,
                        fx=0.5,
                        fy=0.5,
                        interpolation=cv2.INTER_AREA,
                    )
                )
            )
        return self._proxies[look]

    def keypoints(self, look: Look = FIRST_LOOK) -> Keypoints:
        """See `detect_keypoints`; on the proxy of a look."""
        if look not in self._keypoints:
            self._keypoints[look] = detect_keypoints(self.proxy(look))
        return self._keypoints[look]

    @cached_property
    def look_step(self) -> int:
        """Every how manieth pixel in either direction `look` shows."""
        return max(1, math.ceil(math.sqrt(self.width * self.height / LOOK_PX)))

    @cached_property
    def _look_grey(self) -> NDArray[Any]:
        first, step = self.look_step // 2, self.look_step
        return _to_grey(self.image[first::step, first::step])

    @cached_property
    def curve(self) -> Grey:
        """AGC of every grey level, by the statistics of `look`. Shape (256,) or (65536,)."""
        return make_curve(self._look_grey)

    @cached_property
    def look(self) -> Grey:
        """A small AGC-corrected grey view of picked pixels, 0..1."""
        return np.asarray(self.curve[self._look_grey])


def make_proxy(image: Pixels, *, tone: Tone = "agc") -> Grey:
    """Reduce an RGB image (H, W, 3) to a grey proxy in 0..1, float32.

    Args:
        image: RGB image (H, W, 3), uint8 or uint16.
        tone: Adaptive gamma correction, or the square root.

    Returns:
        At most `PROXY_MAX_PX` pixels.
    """
    height, width = image.shape[:2]
    scale = min(1.0, (PROXY_MAX_PX / (height * width)) ** 0.5)
    if scale < 1.0:
        size = (max(1, int(width * scale)), max(1, int(height * scale)))
        reduced = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    else:
        reduced = image
    if tone == "root":
        share = np.divide(reduced, np.iinfo(image.dtype).max, dtype=np.float32)
        root: Grey = np.sqrt(cv2.cvtColor(share, cv2.COLOR_RGB2GRAY).clip(0.0))
        return root
    grey = _to_grey(reduced)
    return np.asarray(make_curve(grey)[grey])


def make_curve(grey: NDArray[Any]) -> Grey:
    """Tabulate the AGC of a grey image (H, W) over all levels of its type: 256 or 65,536 numbers.

    The statistics are those of the image; a table is forty times as fast as a power a pixel.
    """
    full = np.iinfo(grey.dtype).max
    intensity: Grey = np.divide(grey, full, dtype=np.float32)
    levels: Grey = np.divide(np.arange(full + 1), full, dtype=np.float32)
    mean = float(intensity.mean(dtype=np.float64))
    return apply_gamma(levels, adaptive_gamma(intensity), mean=mean)


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
