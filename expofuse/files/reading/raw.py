"""Develops cameras' raw files by LibRaw, which an extra of the project installs."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from expofuse.errors import ImageDecodeError, UnsupportedImageError
from expofuse.files.headers import ImageHeader
from expofuse.files.headers.raw import TIFF_STARTS
from expofuse.files.white_balance import WhiteBalance

if TYPE_CHECKING:
    from rawpy import RawPy

EXTRA = "raw"
_SRGB_CURVE = (2.4, 12.92)
_SEARCHED_BYTES = 1 << 16
_EXIF_START = b"Exif\0\0"


@dataclass(frozen=True, slots=True, eq=False)
class Developed:
    """A developed raw file.

    Attributes:
        pixels: RGB in sRGB, upright. Shape (H, W, 3), uint16.
        white_balance: The one that it was developed with.
        exif: What the file says of how it was taken: a TIFF that holds it, or the EXIF block of its
            preview; None where there is neither.
    """

    pixels: NDArray[np.uint16]
    white_balance: WhiteBalance
    exif: bytes | None


def develop(
    data: bytes | bytearray | memoryview,
    header: ImageHeader,
    *,
    white_balance: WhiteBalance | None = None,
) -> Developed:
    """Develop a raw file: camera's orientation, no automatic brightness, clipped highlights.

    Exposures of one scene are developed alike: what the camera chose for one of them, its white
    balance, is for all, and nothing depends on what a single one shows.

    Args:
        data: The whole file, untrusted.
        header: Its sniffed header, which says the largest size.
        white_balance: Of the stack; None takes the camera's.

    Raises:
        UnsupportedImageError: The library is not installed, or does not know the camera.
        ImageDecodeError: It refuses the file, or finds a larger picture than the header allows.
    """
    try:
        import rawpy
    except ImportError as error:
        raise UnsupportedImageError(
            "expected another format than a raw file, whose decoder is not installed here: develop "
            f"it to TIFF, or install expofuse[{EXTRA}]"
        ) from error
    file = bytes(data)
    try:
        with rawpy.RawPy() as raw:
            raw.open_buffer(io.BytesIO(file))
            sizes = raw.sizes
            if sizes.iwidth * sizes.iheight > header.pixels:
                raise ImageDecodeError(
                    f"expected at most {header.width_px}x{header.height_px} pixels as in the "
                    f"header, got {sizes.iwidth}x{sizes.iheight}"
                )
            raw.unpack()
            factors = white_balance or _read_balance(raw)
            pixels = raw.postprocess(
                use_camera_wb=False,
                user_wb=list(factors),
                no_auto_bright=True,
                adjust_maximum_thr=0.0,  # White is what the sensor says, not what one frame holds.
                output_bps=16,
                output_color=rawpy.ColorSpace.sRGB,
                gamma=_SRGB_CURVE,
                highlight_mode=rawpy.HighlightMode.Clip,
            )
            exif = file if file.startswith(TIFF_STARTS) else _read_preview_exif(raw)
    except rawpy.LibRawFileUnsupportedError as error:
        raise UnsupportedImageError(
            "expected a raw file of a camera that LibRaw knows, got another: develop it to TIFF"
        ) from error
    except (rawpy.LibRawError, ValueError) as error:
        raise ImageDecodeError(
            "expected a complete raw file, got a truncated or damaged one: copy it again"
        ) from error
    return Developed(_to_three_bands(pixels), tuple(factors), exif)


def _to_three_bands(pixels: NDArray[np.uint8 | np.uint16]) -> NDArray[np.uint16]:
    """RGB; a sensor without colour filters is developed to grey."""
    height_px, width_px = pixels.shape[:2]
    bands = np.broadcast_to(pixels.reshape(height_px, width_px, -1), (height_px, width_px, 3))
    return np.ascontiguousarray(bands, np.uint16)


def _read_balance(raw: "RawPy") -> WhiteBalance:
    """The camera's white balance, or that of daylight where it says none."""
    found: Sequence[float] = raw.camera_whitebalance
    if len(found) < 3 or min(found[:3]) <= 0:
        found = raw.daylight_whitebalance
    red, green, blue = (float(value) for value in found[:3])
    second_green = float(found[3]) if len(found) > 3 and found[3] > 0 else green
    return red, green, blue, second_green


def _read_preview_exif(raw: "RawPy") -> bytes | None:
    import rawpy

    try:
        thumbnail = raw.extract_thumb()
    except rawpy.LibRawError:
        return None
    if thumbnail.format != rawpy.ThumbFormat.JPEG:
        return None
    head = bytes(thumbnail.data[:_SEARCHED_BYTES])
    at = head.find(_EXIF_START)
    return None if at < 0 else head[at:]
