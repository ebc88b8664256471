"""Ends of a stack: its darkest and its brightest exposure, as the guards of lost tones see them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trainer.metrics.grey import Grey, check_compared, check_rgb, rgb_to_grey


@dataclass(frozen=True, slots=True, eq=False)
class Ends:
    """The two exposures that show the most in highlights and in shadows.

    Attributes:
        under: The exposure of the lowest mean luma. Shape (H, W, 3), uint8.
        over: The exposure of the highest, likewise.
        under_luma: Its grey, see `rgb_to_grey`. Shape (H, W), uint8.
        over_luma: Likewise.
    """

    under: NDArray[np.uint8]
    over: NDArray[np.uint8]
    under_luma: NDArray[np.uint8]
    over_luma: NDArray[np.uint8]


def find_ends(exposures: Sequence[Grey], fused: Grey) -> Ends:
    """Find the darkest and the brightest exposure; of equally dark or bright ones the first.

    Args:
        exposures: Two or more, in any order, RGB in sRGB, 0..255. Shape (H, W, 3) each, uint8.
        fused: Fused picture, likewise.

    Raises:
        ValueError: There are fewer than two exposures, a picture is not RGB of 8 bits, or they
            differ in size.
    """
    check_compared(exposures)
    check_rgb(fused, *exposures)
    pictures = [np.asarray(one, dtype=np.uint8) for one in exposures]
    lumas = [rgb_to_grey(picture) for picture in pictures]
    totals = [int(luma.sum(dtype=np.int64)) for luma in lumas]
    dark, bright = totals.index(min(totals)), totals.index(max(totals))
    return Ends(pictures[dark], pictures[bright], lumas[dark], lumas[bright])
