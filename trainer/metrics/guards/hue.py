"""Foreign hue: colour that no mix of the two exposures has."""

import numpy as np
import torch
from numpy.typing import NDArray

from trainer.losses.chroma import CELL_PX, foreign_hue
from trainer.metrics.grey import check_rgb

STRIP_ROWS = 64 * CELL_PX


def hue_error(
    under: NDArray[np.generic], over: NDArray[np.generic], fused: NDArray[np.generic]
) -> float:
    """Compute how far colours lie from any mix of the exposures' colours; lower is better.

    The definition is that of `trainer.losses.chroma.foreign_hue`, with squares of 4 x 4 pixels:
    what a gain of chroma does to a mix of both exposures costs nothing, a pink sky over a blue one
    does.

    Args:
        under: Darker exposure, RGB in sRGB, 0..255. Shape (H, W, 3), uint8, sides of at least 4.
        over: Brighter exposure, likewise.
        fused: Fused picture, likewise.

    Returns:
        Mean distance of chroma in grey levels, 0 or more.

    Raises:
        ValueError: A picture is not RGB of 8 bits, or they differ in size.

    Reference:
        Ours.

    Example:
        >>> blue, white = (np.full((8, 8, 3), v, np.uint8) for v in ((30, 60, 150), (255,) * 3))
        >>> pink = np.full((8, 8, 3), (220, 200, 210), np.uint8)
        >>> round(hue_error(blue, white, blue // 2 + 100), 1), round(hue_error(blue, white, pink))
        (0.0, 13)
    """
    pictures = (fused, under, over)
    check_rgb(*pictures)
    total, rows = 0.0, 0
    for top in range(0, fused.shape[0] - CELL_PX + 1, STRIP_ROWS):
        strips = [
            torch.from_numpy(np.array(one[top : top + STRIP_ROWS])).permute(2, 0, 1)[None].double()
            for one in pictures
        ]
        height = strips[0].shape[2] // CELL_PX
        total += height * foreign_hue(*strips).item()
        rows += height
    return total / rows if rows else 0.0
