"""Reduces exposures to the small pictures on which ghosts are sought, and chooses a reference."""

from collections.abc import Sequence

import cv2
import numpy as np

from model.exposure import UINT8_TO_UINT16, Pixels
from model.ghosts.curves import Proxy
from model.ghosts.kernels import count_brightest, reduce_area

PROXY_MAX_PX = 400_000
DARK_SHOWN, BRIGHT_SHOWN = 30, 240
"""Levels between which an exposure shows a place well: above the noise, below clipping."""


def reduce_exposure(exposure: Pixels) -> Proxy:
    """Reduce an exposure (H, W, 3) to at most `PROXY_MAX_PX` pixels by the mean of areas.

    Returns:
        Shape (h, w, 3), uint8.
    """
    height, width = exposure.shape[:2]
    scale = min(1.0, (PROXY_MAX_PX / (height * width)) ** 0.5)
    if scale < 1.0:
        return reduce_area(exposure, (max(1, int(width * scale)), max(1, int(height * scale))))
    if exposure.dtype == np.uint16:
        return np.asarray(cv2.convertScaleAbs(exposure, alpha=1 / UINT8_TO_UINT16))
    return np.asarray(exposure, np.uint8)


def choose_reference_of_proxies(proxies: Sequence[Proxy]) -> int:
    """Choose the exposure that shows most of the scene well.

    A place is shown well when none of its channels is clipped and its brightest channel is not
    in the noise. Exposures that show equally much, within a hundredth of the picture, are decided
    by the distance from the stack's middle.

    Args:
        proxies: Dark to bright, from `reduce_exposure`. Shape (h, w, 3) each, uint8.

    Returns:
        Its index.

    Example:
        >>> flat = np.full((16, 16, 3), 100, np.uint8)
        >>> choose_reference_of_proxies([flat // 20, flat, flat + 155])
        1
    """
    return choose_reference_by_shares([measure_shown(proxy) for proxy in proxies])


def choose_reference_by_shares(shares: Sequence[float]) -> int:
    """Choose the same by the shares that `measure_shown` gives for each exposure."""
    middle = (len(shares) - 1) / 2
    best = max(shares)
    candidates = [index for index, share in enumerate(shares) if share >= best - 0.01]
    return min(candidates, key=lambda index: (abs(index - middle), -shares[index]))


def measure_shown(proxy: Proxy) -> float:
    """Share of the picture that a proxy shows well, see `choose_reference_of_proxies`; 0..1."""
    count = count_brightest(proxy, DARK_SHOWN + 1, BRIGHT_SHOWN - 1)
    return count / float(proxy.shape[0] * proxy.shape[1])
