"""How near a picture comes to the one that is known to be right."""

import numpy as np
from numpy.typing import NDArray

from trainer.metrics.grey import FULL_SCALE

LEAST_ERROR = 1e-3
"""Mean square error that counts as none, as 8 bits hold it: 78 dB."""


def psnr(picture: NDArray[np.generic], truth: NDArray[np.generic]) -> float:
    """Peak signal-to-noise ratio, dB, of values 0..255 of any equal shapes, at most 78."""
    difference = picture.astype(np.float64) - truth.astype(np.float64)
    error = max(float(np.mean(difference**2)), LEAST_ERROR)
    return float(10 * np.log10(FULL_SCALE**2 / error))
