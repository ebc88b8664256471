"""Turns decoded pixels upright, as the EXIF orientation says."""

import numpy as np
import pyvips

from model.exposure import Pixels


def read_orientation(image: pyvips.Image) -> int:
    """EXIF orientation, 1 to 8; 1 where there is none or an unknown one."""
    if image.get_typeof("orientation") == 0:
        return 1
    orientation = int(image.get("orientation"))
    return orientation if 1 <= orientation <= 8 else 1


def stored_view(pixels: Pixels, orientation: int) -> Pixels:
    """View upright pixels in the order in which the file stores them (EXIF 2.32, 4.6.4 A)."""
    match orientation:
        case 2:
            return pixels[:, ::-1]
        case 3:
            return pixels[::-1, ::-1]
        case 4:
            return pixels[::-1]
        case 5:
            return pixels.transpose(1, 0, 2)
        case 6:
            return np.rot90(pixels, 1)
        case 7:
            return pixels[::-1, ::-1].transpose(1, 0, 2)
        case 8:
            return np.rot90(pixels, -1)
        case _:
            return pixels
