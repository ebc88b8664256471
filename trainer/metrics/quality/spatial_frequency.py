"""SF: the root mean square of neighbour differences in the fused picture."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from trainer.metrics.grey import as_planes


def spatial_frequency(fused: NDArray[np.generic]) -> float:
    r"""Compute the spatial frequency of a picture; higher is livelier.

    .. math::
        \mathrm{SF} = \sqrt{\frac{1}{HW} \Big( \sum (F_{y,x} - F_{y,x-1})^2
                            + \sum (F_{y,x} - F_{y-1,x})^2 \Big)}

    The divisor is the number of pixels, not that of the differences. A constant picture gives 0.

    Args:
        fused: Grey picture, 0..255. Shape (H, W), sides of at least 2.

    Returns:
        Spatial frequency in grey levels, 0 or more.

    Reference:
        Eskicioglu and Fisher, IEEE Trans. Commun. 43 (1995) 2959-2965, as computed in the MEFB
        benchmark.

    Example:
        >>> spatial_frequency(np.array([[0.0, 4.0, 4.0, 4.0]] * 4))
        2.0
    """
    (plane,) = as_planes(fused)
    rows = np.square(np.diff(plane, axis=1)).sum()
    columns = np.square(np.diff(plane, axis=0)).sum()
    return float(np.sqrt((rows + columns) / plane.size))
