"""The messages between the event loop and a codec process; plain, typed values."""

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import ConfigDict, Field, TypeAdapter

from expofuse.files.device.outcome import Outcome
from expofuse.files.formats import EncodeOptions, ImageMetadata
from expofuse.files.headers import PixelLimits
from model.exposure import AlignMode as AlignMode
from model.exposure import CropMode, GhostsMode, Reference, StackAlignment, Useless
from model.ghosts.ghost_map import PackedGhost
from model.tiling import Rect
from service.processes.confinement import Bar
from service.processes.shared_memory import SharedDescriptor
from service.processes.wire import Ping, Pong, StartFailed, Stop, Wire

NO_DEVICE = "none"
"""Said to a codec process in place of a device for JPEG files."""

MAX_BESIDE_BYTES = 5 << 20
"""Of an image's metadata and transparency together: as base64 they fit the message that they are
part of, see `wire.MAX_MESSAGE_BYTES`."""


@dataclass(frozen=True, slots=True)
class DecodedImage:
    """An image in shared memory.

    Attributes:
        pixels: Where the pixels are: the destination block, with the shape (H, W, 3) after the
            orientation was applied. RGB, sRGB.
        metadata: What travels on to the result.
        orientation: The EXIF orientation that they were turned upright by, 1 to 8.
        transparent: Where the image shows nothing, a packed plane; None where it is opaque.
        white_balance: Of a raw file, what it was developed with; None for others.
        on_device: What became of a JPEG file where the process has a device for them.
    """

    __pydantic_config__ = ConfigDict(ser_json_bytes="base64", val_json_bytes="base64")

    pixels: SharedDescriptor
    metadata: ImageMetadata
    orientation: int = 1
    transparent: bytes | None = None
    white_balance: tuple[float, ...] | None = None
    on_device: Outcome | None = None
    kind: Literal["decoded"] = "decoded"


@dataclass(frozen=True, slots=True)
class StackFound:
    """How decoded images form a stack of exposures.

    Attributes:
        order: Which of the images each exposure is, dark to bright, from 0.
        used: Those of them that are fused; indices below are into these.
        useless: Number of each other image, from 0, and why it is not used.
        reference: Which used exposure stays where it is, from 0, dark to bright.
        alignment: How the exposures lie on it; None when it was not asked for.
        ghosts: What moved in each exposure; None when it was not asked for.
        replaced_share: Share of the picture that is replaced in an exposure for it.
        exposures: Where the used exposures lie: the images given, or a room.
        frame: What all of them cover, in reference pixels; None where they share nothing.
        gap_ev: From the darkest to the brightest of them, see `model.selection.measure_gap_ev`.
    """

    order: tuple[int, ...]
    used: tuple[int, ...]
    useless: dict[int, Useless]
    reference: int
    alignment: StackAlignment | None
    ghosts: tuple[PackedGhost | None, ...] | None
    replaced_share: float
    exposures: tuple[SharedDescriptor, ...]
    frame: Rect | None
    gap_ev: float
    kind: Literal["stack-found"] = "stack-found"


@dataclass(frozen=True, slots=True)
class DecodeCall:
    """Decode the payload into a block; a raw file with a white balance, or with its own."""

    destination: SharedDescriptor
    limits: PixelLimits
    white_balance: tuple[float, ...] | None = None
    kind: Literal["decode"] = "decode"

    @property
    def blocks(self) -> tuple[SharedDescriptor, ...]:
        """What it may touch."""
        return (self.destination,)


@dataclass(frozen=True, slots=True)
class RegisterCall:
    """Order decoded images and align them.

    The call may be run again on another process, so it writes to its rooms only, and into places
    of the images that it does not read.

    Attributes:
        images: As they were given and decoded.
        rooms: Blocks for those that are turned, and for those that are brought to the size of the
            reference, each as large as any of the images; none where all have one orientation and
            size.
        align: `off` does not look, `require` makes a refused alignment an error.
        ghosts: `off` does not look.
        reference: Number of the image that stays where it is, from 1; None leaves the choice.
        pair_reference: Of a pair, the exposure that is then chosen.
        crop: `common` refuses images that share no frame to cut the picture to.
        threads: Cores that nobody else wants as the call begins; the answer does not depend on it.
    """

    images: tuple[DecodedImage, ...]
    rooms: tuple[SharedDescriptor, ...]
    align: AlignMode
    ghosts: GhostsMode
    reference: int | None
    pair_reference: Reference
    crop: CropMode
    threads: int = 1
    kind: Literal["register"] = "register"

    @property
    def blocks(self) -> tuple[SharedDescriptor, ...]:
        """What it may touch."""
        return (*(image.pixels for image in self.images), *self.rooms)


@dataclass(frozen=True, slots=True)
class EncodeCall:
    """Encode a block; the answer's payload is the file.

    Attributes:
        pixels: The block.
        frame: The part of it that is encoded; None for all of it.
        options: How.
        metadata: What is written beside the pixels.
    """

    pixels: SharedDescriptor
    frame: Rect | None
    options: EncodeOptions
    metadata: ImageMetadata
    kind: Literal["encode"] = "encode"

    @property
    def blocks(self) -> tuple[SharedDescriptor, ...]:
        """What it may touch."""
        return (self.pixels,)


@dataclass(frozen=True, slots=True)
class Encoded:
    """The payload is the encoded file.

    Attributes:
        on_device: What became of a JPEG file where the process has a device for them.
    """

    on_device: Outcome | None = None
    kind: Literal["encoded"] = "encoded"


@dataclass(frozen=True, slots=True)
class Ready:
    """The process has imported and run everything once.

    Attributes:
        confined_by: What keeps it in, see `processes.confinement`.
    """

    confined_by: tuple[Bar, ...] = ()
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


Call = DecodeCall | RegisterCall | EncodeCall
Answer = DecodedImage | StackFound | Encoded | Failure

ToCodec = Annotated[Call | Ping | Stop, Field(discriminator="kind")]
FromCodec = Annotated[Answer | Ready | Begun | Pong | StartFailed, Field(discriminator="kind")]
CODEC_WIRE: Wire[ToCodec, FromCodec] = Wire(TypeAdapter(ToCodec), TypeAdapter(FromCodec))
