"""AG: how strong the grey-level gradients of the fused picture are on average."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from trainer.metrics.grey import as_planes


def average_gradient(fused: NDArray[np.generic]) -> float:
    r"""Compute the average gradient of a picture; higher is sharper.

    .. math::
        \mathrm{AG} = \frac{1}{(H-1)(W-1)} \sum_{x,y} \sqrt{\frac{g_x^2 + g_y^2}{2}}

    with central differences inside and one-sided ones at the border. The sum has H W terms
    although the divisor is (H-1)(W-1), as in the published programme. A constant picture gives 0.

    Args:
        fused: Grey picture, 0..255. Shape (H, W), sides of at least 2.

    Returns:
        Average gradient in grey levels a pixel, 0 or more.

    Reference:
        Cui et al., Optics Communications 341 (2015) 199-209, as computed in the MEFB benchmark.

    Example:
        >>> ramp = np.tile(np.arange(5.0), (5, 1))
        >>> round(average_gradient(ramp), 6)
        1.104854
    """
    (plane,) = as_planes(fused)
    height, width = plane.shape
    vertical, horizontal = np.gradient(plane)
    magnitude = np.sqrt((horizontal**2 + vertical**2) / 2)
    return float(magnitude.sum() / ((height - 1) * (width - 1)))
