"""Reads what the headers of a shoot's files say; no pixel is decoded."""

import mmap
import re
import struct
import warnings
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from PIL import Image

from expofuse.errors import FileError
from expofuse.files.exif import ISO_OVERFLOW
from expofuse.files.headers import ImageFormat, ImageHeader, sniff
from expofuse.files.headers.jpeg import list_application_segments
from expofuse.files.headers.raw import CANON_BRAND, FUJIFILM_START
from expofuse.files.pillow_errors import ERRORS_OF_PILLOW
from expofuse.grouping.directories import (
    Tags,
    TiffBlock,
    read_number,
    read_text,
)
from expofuse.grouping.frame import ExposureMode, Frame
from expofuse.grouping.marks import MakerNote, read_canon, read_note, with_exposure_mode

_MAKE, _MODEL, _ORIENTATION, _MODIFIED, _CAPTURE = 0x010F, 0x0110, 0x0112, 0x0132, 0x8769
_EXPOSURE, _APERTURE, _ISO, _ISO_SPEED, _SHUTTER = 0x829A, 0x829D, 0x8827, 0x8833, 0x9201
_TAKEN, _FRACTION, _OFFSET = 0x9003, 0x9291, 0x9011
_BIAS, _FOCAL_LENGTH, _MODE, _SERIAL, _DNG_SERIAL = 0x9204, 0x920A, 0xA402, 0xA431, 0xC62F
_MODES: dict[float, ExposureMode] = {0.0: "auto", 1.0: "manual"}

_TIME = re.compile(r"(\d{4}):(\d\d):(\d\d) (\d\d):(\d\d):(\d\d)", re.ASCII)

_PILLOW_FORMATS = ("png", "webp", "avif")
_PREFIX = b"Exif\0\0"
_FUJIFILM_PREVIEW = 84
_CANON_BOXES = (b"CMT1", b"CMT2", b"CMT3")
_SEARCHED_BYTES = 1 << 16


def read_frames(paths: Iterable[Path], root: Path | None = None) -> list[Frame]:
    """Read the headers of files.

    Args:
        paths: JPEG, PNG, WebP, TIFF, AVIF, HEIC, BMP and raw files of cameras.
        root: Folder of the shoot, to which the frames' names are relative; None for names that are
            the paths as given.

    Returns:
        A frame for each file, in the order given. A file that cannot be read, or is no picture,
        has a `fault`.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # What Pillow warns of ends in a fault or does not matter.
        return [_read_frame(path, root) for path in paths]


def _read_frame(path: Path, root: Path | None) -> Frame:
    name = (path if root is None else path.relative_to(root)).as_posix()
    try:
        with path.open("rb") as file:
            # Not closed by itself: what a refused header raises still holds views of it.
            data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            header = sniff(memoryview(data))
            return _describe(name, header, _read_tags(file, data, header))
    except FileError as error:
        return Frame(name, fault=error.message)
    except OSError as error:
        return Frame(name, fault=f"it cannot be read: {error.strerror}")
    except ValueError:  # of mmap
        return Frame(name, fault="expected a picture, got an empty file")


def _read_tags(
    file: BinaryIO, data: mmap.mmap, header: ImageHeader
) -> tuple[Tags, Tags, MakerNote]:
    """The tags of the picture and of the capture, and the maker's note; empty without EXIF."""
    if data[4:12] == CANON_BRAND:
        return _read_canon_boxes(data)
    block = _find_block(file, data, header)
    if block is None:
        return {}, {}, MakerNote()
    image = block.read(block.first)
    capture = block.read(int(read_number(image, _CAPTURE) or 0))
    return image, capture, read_note(block, capture, read_text(image, _MAKE))


def _find_block(file: BinaryIO, data: mmap.mmap, header: ImageHeader) -> TiffBlock | None:
    is_fujifilm = data[: len(FUJIFILM_START)] == FUJIFILM_START
    if header.format == "tiff" or (header.format == "raw" and not is_fujifilm):
        return TiffBlock.open(data)
    exif: object = None
    if header.format in ("jpeg", "raw"):
        begin = struct.unpack_from(">I", data, _FUJIFILM_PREVIEW)[0] if is_fujifilm else 0
        with memoryview(data) as view, view[begin:] as jpeg:
            segments = list_application_segments(jpeg)
            exif = next((one for one in segments if one.startswith(_PREFIX)), None)
    else:
        try:
            exif = _read_by_library(file, header.format)
        except (ImportError, *ERRORS_OF_PILLOW):
            return None
    return TiffBlock.open(exif.removeprefix(_PREFIX)) if isinstance(exif, bytes) else None


def _read_by_library(file: BinaryIO, image_format: ImageFormat) -> object:
    """The EXIF block of other formats; HEIC's only where the extra that decodes it is installed."""
    file.seek(0)
    if image_format == "heic":
        import pi_heif

        return pi_heif.open_heif(file).info.get("exif")
    if image_format not in _PILLOW_FORMATS:
        return None
    with Image.open(file, formats=[image_format]) as image:
        return image.info.get("exif")


def _read_canon_boxes(data: mmap.mmap) -> tuple[Tags, Tags, MakerNote]:
    """A CR3 file keeps the directories and the maker's note as TIFF structures in boxes."""
    found: list[Tags] = []
    for box in _CANON_BOXES:
        at = data.find(box, 0, _SEARCHED_BYTES)
        block = None
        if at >= 4:
            (length,) = struct.unpack_from(">I", data, at - 4)
            block = TiffBlock.open(data[at + 4 : at - 4 + length])
        found.append(block.read(block.first) if block else {})
    image, capture, note = found
    return image, capture, with_exposure_mode(read_canon(note), capture)


def _describe(name: str, header: ImageHeader, tags: tuple[Tags, Tags, MakerNote]) -> Frame:
    image, capture, note = tags
    taken_s, has_fraction = _read_time(image, capture)
    orientation = int(read_number(image, _ORIENTATION) or 1)
    return Frame(
        name=name,
        kind="raw" if header.format == "raw" else "picture",
        taken_s=taken_s,
        has_fraction=has_fraction,
        exposure_s=_read_exposure_s(capture),
        f_number=_positive(read_number(capture, _APERTURE)),
        iso=_read_iso(capture),
        bias_ev=read_number(capture, _BIAS),
        mode=_MODES.get(read_number(capture, _MODE) or 0.0) if _MODE in capture else None,
        mark=note.mark,
        focal_length_mm=_positive(read_number(capture, _FOCAL_LENGTH)),
        width_px=header.width_px,
        height_px=header.height_px,
        orientation=orientation if 1 <= orientation <= 8 else 1,
        make=read_text(image, _MAKE),
        model=read_text(image, _MODEL),
        serial=read_text(capture, _SERIAL) or read_text(image, _DNG_SERIAL) or note.serial,
    )


def _read_exposure_s(capture: Tags) -> float | None:
    exposure_s = _positive(read_number(capture, _EXPOSURE))
    shutter_ev = read_number(capture, _SHUTTER)
    if exposure_s is None and shutter_ev is not None and abs(shutter_ev) < 30.0:
        return float(2.0**-shutter_ev)
    return exposure_s


def _read_iso(capture: Tags) -> float | None:
    iso = _positive(read_number(capture, _ISO))
    if iso is None or iso >= ISO_OVERFLOW:
        return _positive(read_number(capture, _ISO_SPEED))
    return iso


def _read_time(image: Tags, capture: Tags) -> tuple[float | None, bool]:
    """Seconds since 1970, and whether their fraction is known."""
    text = read_text(capture, _TAKEN) or read_text(image, _MODIFIED)
    found = _TIME.match(text)
    try:
        # Ten times as fast as `strptime`.
        moment = datetime(*map(int, found.groups()), tzinfo=UTC) if found else None  # type: ignore[arg-type, misc]
    except ValueError:
        moment = None
    if moment is None:
        return None, False
    digits = read_text(capture, _FRACTION)
    has_fraction = digits.isdecimal() and digits.isascii()
    fraction_s = float(f"0.{digits}") if has_fraction else 0.0
    return moment.timestamp() + fraction_s - _read_offset_s(capture), has_fraction


def _read_offset_s(capture: Tags) -> float:
    text = read_text(capture, _OFFSET)
    sign, hours, minutes = text[:1], text[1:3], text[4:6]
    if sign not in ("+", "-") or not (hours.isdecimal() and minutes.isdecimal()):
        return 0.0
    return (-1.0 if sign == "-" else 1.0) * (int(hours) * 3600.0 + int(minutes) * 60.0)


def _positive(number: float | None) -> float | None:
    return number if number is not None and number > 0 else None
