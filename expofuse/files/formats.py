"""Says which file formats are written, what each can hold, and the options of a file."""

from dataclasses import dataclass

from pydantic import ConfigDict

from expofuse.errors import OptionError
from expofuse.files.headers import Depth, ImageFormat

FORMAT_MAX_SIDE_PX: dict[ImageFormat, int] = {
    "jpeg": 65_535,
    "png": 1_000_000,
    "webp": 16_383,
    "tiff": 1_000_000,
}
"""Longest side that a format can hold; for PNG and TIFF what their libraries take."""

FORMAT_DEPTHS: dict[ImageFormat, tuple[Depth, ...]] = {
    "jpeg": (8,),
    "png": (8, 16),
    "webp": (8,),
    "tiff": (8, 16),
}
"""Bits of a sample that a format can hold and that are written."""


@dataclass(frozen=True, slots=True)
class ImageMetadata:
    """What of an image travels on to the result besides its pixels.

    Attributes:
        exif: EXIF block without orientation and thumbnail; None where there is none.
        profile: ICC profile of the colours that the image had; None for sRGB.
        extras: What the file held beside the picture, and what is lost: a second view, a gain map.
    """

    __pydantic_config__ = ConfigDict(ser_json_bytes="base64", val_json_bytes="base64")

    exif: bytes | None = None
    profile: bytes | None = None
    extras: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class EncodeOptions:
    """How the result is written.

    Attributes:
        format: File format.
        quality: Of JPEG and lossy WebP, 1..100; PNG and TIFF are lossless.
        bits: Bits of a sample; None for those of the pixels where the format can, else 8.
    """

    format: ImageFormat
    quality: int = 90
    bits: Depth | None = None


def check_encodable(options: EncodeOptions, *, width_px: int, height_px: int) -> None:
    """Refuse options that the format cannot meet for a result of this size.

    Raises:
        OptionError: The quality is out of range, or the format lacks the depth or the size.
    """
    if not 1 <= options.quality <= 100:
        raise OptionError(f"expected a quality from 1 to 100, got {options.quality}")
    if options.bits is not None and options.bits not in FORMAT_DEPTHS[options.format]:
        raise OptionError(f"expected 8 bits for {options.format}, got {options.bits}")
    max_side_px = FORMAT_MAX_SIDE_PX[options.format]
    if max(width_px, height_px) > max_side_px:
        raise OptionError(
            f"expected sides of at most {max_side_px} pixels for {options.format}, "
            f"got {width_px}x{height_px}"
        )
