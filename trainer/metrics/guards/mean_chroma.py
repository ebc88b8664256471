"""Chroma: how colourful a picture is on average."""

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model.torch_colour import linear_to_lab, pixels_to_linear
from trainer.metrics.grey import check_rgb

STRIP_ROWS = 256


def mean_chroma(picture: NDArray[np.generic]) -> float:
    r"""Compute the mean distance from neutral of a picture's colours; higher is more colour.

    .. math::
        \bar c = \frac{1}{HW} \sum \sqrt{a^{*2} + b^{*2}}

    in CIELAB under D65. It judges nothing alone: a fusion is to keep the colour of its exposures.

    Args:
        picture: RGB in sRGB, 0..255. Shape (H, W, 3), uint8.

    Returns:
        Mean chroma; 0 for a grey picture but for the rounding of the white point.

    Reference:
        CIE 15:2004, C*ab.

    Example:
        >>> mean_chroma(np.full((2, 2, 3), 90, np.uint8)) < 0.01
        True
    """
    total = sum(
        float(torch.linalg.vector_norm(lab[:, 1:], dim=1).sum(dtype=torch.float64))
        for lab in _iterate_lab(picture)
    )
    return float(total / (picture.shape[0] * picture.shape[1]))


def _iterate_lab(picture: NDArray[np.generic]) -> Iterator[Tensor]:
    """CIELAB of a picture, strip by strip to bound the memory, each of shape (1, 3, H, W).

    Raises:
        ValueError: The picture is not RGB of 8 bits.
    """
    check_rgb(picture)
    for top in range(0, picture.shape[0], STRIP_ROWS):
        strip = torch.from_numpy(np.array(picture[top : top + STRIP_ROWS]))
        linear = pixels_to_linear(strip.permute(2, 0, 1).unsqueeze(0))
        yield linear_to_lab(linear.to(torch.float64))
