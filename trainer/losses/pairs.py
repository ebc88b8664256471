"""The pairs of exposures in a longer stack that the terms of a step compare with."""

from itertools import combinations
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from model.blend.torch_colour import to_luma


class Pairs(NamedTuple):
    """Pairs of exposures, out of more, that a fusion is compared with, the darker one first.

    A term on the whole stack would cost the square of their number. What a fusion is to carry over
    is mostly in two of them, and in the mean over the steps it is to resemble all.

    Attributes:
        telling: Those two of each sample that show most together. Shape (N, 2, C, S, S).
        drawn: Two that chance has drawn for the step. Same shape.
        apart: All pairs that are a third of the stack apart. Same shape each.
    """

    telling: Tensor
    drawn: Tensor
    apart: tuple[Tensor, ...]


def find_telling(exposures: Tensor) -> Tensor:
    """The two exposures whose stronger gradient, place by place, is largest in the mean.

    Args:
        exposures: sRGB-coded RGB, dark to bright. Shape (N, K, 3, H, W).

    Returns:
        Shape (N, 2, 3, H, W).
    """
    luma = functional.avg_pool2d(to_luma(exposures), 2)
    across, down = luma[..., 1:, 1:] - luma[..., 1:, :-1], luma[..., 1:, 1:] - luma[..., :-1, 1:]
    strength = (across.square() + down.square()).sqrt()
    pairs = list(combinations(range(exposures.shape[1]), 2))
    together = [torch.maximum(strength[:, i], strength[:, j]).mean((1, 2)) for i, j in pairs]
    best = torch.stack(together, dim=1).argmax(1).tolist()
    chosen = [one[list(pairs[index])] for one, index in zip(exposures, best, strict=True)]
    return torch.stack(chosen)
