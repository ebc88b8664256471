"""Mertens's exposure fusion, what validation and evaluation compare networks with."""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from model.exposure import Pixels


def fuse_as_mertens(exposures: Sequence[Pixels]) -> NDArray[np.uint8]:
    """OpenCV's exposure fusion with its default weights. Shape (H, W, 3), uint8.

    Args:
        exposures: Of one scene and size. Shape (H, W, 3) each, uint8.

    Reference:
        Mertens, Kautz and Van Reeth, "Exposure fusion", Pacific Graphics, 2007.
    """
    fused = cv2.createMergeMertens().process(list(exposures))
    return np.asarray(np.clip(np.rint(fused * 255), 0, 255), dtype=np.uint8)
