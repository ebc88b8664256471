"""A soft threshold, for terms that look at places of a certain tone."""

from torch import Tensor


def rise(value: Tensor, first: float, last: float) -> Tensor:
    """0 up to `first`, 1 from `last` on, a straight line between; any shape."""
    return ((value - first) / (last - first)).clamp(0, 1)
