"""Reads exposures of every kind that `fuse` takes, and gives the picture back in the same kind.

The kinds are arrays, images of Pillow, and files: their bytes or their path.
"""

import io
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeAlias, TypedDict, cast

import numpy as np

from expofuse.errors import OptionError
from expofuse.files.formats import (
    OUTPUT_FORMATS,
    EncodeOptions,
    ImageMetadata,
    MetadataMode,
    OutputDepth,
    OutputFormat,
    ProfileMode,
    Subsampling,
)
from expofuse.files.headers import PixelLimits, sniff
from expofuse.files.pixels import to_8_bit
from expofuse.files.reading.decode import DecodedPixels, decode
from expofuse.files.white_balance import choose_balanced
from expofuse.files.writing.encode import encode
from model.exposure import Pixels

if TYPE_CHECKING:
    from PIL.Image import Image

File: TypeAlias = bytes | str | os.PathLike[str]
"""An encoded file: its bytes or its path."""

OWN_FILES = PixelLimits(max_pixels=1_000_000_000, max_side_px=1_000_000)
"""The caller's own files are as large as they are; this stops a header that makes no sense."""


class FileOptions(TypedDict, total=False):
    """The options of `EncodeOptions` that a caller gave."""

    format: OutputFormat
    quality: int
    bits: OutputDepth
    subsampling: Subsampling
    is_progressive: bool
    metadata: MetadataMode
    profile: ProfileMode


class Kind(Protocol):
    """How exposures of one kind are read, and how their picture is written."""

    def read(self) -> list[DecodedPixels]:
        """The exposures as RGB in sRGB, in the order in which they were given."""
        ...

    def write(self, picture: Pixels, *, reference: int) -> object:
        """The picture in this kind; `reference` is the index of the reference exposure."""
        ...


class Arrays:
    """Arrays, (H, W, 3) of uint8 or uint16 in sRGB: they are taken as they are."""

    def __init__(self, exposures: Sequence[Pixels]) -> None:
        self._exposures = list(exposures)

    def read(self) -> list[DecodedPixels]:
        """See `Kind.read`."""
        return [DecodedPixels(one, ImageMetadata()) for one in self._exposures]

    def write(self, picture: Pixels, *, reference: int) -> Pixels:
        """See `Kind.write`."""
        return picture


class PillowImages:
    """Images of Pillow, of any mode; the picture is of mode RGB, for Pillow has no deeper one.

    They are read as if they were files: turned upright, and brought from their profile to sRGB.
    """

    def __init__(self, exposures: Sequence["Image"]) -> None:
        self._exposures = exposures

    def read(self) -> list[DecodedPixels]:
        """See `Kind.read`."""
        return [_decode(_pillow_to_tiff(image)) for image in self._exposures]

    def write(self, picture: Pixels, *, reference: int) -> "Image":
        """See `Kind.write`."""
        from PIL import Image

        return Image.fromarray(to_8_bit(picture))


class Files:
    """Encoded files, as bytes or as paths; the picture is the bytes of a file.

    Once they are read it holds their pixels in place of the files, and may be sent to a process.

    Args:
        exposures: The files.
        options: How the picture is written; a format of None is that of the first exposure, or
            PNG where that one is not written.
    """

    def __init__(self, exposures: Sequence[File], options: FileOptions) -> None:
        files = [one if isinstance(one, bytes) else Path(one).read_bytes() for one in exposures]
        self._files = files
        self._decoded: list[DecodedPixels] = []
        self._options = _complete(options, files[0])

    def read(self) -> list[DecodedPixels]:
        """See `Kind.read`."""
        if not self._decoded:
            self._decoded = _decode_alike(self._files)
            self._files.clear()
        return self._decoded

    def write(self, picture: Pixels, *, reference: int) -> bytes:
        """See `Kind.write`; the metadata is that of the reference, as in the service."""
        metadata = self._decoded[reference].metadata
        return encode(picture, options=self._options, metadata=metadata)


def choose_kind(exposures: Sequence[object], options: FileOptions) -> Kind:
    """The kind of some exposures.

    Args:
        exposures: At least one.
        options: How a picture is written that is a file.

    Raises:
        TypeError: They are of several kinds, or of none that is known.
        OptionError: An option of files was given and no file is written.
        MediaTypeError: The first file is not of a format that is read.
        OSError: A file cannot be read.
    """
    if all(isinstance(one, bytes | str | os.PathLike) for one in exposures):
        files = cast(Sequence[File], exposures)
        return Files(files, options)
    if options:
        names = ", ".join(options)
        raise OptionError(f"expected {names} with files only, got other exposures")
    if all(isinstance(one, np.ndarray) for one in exposures):
        return Arrays(cast(Sequence[Pixels], exposures))
    # Whoever has an image of Pillow has loaded Pillow, which this package does not depend on.
    pillow = sys.modules.get("PIL.Image")
    if pillow is not None and all(isinstance(one, pillow.Image) for one in exposures):
        return PillowImages(cast("Sequence[Image]", exposures))
    names = ", ".join(sorted({type(one).__name__ for one in exposures}))
    raise TypeError(
        f"expected exposures of one kind: arrays, Pillow images, or files as bytes or paths; "
        f"got {names}"
    )


def _pillow_to_tiff(image: "Image") -> bytes:
    from PIL import ImageOps

    buffer = io.BytesIO()
    upright = ImageOps.exif_transpose(image)
    upright.save(buffer, "TIFF", icc_profile=image.info.get("icc_profile"))
    return buffer.getvalue()


def _decode_alike(files: Sequence[bytes]) -> list[DecodedPixels]:
    """Decode files; raw ones with the white balance of the one in the middle."""
    raws = [index for index, file in enumerate(files) if sniff(file).format == "raw"]
    found: dict[int, DecodedPixels] = {}
    balance = None
    if raws:
        middle = choose_balanced(raws, wanted=None)
        found[middle] = _decode(files[middle])
        balance = found[middle].white_balance
    for index, file in enumerate(files):
        if index not in found:
            found[index] = decode(file, limits=OWN_FILES, white_balance=balance)
    return [found[index] for index in range(len(files))]


def _decode(file: bytes) -> DecodedPixels:
    return decode(file, limits=OWN_FILES)


def _complete(options: FileOptions, first: bytes) -> EncodeOptions:
    read = sniff(first).format
    own: OutputFormat = next((one for one in OUTPUT_FORMATS if one == read), "png")
    return EncodeOptions(**({"format": own} | options))
