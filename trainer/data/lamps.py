"""Lamps and window panes in a rendered scene: small, very bright, often coloured."""

import cv2
import numpy as np
from numpy.typing import NDArray

COUNT = (1, 4)
SIDE_SHARE = (0.02, 0.15)
"""Half the side of a pane, or the radius of a lamp, as a share of the picture's side."""

BRIGHTER_EV = (4.0, 10.0)
"""Above the scene's mean."""

TINT = 0.7
"""Largest logarithm of a channel's gain."""

GLOW_SHARE, GLOW = 0.05, 0.02
"""Spread of the light that a lens scatters, as a share of the side, and how much of it there is."""

EDGE_PX = 1.0


def add_lamps(radiance: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """Add discs and rectangles of light with soft edges, and the glow around them.

    Args:
        radiance: Linear, non-negative. Shape (S, S, 3).
        rng: Where the numbers come from.

    Returns:
        The scene with lamps; the argument is left as it is.
    """
    side = radiance.shape[0]
    light = np.zeros_like(radiance)
    rows, columns = np.mgrid[:side, :side]
    for _ in range(int(rng.integers(*COUNT, endpoint=True))):
        centre, half = rng.uniform(0, side, 2), rng.uniform(*SIDE_SHARE, 2) * side
        down, right = np.abs(rows - centre[0]), np.abs(columns - centre[1])
        if rng.random() < 0.5:  # a disc
            distance = np.hypot(down, right) - half[0]
        else:
            distance = np.maximum(down - half[0], right - half[1])
        colour = np.exp(rng.uniform(-TINT, TINT, 3)) * 2.0 ** rng.uniform(*BRIGHTER_EV)
        inside = 1 / (1 + np.exp(np.clip(distance / EDGE_PX, -30, 30)))
        light = np.maximum(light, (inside[..., None] * colour).astype(np.float32))
    light *= radiance.mean()
    glow = cv2.GaussianBlur(light, (0, 0), GLOW_SHARE * side)
    lit: NDArray[np.float32] = np.maximum(radiance, light) + np.float32(GLOW) * glow
    return lit
