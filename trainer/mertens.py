"""Mertens's exposure fusion, what validation and evaluation compare networks with."""

import cv2
import numpy as np
from numpy.typing import NDArray

from model.exposure import ExposurePair


def fuse_as_mertens(pair: ExposurePair) -> NDArray[np.uint8]:
    """OpenCV's exposure fusion with its default weights. Shape (H, W, 3), uint8.

    Reference:
        Mertens, Kautz and Van Reeth, "Exposure fusion", Pacific Graphics, 2007.
    """
    fused = cv2.createMergeMertens().process([pair.under, pair.over])
    return np.asarray(np.clip(np.rint(fused * 255), 0, 255), dtype=np.uint8)
