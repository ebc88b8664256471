from collections.abc import Callable

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

Stack = list[NDArray[np.uint8]]
GAINS = (0.25, 1.0, 3.0)


def make_texture(seed: int, height: int, width: int) -> NDArray[np.float64]:
    """Linear radiance of a coloured texture, 0.005 to 0.9, dark at the top."""
    rng = np.random.default_rng(seed)
    coarse = cv2.GaussianBlur(rng.random((height, width, 3)), (0, 0), 12)
    fine = cv2.GaussianBlur(rng.random((height, width, 1)), (0, 0), 2)[..., None]
    scene = (coarse - coarse.min()) / np.ptp(coarse) + 1.5 * (fine - 0.5)
    light = np.linspace(0.15, 1.2, height)[:, None, None]
    return np.asarray(0.005 + 0.25 * light * scene.clip(0.05, 2.4) ** 1.3)


def shoot(radiance: NDArray[np.float64], gain: float, seed: int) -> NDArray[np.uint8]:
    """An exposure with a power as response, a little noise, 8 bits."""
    encoded = (radiance * gain).clip(0, 1) ** (1 / 2.2)
    noise = np.random.default_rng(seed).normal(0, 0.004, radiance.shape)
    return np.rint((encoded + noise).clip(0, 1) * 255).astype(np.uint8)


def put_disc(
    radiance: NDArray[np.float64], x: int, y: int, radius: int, seed: int = 9
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """A textured disc, darker than the scene, and where it is."""
    height, width = radiance.shape[:2]
    rows, columns = np.mgrid[:height, :width]
    inside = np.hypot(rows - y, columns - x) < radius
    texture = 0.25 * make_texture(seed, 2 * height, 2 * width)
    moved = texture[height - y : 2 * height - y, width - x : 2 * width - x]
    return np.where(inside[..., None], moved, radiance), inside


@pytest.fixture
def make_still() -> Callable[..., Stack]:
    def make(height: int = 180, width: int = 240, gains: tuple[float, ...] = GAINS) -> Stack:
        scene = make_texture(0, height, width)
        return [shoot(scene, gain, index) for index, gain in enumerate(gains)]

    return make
