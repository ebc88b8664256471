"""Opens JPEG XL files by pyjpegxl, which an extra of the project installs."""

import numpy as np
import pyvips
from numpy.typing import NDArray

from expofuse.errors import ImageDecodeError, UnsupportedImageError
from expofuse.files.headers import ImageHeader
from expofuse.files.reading.colours.icc import read_cicp
from expofuse.files.reading.vips import EXIF, PROFILE
from model.colour import SRGB_GAMMA, SRGB_KNEE, SRGB_OFFSET, SRGB_SLOPE

EXTRA = "jxl"
_SRGB_PRIMARIES, _LINEAR = 1, 8
_SPACE, _CMYK = slice(16, 20), b"CMYK"
_KINDS = {(False, 1): "b-w", (False, 3): "srgb", (True, 1): "grey16", (True, 3): "rgb16"}


def open_jxl(data: bytes | bytearray | memoryview, header: ImageHeader) -> pyvips.Image:
    """Decode a JPEG XL file, turned as the file itself says.

    Its library leaves a lossy picture in the space of its profile only where that can be described
    by primaries and a transfer. Any other comes as linear light, whose steps of 8 bits are far too
    coarse in the dark; it is read at 16 bits and brought to the curve of sRGB at once.

    Args:
        data: The whole file, untrusted.
        header: Its sniffed header.

    Raises:
        UnsupportedImageError: The library is not installed, or the file is of CMYK.
        ImageDecodeError: It refuses the file, or finds another size than the header.
    """
    try:
        import pyjpegxl
    except ImportError as error:
        raise UnsupportedImageError(
            "expected another format than JPEG XL, whose library is not installed here: send JPEG, "
            f"or install expofuse[{EXTRA}]"
        ) from error
    file = bytes(data)
    pyjpegxl.set_num_threads(1)  # There is a process for each core.
    try:
        said = pyjpegxl.probe(file)
        if (said.width, said.height) != (header.width_px, header.height_px):
            raise ImageDecodeError(
                f"expected {header.width_px}x{header.height_px} pixels as in the header, "
                f"got {said.width}x{said.height}"
            )
        profile = said.icc
        if profile is not None and profile[_SPACE] == _CMYK:
            raise UnsupportedImageError(
                "expected grey or RGB, got a JPEG XL of CMYK: save the picture as RGB"
            )
        is_linear = profile is not None and read_cicp(profile) == (_SRGB_PRIMARIES, _LINEAR)
        is_deep = header.bits == 16
        channels = said.num_color_channels + said.has_alpha
        sample_type = np.uint16 if is_deep or is_linear else np.uint8
        samples = np.empty((header.height_px, header.width_px, channels), sample_type)
        said = pyjpegxl.decode_into(file, samples)
    except (RuntimeError, ValueError) as error:
        raise ImageDecodeError(
            "expected a complete JPEG XL file, got a truncated or damaged one: copy it again"
        ) from error
    if is_linear:
        samples = _to_srgb_curve(samples, said.num_color_channels, is_deep=is_deep)
        profile = None
    image = pyvips.Image.new_from_memory(
        samples, header.width_px, header.height_px, channels, "ushort" if is_deep else "uchar"
    ).copy(interpretation=_KINDS[is_deep, said.num_color_channels])
    found = {EXIF: _strip_offset(said.exif), PROFILE: profile}
    for name, value in found.items():
        if value:
            image.set_type(pyvips.GValue.blob_type, name, value)
    # The decoder has turned it already, whatever its EXIF block says.
    image.set_type(pyvips.GValue.gint_type, "orientation", 1)
    return image


def _to_srgb_curve(
    samples: NDArray[np.uint16], colours: int, *, is_deep: bool
) -> NDArray[np.uint16] | NDArray[np.uint8]:
    """Linear light of 16 bits to the curve of IEC 61966-2-1; alpha, behind it, stays linear."""
    light = np.arange(65536) / 65535
    curved = (1 + SRGB_OFFSET) * light ** (1 / SRGB_GAMMA) - SRGB_OFFSET
    curve = np.where(light <= SRGB_KNEE / SRGB_SLOPE, SRGB_SLOPE * light, curved)
    full, sample_type = (65535, np.uint16) if is_deep else (255, np.uint8)
    table = np.rint(curve * full).astype(sample_type)
    shown: NDArray[np.uint16] | NDArray[np.uint8] = table[samples]
    if samples.shape[2] > colours:
        shown[..., colours:] = np.rint(samples[..., colours:] * (full / 65535))
    return shown


def _strip_offset(block: bytes | None) -> bytes | None:
    """An EXIF block without the number before it, which says where it begins (18181-2, 9.5)."""
    return None if block is None else block[4 + int.from_bytes(block[:4], "big") :]
