"""Squared gradients of planes, which several loss terms compare."""

from torch import Tensor

STEADY = 1e-3
"""Added to a squared gradient: a root has no slope at zero."""


def squared_gradient(planes: Tensor) -> Tensor:
    """Squared length of forward differences. Shape (N, 1, H, W) to (N, 1, H - 1, W - 1)."""
    horizontal = planes[..., :-1, 1:] - planes[..., :-1, :-1]
    vertical = planes[..., 1:, :-1] - planes[..., :-1, :-1]
    return horizontal.square() + vertical.square()
