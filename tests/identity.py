"""How much a method changes exposures that are all alike."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]


def identity_change(fuse: Callable[[Picture], Picture], picture: Picture) -> tuple[float, int]:
    """Compare a picture with the fusion of copies of itself.

    It is a property of a method and not of one picture of it, so no guard measures it.

    Args:
        fuse: Gives the fusion of so many copies as it likes.
        picture: Shape (H, W, 3), uint8.

    Returns:
        Mean and largest change of a channel, in levels.

    Example:
        >>> identity_change(lambda picture: picture // 2, np.full((2, 2, 3), 8, np.uint8))
        (4.0, 4)
    """
    change = np.abs(fuse(picture).astype(np.int64) - picture)
    return float(change.mean()), int(change.max())
