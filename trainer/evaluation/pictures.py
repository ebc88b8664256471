"""Reads picture files as the service does, writes PNG, and brings pictures to a size."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from expofuse.errors import FileError
from expofuse.files.reading.decode import decode
from expofuse.files.reading.decode import read_profile as read_icc_profile
from expofuse.kinds import OWN_FILES
from model.exposure import Pixels
from trainer.errors import DataError
from trainer.files import write_whole

Picture = NDArray[np.uint8]
"""Shape (H, W, 3), RGB."""

SUFFIXES = {".jpg", ".jpeg", ".png", ".tif", ".tiff", ".webp"}


def read_picture(path: Path, *, untagged: bytes | None = None) -> Pixels:
    """Read a picture as the service does, see `expofuse.files.reading.decode.decode`.

    Args:
        path: JPEG, PNG, TIFF or WebP.
        untagged: ICC profile of a picture that carries none; None takes it for sRGB.

    Returns:
        Pixels in sRGB. Shape (H, W, 3), uint8 or uint16.

    Raises:
        DataError: The file is damaged, no picture, or of a kind that is not read.
        OSError: It cannot be read at all.
    """
    with _named(path):
        return decode(path.read_bytes(), limits=OWN_FILES, untagged=untagged).pixels


def read_profile(path: Path) -> bytes | None:
    """The ICC profile that a picture carries, None where it carries none.

    Raises:
        DataError: The file is no picture.
        OSError: It cannot be read at all.
    """
    with _named(path):
        return read_icc_profile(path.read_bytes())


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Say of which file of a set something was expected."""
    try:
        yield
    except FileError as cause:
        raise DataError(f"could not decode {path.name} as a picture: {cause.message}") from cause


def fit_to(pixels: Pixels, height: int, width: int) -> Pixels:
    """Bring a picture to a size by area averaging; one that has it stays untouched."""
    if pixels.shape[:2] == (height, width):
        return pixels
    resized: Pixels = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA)  # type: ignore[assignment]
    return resized


def write_png(path: Path, pixels: Pixels) -> None:
    """Write RGB pixels as PNG without a profile; the file appears whole or not at all.

    Not by the service's encoder, which tags its files as sRGB: `enfuse` would then blend in another
    colour space.
    """
    is_encoded, encoded = cv2.imencode(".png", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR))
    if not is_encoded:
        raise DataError(f"expected {path.name} to be encoded as PNG, got a failure")
    write_whole(path, encoded.tobytes())
