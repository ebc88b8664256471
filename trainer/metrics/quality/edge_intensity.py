"""EI: how strong the Sobel edges of the fused picture are on average."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from trainer.metrics.grey import as_planes


def edge_intensity(fused: NDArray[np.generic]) -> float:
    r"""Compute the mean Sobel magnitude of a picture; higher is sharper.

    .. math::
        \mathrm{EI} = \frac{1}{HW} \sum_{x,y} \sqrt{s_x^2 + s_y^2}

    with the Sobel kernels as they are (weights 1, 2, 1; no division by 8) and the border pixels
    repeated outwards. A constant picture gives 0.

    Args:
        fused: Grey picture, 0..255. Shape (H, W), sides of at least 2.

    Returns:
        Edge intensity, 0 or more.

    Reference:
        Rajalingam and Priya, IJESI 2 (2018) 52-60, as computed in the MEFB benchmark.

    Example:
        >>> edge_intensity(np.array([[0.0, 0.0, 9.0, 9.0]] * 4))
        18.0
    """
    (plane,) = as_planes(fused)
    horizontal = cv2.Sobel(plane, cv2.CV_64F, 1, 0, borderType=cv2.BORDER_REPLICATE)
    vertical = cv2.Sobel(plane, cv2.CV_64F, 0, 1, borderType=cv2.BORDER_REPLICATE)
    return float(np.sqrt(horizontal**2 + vertical**2).mean())
