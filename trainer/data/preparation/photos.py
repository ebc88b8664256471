"""One photograph: what its EXIF says about the exposure, and its pixels."""

import math
import stat
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps

from expofuse.files.exif import ISO_OVERFLOW
from expofuse.files.pillow_errors import ERRORS_OF_PILLOW
from trainer.data.pixels import convert_to_srgb, limit_side
from trainer.errors import DataError

PHOTO_SUFFIXES = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".webp")
COLOUR_MODES = ("RGB", "RGBA", "RGBX", "L", "LA", "P", "PA", "YCbCr", "CMYK")
"""Pillow's modes of 8 bits a channel; it reads 16-bit RGB as one of them too."""

DECODING_MARGIN = 2
"""A JPEG is decoded at an eighth, a quarter or a half where this many times the wanted side
remains; the rest of the reduction averages areas."""


@dataclass(frozen=True, slots=True)
class Photo:
    """A file and what its header says; None where it says nothing.

    Attributes:
        path: The file.
        size_bytes: Its length; 0 when there is none, such as behind a dangling link.
        modified_ns: When it was written.
        width: Width as shown, after the orientation is applied; 0 when the file is no image.
        height: Height as shown.
        camera: Maker and model.
        orientation: EXIF orientation, 1..8.
        taken_s: When the exposure began, in seconds, by the camera's clock.
        exposure_s: Exposure time.
        exposure_ev: Light gathered, log2 of t * ISO / (100 N^2): one more is twice as bright. An
            aperture or an ISO that the header lacks counts as f/1 or ISO 100.
        bias_ev: Exposure compensation, which a camera that brackets by itself changes.
        focal_length_mm: Focal length.
    """

    path: Path
    size_bytes: int = 0
    modified_ns: int = 0
    width: int = 0
    height: int = 0
    camera: str = ""
    orientation: int = 1
    taken_s: float | None = None
    exposure_s: float | None = None
    exposure_ev: float | None = None
    bias_ev: float | None = None
    focal_length_mm: float | None = None


def read_photo(path: Path) -> Photo:
    """Read a photograph's header; a file that is no image has width and height 0."""
    try:
        status = path.stat()
    except OSError:
        return Photo(path)
    if not stat.S_ISREG(status.st_mode):  # reading from a pipe might never end
        return Photo(path)
    file = Photo(path, size_bytes=status.st_size, modified_ns=status.st_mtime_ns)
    try:
        with _quiet(), Image.open(path) as image:
            exif = image.getexif()
            details = exif.get_ifd(ExifTags.IFD.Exif)
            orientation = int(_number(exif.get(ExifTags.Base.Orientation)) or 1)
            width, height = image.size
            # Pillow gives a TIFF's size as shown, that of the other formats as stored.
            if orientation >= 5 and image.format != "TIFF":
                width, height = height, width
    except ERRORS_OF_PILLOW:
        return file
    exposure_s = _positive(details.get(ExifTags.Base.ExposureTime))
    return replace(
        file,
        width=width,
        height=height,
        camera=" ".join(
            str(exif.get(tag, "")).strip("\0 ") for tag in (ExifTags.Base.Make, ExifTags.Base.Model)
        ).strip(),
        orientation=orientation,
        taken_s=_parse_time(
            details.get(ExifTags.Base.DateTimeOriginal),
            details.get(ExifTags.Base.SubsecTimeOriginal),
        ),
        exposure_s=exposure_s,
        exposure_ev=_exposure_ev(
            exposure_s,
            _positive(details.get(ExifTags.Base.FNumber)),
            _positive(details.get(ExifTags.Base.ISOSpeedRatings)),
        ),
        bias_ev=_number(details.get(ExifTags.Base.ExposureBiasValue)),
        focal_length_mm=_positive(details.get(ExifTags.Base.FocalLength)),
    )


def read_pixels(path: Path, max_side_px: int) -> NDArray[np.uint8]:
    """Read a photograph upright, in sRGB, its longer side at most `max_side_px`.

    The reduction averages areas. A colour profile is converted to sRGB as the service does it;
    pixels without one, or with one that cannot be read, are taken as sRGB.

    Args:
        path: JPEG, PNG, TIFF or WebP; of 16-bit RGB the upper 8 bits are taken.
        max_side_px: Largest side of the result; a smaller photograph is not enlarged.

    Returns:
        RGB picture. Shape (H, W, 3), uint8.

    Raises:
        DataError: The file is broken, cut short, or not of a colour mode that is read.
    """
    try:
        with _quiet(), Image.open(path) as image:
            if image.mode not in COLOUR_MODES:
                raise DataError(f"expected 8 bits a channel, '{path.name}' has mode {image.mode}")
            profile = image.info.get("icc_profile") or None
            scale = DECODING_MARGIN * max_side_px / max(image.size)
            image.draft(None, (math.ceil(image.width * scale), math.ceil(image.height * scale)))
            upright = np.asarray(ImageOps.exif_transpose(image).convert("RGB"), dtype=np.uint8)
    except ERRORS_OF_PILLOW as cause:
        raise DataError(f"'{path.name}' cannot be read: {cause}") from cause
    reduced = Image.fromarray(limit_side(upright, max_side_px))
    return np.array(convert_to_srgb(reduced, profile), dtype=np.uint8)


def _exposure_ev(
    exposure_s: float | None, f_number: float | None, iso: float | None
) -> float | None:
    if exposure_s is None:
        return None
    sensitivity = iso if iso is not None and iso < ISO_OVERFLOW else 100.0
    # A sum: the product of what a broken header claims may be out of range.
    return math.log2(exposure_s) + math.log2(sensitivity / 100.0) - 2 * math.log2(f_number or 1.0)


def _parse_time(taken: object, fraction: object) -> float | None:
    text = str(taken).strip("\0 ")
    try:
        moment = datetime.strptime(text, "%Y:%m:%d %H:%M:%S").replace(tzinfo=UTC)
    except ValueError:
        return None
    digits = str(fraction or "").strip("\0 ")
    return moment.timestamp() + (float(f"0.{digits}") if digits.isdecimal() else 0.0)


def _positive(value: object) -> float | None:
    number = _number(value)
    return number if number is not None and number > 0 else None


def _number(value: object) -> float | None:
    """A finite number of an EXIF value; the first of several."""
    first = value[0] if isinstance(value, tuple) and value else value
    try:
        number = float(first)  # type: ignore[arg-type]
    except (ArithmeticError, TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None


@contextmanager
def _quiet() -> Iterator[None]:
    """Without Pillow's warnings: what they tell of ends in an error or does not matter here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
