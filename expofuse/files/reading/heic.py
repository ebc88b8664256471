"""Opens HEIC files by pi-heif, which an extra of the project installs."""

import numpy as np
import pyvips
from numpy.typing import NDArray

from expofuse.errors import ImageDecodeError, UnsupportedImageError
from expofuse.files.headers import ImageHeader
from expofuse.files.headers.isobmff import parse_items
from expofuse.files.reading.vips import EXIF, PROFILE

EXTRA = "heic"
_MODES = {"L": 1, "RGB": 3, "RGBA": 4, "L;16": 1, "RGB;16": 3, "RGBA;16": 4}


def open_heic(data: bytes | bytearray | memoryview, header: ImageHeader) -> pyvips.Image:
    """Decode the primary picture of a HEIC file, turned as the file itself says.

    Args:
        data: The whole file, untrusted.
        header: Its sniffed header.

    Raises:
        UnsupportedImageError: The library is not installed.
        ImageDecodeError: It refuses the file, or finds another size than the header.
    """
    try:
        import pi_heif
    except ImportError as error:
        raise UnsupportedImageError(
            f"expected another format than HEIC, whose decoder is not installed here: send JPEG, "
            f"or install expofuse[{EXTRA}]"
        ) from error
    try:
        pi_heif.options.DECODE_THREADS = 1  # There is a process for each core.
        picture = pi_heif.open_heif(bytes(data), convert_hdr_to_8bit=False)
        samples = np.array(picture)  # Its own memory goes with it.
    except (ValueError, LookupError, EOFError, SyntaxError, RuntimeError, OSError) as error:
        raise ImageDecodeError(
            "expected a complete HEIC file, got a truncated or damaged one: copy it again"
        ) from error
    bands = _MODES.get(picture.mode)
    if samples.shape[:2] != (header.height_px, header.width_px) or bands is None:
        raise ImageDecodeError(
            f"expected {header.width_px}x{header.height_px} pixels as in the header, "
            f"got {samples.shape[1]}x{samples.shape[0]}"
        )
    if (samples.dtype == np.uint16) != (header.bits == 16):
        raise UnsupportedImageError(
            f"expected a HEIC of {header.bits} bits as in its header, got {samples.dtype}"
        )
    is_deep = samples.dtype == np.uint16
    if is_deep:
        samples = _to_full_scale(samples, parse_items(memoryview(data).cast("B"), "heic").bits)
    image = pyvips.Image.new_from_memory(
        samples, header.width_px, header.height_px, bands, "ushort" if is_deep else "uchar"
    )
    kinds = ("grey16", "rgb16") if is_deep else ("b-w", "srgb")
    image = image.copy(interpretation=kinds[bands > 1])
    found = {EXIF: picture.info.get("exif"), PROFILE: picture.info.get("icc_profile")}
    for name, value in found.items():
        if value:
            image.set_type(pyvips.GValue.blob_type, name, bytes(value))
    # The decoder has turned it already, whatever its EXIF block says.
    image.set_type(pyvips.GValue.gint_type, "orientation", 1)
    return image


def _to_full_scale(samples: NDArray[np.uint16], bits: int) -> NDArray[np.uint16]:
    """Samples of 10 or 12 bits, which the library shifts to the upper end of 16, to all of them."""
    full = ((1 << bits) - 1) << (16 - bits)
    return np.asarray(np.rint(np.minimum(samples * (65535 / full), 65535)), np.uint16)
