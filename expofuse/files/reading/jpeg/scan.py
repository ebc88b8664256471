"""Decodes the pixels of JPEG files by libjpeg-turbo, past libvips.

The pixels are those that libvips gives, in less than half of its time: nothing goes through strips
of its own, and every row is written where it belongs. The header is put in order first, see
`expofuse.files.reading.jpeg.stream`; what the decoder then warns of is damage to the pixels.

A few bytes that are missing or inserted can leave a file that is valid in itself: Huffman codes
fall into step again, and no count is wrong. No decoder can tell that. Measured with random bytes in
files without restart markers: of 9 to 64 bytes a quarter passes, of 300 none.

A device is given what passed a decoding to an eighth of its size (`check_scan`). That goes over the
same codes and refuses the same files, 6,000 damaged ones among them, and costs a little more than
half of a whole decoding: a device does the other half.
"""

from typing import Literal

import numpy as np
import simplejpeg
from numpy.typing import NDArray

from expofuse.errors import ImageDecodeError
from expofuse.files.device.jpeg import DeviceJpeg
from expofuse.files.headers.jpeg import parse_jpeg
from model.exposure import Pixels

_DAMAGE = (
    "Corrupt JPEG data",
    "Premature end",
    "Inconsistent progression",
    "Bogus",
    "Unsupported marker",
)
"""How libjpeg's messages of damage begin; others are for what this way does not do."""


def read_scan(
    file: bytes | bytearray,
    out: Pixels,
    *,
    space: Literal["RGB", "GRAY"] = "RGB",
    device: DeviceJpeg | None = None,
) -> bool:
    """Decode a JPEG of 8 bits and grey or three components, as stored.

    Args:
        file: As `tidy` returns it.
        out: Where the pixels go. Shape (H, W, 3), of `GRAY` (H, W, 1), uint8, C-contiguous.
        space: Samples of a pixel.
        device: What decodes the files that it takes; where it fails, the CPU does.

    Returns:
        Whether the pixels are there; False for a layout that is left to libvips.

    Raises:
        ImageDecodeError: Data is missing, damaged or inserted.
        ValueError: `out` is not of uint8, or of another size than the picture.
    """
    header = parse_jpeg(memoryview(file))
    shape = (header.height_px, header.width_px, 3 if space == "RGB" else 1)
    if out.dtype != np.uint8 or out.shape != shape:
        raise ValueError(f"expected room of uint8, {shape}, got {out.dtype}, {out.shape}")
    room = np.asarray(out, np.uint8)
    if device is not None and device.takes(file):
        is_sound = check_scan(file)
        if is_sound and device.decode(file, room):
            return True
    return _decode_strictly(file, space, room)


def check_scan(file: bytes | bytearray) -> bool:
    """Decode a JPEG at an eighth of its size, to see whether it is sound.

    Args:
        file: As `tidy` returns it.

    Returns:
        Whether that could be seen.

    Raises:
        ImageDecodeError: Data is missing, damaged or inserted.
    """
    return _decode_strictly(file, "GRAY", None) or _decode_strictly(file, "CMYK", None)


def damaged_jpeg() -> ImageDecodeError:
    """The error of a JPEG whose pixels are damaged."""
    return ImageDecodeError(
        "expected a complete jpeg file, got one whose picture data is truncated or damaged: "
        "copy the file from the camera again"
    )


def _decode_strictly(file: bytes | bytearray, space: str, out: NDArray[np.uint8] | None) -> bool:
    # Without an array of ours a small picture will do.
    factor, min_side_px = (1, 0) if out is not None else (8, 1)
    try:
        simplejpeg.decode_jpeg(
            file,
            space,
            min_factor=factor,
            min_height=min_side_px,
            min_width=min_side_px,
            buffer=out,
        )
    except ValueError as error:
        if str(error).startswith(_DAMAGE):
            raise damaged_jpeg() from error
        return False
    return True
