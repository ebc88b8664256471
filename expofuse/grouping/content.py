"""Tells by their pixels which pictures show one scene, where headers tell no exposure."""

import warnings
from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from expofuse.files.pillow_errors import ERRORS_OF_PILLOW
from model.alignment.unrelated import measure_agreement

SIDE_PX = 192
"""Longer side of what is looked at; the outline of a scene needs less."""

SAME_SCENE = 0.6
"""Two exposures of one scene agreed by 0.64 or more in 947 pairs of 132 photographed stacks: see
`AGREEMENT_LIMIT` of `model.alignment.unrelated`."""

BLACK_EV = -16.0
"""Of a picture in which nothing shows."""

Small = NDArray[np.uint8]


class Contents:
    """Small views of files, each decoded once, when it is first asked for.

    Args:
        paths: The file of each frame, by the frame's name.
    """

    def __init__(self, paths: Mapping[str, Path]) -> None:
        self._paths = paths
        self._views: dict[str, Small | None] = {}

    def show_one_scene(self, first: str, second: str) -> bool:
        """Whether two pictures show the same whatever their exposure.

        True also where one of them is black or white, which disagrees with nothing; false where
        one cannot be decoded.
        """
        views = self._view(first), self._view(second)
        if views[0] is None or views[1] is None:
            return False
        return not measure_agreement(views[0], views[1]) < SAME_SCENE

    def brightness_ev(self, name: str) -> float:
        r"""Mean brightness, :math:`\log_2` of the mean of :math:`v^{2.2}`; `BLACK_EV` for black."""
        view = self._view(name)
        if view is None:
            return BLACK_EV
        linear = (view.astype(np.float64) / 255.0) ** 2.2
        return float(np.log2(max(linear.mean(), 2.0**BLACK_EV)))

    def _view(self, name: str) -> Small | None:
        if name not in self._views:
            self._views[name] = _read_small(self._paths[name])
        return self._views[name]


def _read_small(path: Path) -> Small | None:
    """A picture of at most `SIDE_PX`, RGB as stored; None where Pillow cannot decode it."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(path) as image:
                image.draft("RGB", (SIDE_PX, SIDE_PX))
                pixels = np.asarray(image.convert("RGB"))
    except ERRORS_OF_PILLOW:
        return None
    scale = SIDE_PX / max(pixels.shape[:2])
    if scale >= 1.0:
        return np.array(pixels)
    size = tuple(max(round(side * scale), 1) for side in pixels.shape[1::-1])
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)
