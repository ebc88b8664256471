"""Decodes the pixels of ordinary JPEG files by libjpeg-turbo, past libvips.

The pixels are those that libvips gives, in less than half of its time: nothing goes through strips
of its own, and every row is written where it belongs. What is not ordinary, and every file in which
something is wrong, is left to libvips, which then says what is wrong as it does for other formats.
"""

import numpy as np
import simplejpeg

from model.exposure import Pixels


def read_scan(data: bytes | bytearray | memoryview, out: Pixels) -> bool:
    """Decode a JPEG of one scan, 8 bits, and grey or three components, as stored.

    Args:
        data: The whole file, untrusted.
        out: Where the pixels go. Shape (H, W, 3), C-contiguous.

    Returns:
        Whether they are there. Not where `out` is not of uint8 or of another size, or where the
        decoder finds as little as something to warn of; `out` may then hold anything.
    """
    if out.dtype != np.uint8:
        return False
    try:
        pixels = simplejpeg.decode_jpeg(data, "RGB", buffer=out)
    except (ValueError, MemoryError):
        return False
    return bool(pixels.shape == out.shape)
