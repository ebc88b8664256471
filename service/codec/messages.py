"""The messages between the event loop and a codec process; plain, typed values."""

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from expofuse.files.formats import EncodeOptions, ImageMetadata
from expofuse.files.headers import PixelLimits
from model.exposure import AlignmentReport, Reference
from model.exposure import AlignMode as AlignMode
from service.processes.shared_memory import SharedDescriptor
from service.processes.wire import Ping, Pong, StartFailed, Stop, Wire


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


Call = DecodeCall | AlignCall | EncodeCall
Answer = DecodedImage | PairAlignment | Encoded | Failure

ToCodec = Annotated[Call | Ping | Stop, Field(discriminator="kind")]
FromCodec = Annotated[Answer | Ready | Begun | Pong | StartFailed, Field(discriminator="kind")]
CODEC_WIRE: Wire[ToCodec, FromCodec] = Wire(TypeAdapter(ToCodec), TypeAdapter(FromCodec))
