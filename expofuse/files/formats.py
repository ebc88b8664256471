"""Says which file formats are written, what each can hold, and the options of a file."""

from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from typing import Literal, get_args

from pydantic import ConfigDict

from expofuse.errors import OptionError

OutputFormat = Literal["jpeg", "png", "webp", "tiff", "avif", "jxl"]
"""Formats that are written."""

OutputDepth = Literal[8, 10, 16]
Subsampling = Literal["auto", "444", "420"]
MetadataMode = Literal["keep", "no-gps", "strip"]
ProfileMode = Literal["srgb", "keep"]

Dropped = Literal["gain map", "preview", "second view", "video"]
"""What a file may hold besides its picture, and what the picture leaves out."""

OUTPUT_FORMATS: tuple[OutputFormat, ...] = get_args(OutputFormat)
OUTPUT_DEPTHS: tuple[OutputDepth, ...] = get_args(OutputDepth)
DEFAULT_QUALITY = 90

FORMAT_MAX_SIDE_PX: dict[OutputFormat, int] = {
    "jpeg": 65_535,
    "png": 1_000_000,
    "webp": 16_383,
    "tiff": 1_000_000,
    "avif": 16_384,
    "jxl": 1_000_000,
}
"""Longest side that a format can hold, or that its library takes."""

FORMAT_DEPTHS: dict[OutputFormat, tuple[OutputDepth, ...]] = {
    "jpeg": (8,),
    "png": (8, 16),
    "webp": (8,),
    "tiff": (8, 16),
    "avif": (8, 10),
    "jxl": (8, 16),
}
"""Bits of a sample that a format can hold and that are written."""


@dataclass(frozen=True, slots=True)
class ImageMetadata:
    """What of an image travels on to the result besides its pixels.

    Attributes:
        exif: EXIF block as stored; None where there is none.
        profile: ICC profile of the colours that the image had; None for sRGB.
        dropped: What the file held and the picture leaves out, in alphabetical order.
    """

    __pydantic_config__ = ConfigDict(ser_json_bytes="base64", val_json_bytes="base64")

    exif: bytes | None = None
    profile: bytes | None = None
    dropped: tuple[Dropped, ...] = ()


@dataclass(frozen=True, slots=True)
class EncodeOptions:
    """How the result is written; what a format does not have is ignored.

    Attributes:
        format: File format.
        quality: 1..100; PNG and TIFF are lossless, and JPEG XL at 100.
        bits: Bits of a sample; None for those of the pixels, or the most that the format holds.
        subsampling: Of the chroma of JPEG and AVIF; `auto` halves it below quality 90.
        is_progressive: A JPEG that shows itself coarse first; the writer holds all of it.
        metadata: `keep` writes the EXIF block of the reference exposure, `no-gps` without the
            place, `strip` none.
        profile: `srgb`, or `keep` for the colour profile of the reference exposure.
    """

    format: OutputFormat
    quality: int = DEFAULT_QUALITY
    bits: OutputDepth | None = None
    subsampling: Subsampling = "auto"
    is_progressive: bool = False
    metadata: MetadataMode = "keep"
    profile: ProfileMode = "srgb"

    def choose_bits(self, bits: int) -> OutputDepth:
        """Bits that pixels of so many bits are written with."""
        if self.bits is not None:
            return self.bits
        return min(bits_that_hold(self.format, bits))


@cache
def is_written(image_format: OutputFormat) -> bool:
    """Whether the library that writes a format is installed; that of JPEG XL is an extra."""
    return image_format != "jxl" or find_spec("pyjpegxl") is not None


def bits_that_hold(image_format: OutputFormat, bits: int) -> tuple[OutputDepth, ...]:
    """The depths of a format that lose nothing of so many bits, or else its greatest.

    Example:
        >>> bits_that_hold("png", 8), bits_that_hold("avif", 16), bits_that_hold("jpeg", 16)
        ((8, 16), (10,), (8,))
    """
    depths = FORMAT_DEPTHS[image_format]
    return tuple(one for one in depths if one >= bits) or (max(depths),)


def check_encodable(options: EncodeOptions, *, width_px: int, height_px: int) -> None:
    """Refuse options that the format cannot meet for a result of this size.

    Raises:
        OptionError: The quality is out of range, the format lacks the depth or the size, or what
            writes it is not installed.
    """
    if not is_written(options.format):
        raise OptionError(
            f"expected another format than {options.format}, whose library is not installed here: "
            f"install expofuse[{options.format}]"
        )
    if not 1 <= options.quality <= 100:
        raise OptionError(f"expected a quality from 1 to 100, got {options.quality}")
    depths = FORMAT_DEPTHS[options.format]
    if options.bits is not None and options.bits not in depths:
        able = " or ".join(map(str, depths))
        raise OptionError(f"expected {able} bits for {options.format}, got {options.bits}")
    max_side_px = FORMAT_MAX_SIDE_PX[options.format]
    if max(width_px, height_px) > max_side_px:
        raise OptionError(
            f"expected sides of at most {max_side_px} pixels for {options.format}, "
            f"got {width_px}x{height_px}"
        )
