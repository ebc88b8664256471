"""Clipping: values that end at black or white in the fused picture alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from trainer.metrics.grey import Grey, check_compared, check_rgb

BLACK, WHITE = 0, 255


def clipped(exposures: Sequence[Grey], fused: Grey) -> float:
    r"""Compute the share of values that the fusion alone clips, in per cent; lower is better.

    Over pixels and channels, with the values x_k of the exposures and f of the result:

    .. math::
        100 \operatorname{mean} \left[ \left(f = 0 \wedge \min_k x_k > 0\right) \vee
            \left(f = 255 \wedge \max_k x_k < 255\right) \right]

    A mix of the exposures clips nothing that one of them does not.

    Args:
        exposures: Two or more, in any order, RGB in sRGB, 0..255. Shape (H, W, 3) each, uint8.
        fused: Fused picture, likewise.

    Returns:
        Share in per cent, 0..100.

    Raises:
        ValueError: There are fewer than two exposures, a picture is not RGB of 8 bits, or they
            differ in size.

    Reference:
        Ours.

    Example:
        >>> grey, red = (np.full((4, 4, 3), v, np.uint8) for v in (90, (255, 0, 90)))
        >>> round(clipped([grey, grey], red), 3), clipped([grey, red], red)
        (66.667, 0.0)
    """
    check_compared(exposures)
    check_rgb(fused, *exposures)
    is_black = (fused == BLACK) & np.logical_and.reduce([one != BLACK for one in exposures])
    is_white = (fused == WHITE) & np.logical_and.reduce([one != WHITE for one in exposures])
    return 100.0 * float(np.mean(is_black | is_white))
