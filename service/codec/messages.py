"""What the event loop and its codec processes say to each other: plain, typed values.

They cross the pipes as JSON: a decoder that an image has taken over must not be able to hand the
event loop's process a pickle.
"""

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from model.exposure import AlignmentReport, Reference
from service.codec.headers import Depth, ImageFormat, PixelLimits
from service.errors import OptionError
from service.processes.shared_memory import SharedDescriptor

AlignMode = Literal["auto", "off", "require"]

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
    """

    __pydantic_config__ = ConfigDict(ser_json_bytes="base64", val_json_bytes="base64")

    exif: bytes | None = None


@dataclass(frozen=True, slots=True)
class DecodedImage:
    """An image in shared memory.

    Attributes:
        pixels: Where the pixels are: the destination block, with the shape (H, W, 3) after the
            orientation was applied. RGB, sRGB.
        metadata: What travels on to the result.
    """

    pixels: SharedDescriptor
    metadata: ImageMetadata
    kind: Literal["decoded"] = "decoded"


@dataclass(frozen=True, slots=True)
class PairAlignment:
    """How two decoded images form an exposure pair.

    Attributes:
        is_swapped: The first image is the brighter one.
        report: What alignment found; None when it was not asked for.
    """

    is_swapped: bool
    report: AlignmentReport | None
    kind: Literal["aligned"] = "aligned"


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


@dataclass(frozen=True, slots=True)
class DecodeCall:
    """Decode the payload into a block."""

    destination: SharedDescriptor
    limits: PixelLimits
    kind: Literal["decode"] = "decode"


@dataclass(frozen=True, slots=True)
class AlignCall:
    """Order two decoded images and align them."""

    first: SharedDescriptor
    second: SharedDescriptor
    mode: AlignMode
    reference: Reference
    kind: Literal["align"] = "align"


@dataclass(frozen=True, slots=True)
class EncodeCall:
    """Encode a block; the answer's payload is the file."""

    pixels: SharedDescriptor
    options: EncodeOptions
    metadata: ImageMetadata
    kind: Literal["encode"] = "encode"


@dataclass(frozen=True, slots=True)
class Encoded:
    """The payload is the encoded file."""

    kind: Literal["encoded"] = "encoded"


@dataclass(frozen=True, slots=True)
class Ready:
    """The process has imported and run everything once."""

    kind: Literal["ready"] = "ready"


@dataclass(frozen=True, slots=True)
class Begun:
    """The process has read the call; from here on its end may be the call's fault."""

    kind: Literal["begun"] = "begun"


@dataclass(frozen=True, slots=True)
class Failure:
    """The call failed in the process, which itself is well.

    Attributes:
        code: Code of an error class of the project.
        message: Its message.
    """

    code: str
    message: str
    kind: Literal["failure"] = "failure"


Call = Annotated[DecodeCall | AlignCall | EncodeCall, Field(discriminator="kind")]
Answer = Annotated[
    DecodedImage | PairAlignment | Encoded | Ready | Begun | Failure, Field(discriminator="kind")
]
