"""Decodes the pixels of JPEG files by libjpeg-turbo, past libvips.

The pixels are those that libvips gives, in less than half of its time: nothing goes through strips
of its own. And it reads on to the end mark: bytes that were put into a scan, or taken out, shift
what follows, and only what is left over at the end tells of it.
"""

import numpy as np
import simplejpeg
from numpy.typing import NDArray

from expofuse.errors import ImageDecodeError, UnsupportedImageError
from expofuse.files.headers import ImageHeader
from expofuse.files.reading.jpeg_repair import Data, JpegStructure, count_scans, mend_end

MAX_SCANS = 100
"""Of one file. Encoders write about ten; each costs as much time as a whole picture."""

COLOUR_SPACES = {1: "GRAY", 3: "RGB", 4: "CMYK"}
_UNKNOWN_SAMPLING = "subsampling"

Levels = NDArray[np.uint8]


def read_scan(
    structure: JpegStructure, header: ImageHeader, *, bands: int, out: Levels | None = None
) -> Levels | None:
    """Decode a JPEG as stored.

    Args:
        structure: The file, untrusted.
        header: Its sniffed header.
        bands: 1 for grey, 3 for R, G and B, 4 for CMYK as stored.
        out: Where the pixels go, C-contiguous; None makes an array.

    Returns:
        Shape (H, W, bands); None where the chroma is stored at a ratio that this decoder does not
        know, and `out` may then hold anything.

    Raises:
        ImageDecodeError: Data is missing, or was put in between.
        UnsupportedImageError: The file has too many scans.
    """
    if (scans := count_scans(structure)) > MAX_SCANS:
        raise UnsupportedImageError(f"expected a JPEG of at most {MAX_SCANS} scans, got {scans}")
    shape = (header.height_px, header.width_px, bands)
    pixels = np.empty(shape, np.uint8) if out is None else out
    try:
        return _decode(structure.data, pixels)
    except ValueError as error:
        if _UNKNOWN_SAMPLING in str(error):
            return None
        mended = mend_end(structure)
        if mended is None:
            raise _damaged(error) from error
    try:
        return _decode(mended, pixels)
    except ValueError as error:
        raise _damaged(error) from error


def _decode(data: Data, pixels: Levels) -> Levels:
    found = simplejpeg.decode_jpeg(data, COLOUR_SPACES[pixels.shape[2]], buffer=pixels)
    if found.shape != pixels.shape:
        raise ValueError(f"expected {pixels.shape}, got {found.shape}")
    return pixels


def _damaged(error: ValueError) -> ImageDecodeError:
    kind = "with missing data"
    if "extraneous" in str(error):
        kind = "with data that does not belong there"
    return ImageDecodeError(
        f"expected a complete JPEG file, got a truncated or damaged one, {kind}"
    )
