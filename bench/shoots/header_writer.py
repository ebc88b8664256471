"""Writes the headers of made-up cameras: EXIF blocks with makers' notes, in tiny real files."""

from __future__ import annotations

import io
import struct
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import numpy as np
from PIL import Image

from bench.shoots.cameras import Camera
from bench.shoots.taken import Taken

BYTE, TEXT, SHORT, LONG, RATIO, OPAQUE, SIGNED_RATIO = 1, 2, 3, 4, 5, 7, 10
Entry = tuple[int, bytes]
"""Type of a value and the value in the byte order of its directory."""

_UNITS = {BYTE: 1, TEXT: 1, SHORT: 2, LONG: 4, RATIO: 8, OPAQUE: 1, SIGNED_RATIO: 8}
_IMAGE_AT = 8
SONY_NOT_SAID = 65535


def text(value: str) -> Entry:
    """A text with its end mark."""
    return TEXT, value.encode() + b"\0"


def shorts(*values: int) -> Entry:
    """Numbers of 16 bits."""
    return SHORT, struct.pack(f"<{len(values)}H", *(value & 0xFFFF for value in values))


def longs(*values: int) -> Entry:
    """Numbers of 32 bits."""
    return LONG, struct.pack(f"<{len(values)}I", *values)


def ratio(value: float, by: int = 1000) -> Entry:
    """A fraction; short exposures as one over something, as cameras write them."""
    if 0 < value < 0.3:
        return RATIO, struct.pack("<2I", 10, round(10 / value))
    return RATIO, struct.pack("<2I", round(value * by), by)


def signed_ratio(value: float) -> Entry:
    """A fraction of sixths, in which thirds and halves are exact."""
    return SIGNED_RATIO, struct.pack("<2i", round(value * 6), 6)


def write_directory(entries: Mapping[int, Entry], at: int) -> bytes:
    """A directory and its longer values behind it.

    Args:
        entries: By tag.
        at: Where it will stand, from where positions count.
    """
    table, values = struct.pack("<H", len(entries)), b""
    behind = at + 2 + 12 * len(entries) + 4
    for tag, (kind, value) in sorted(entries.items()):
        field = value.ljust(4, b"\0")
        if len(value) > 4:
            field = struct.pack("<I", behind + len(values))
            values += value + b"\0" * (len(value) % 2)
        table += struct.pack("<HHI", tag, kind, len(value) // _UNITS[kind]) + field
    return table + bytes(4) + values


def write_exif(
    camera: Camera, taken: Taken, serial: str, more: Mapping[int, Entry] | None = None
) -> bytes:
    """The TIFF structure of one picture's header, with more tags in its first directory."""
    image = dict(more or {})
    image |= {0x010F: text(camera.make), 0x0110: text(camera.model)}
    image[0x0112] = shorts(taken.orientation)
    image[0x8769] = longs(0)
    capture = _write_capture(camera, taken, serial)
    capture_at = _IMAGE_AT + len(write_directory(image, _IMAGE_AT))
    image[0x8769] = longs(capture_at)
    if camera.note != "none":
        # The note's positions may count from the beginning of all: so it must know where it is.
        place = b"\xa5" * len(_write_note(camera, taken, serial, 0))
        probe = write_directory(capture | {0x927C: (OPAQUE, place)}, capture_at)
        note_at = capture_at + probe.index(place)
        capture[0x927C] = (OPAQUE, _write_note(camera, taken, serial, note_at))
    head = b"II*\0" + struct.pack("<I", _IMAGE_AT)
    return head + write_directory(image, _IMAGE_AT) + write_directory(capture, capture_at)


def write_jpeg(exif: bytes) -> bytes:
    """A tiny JPEG with this header."""
    begin, rest = _TINY[:2], _TINY[2:]
    body = b"Exif\0\0" + exif
    return begin + b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body + rest


def write_raw(camera: Camera, taken: Taken, serial: str) -> bytes:
    """A file that begins as a DNG does, with the same header; there are no pixels in it."""
    more = {0x0100: longs(6000), 0x0101: longs(4000), 0xC612: (BYTE, bytes((1, 4, 0, 0)))}
    return write_exif(camera, taken, serial, more)


def _write_capture(camera: Camera, taken: Taken, serial: str) -> dict[int, Entry]:
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=taken.clock_s)
    bias_ev = taken.bias_ev + (taken.step_ev if camera.writes_bias else 0.0)
    is_bracket = taken.drive == "bracket" and camera.says_bracket
    entries = {
        0x829A: ratio(taken.exposure_s),
        0x829D: ratio(taken.f_number),
        0x8827: shorts(taken.iso),
        0x9204: signed_ratio(bias_ev),
        0x920A: ratio(taken.focal_length_mm),
        0xA402: shorts(2 if is_bracket else int(taken.is_manual)),
    }
    if taken.has_clock:
        entries[0x9003] = text(moment.strftime("%Y:%m:%d %H:%M:%S"))
        if camera.has_fraction:
            entries[0x9291] = text(f"{moment.microsecond // 10_000:02}")
        if camera.has_offset:
            entries[0x9011] = text("+00:00")
    if camera.has_serial:
        entries[0xA431] = text(serial)
    return entries


def _write_note(camera: Camera, taken: Taken, serial: str, at: int) -> bytes:
    """The maker's note, which begins at a position of the whole."""
    is_on = taken.drive == "bracket"
    shot = taken.shot if camera.tells_shot else 0
    if camera.note == "canon":
        step = _write_canon_ev(taken.step_ev)
        info = [0] * 20
        info[16], info[17] = (0xFFFF if is_on else 0), step
        file_info = [0] * 8
        file_info[3], file_info[4], file_info[5] = int(is_on), step, shot
        number = longs(int(serial[-6:]))
        return write_directory({4: shorts(*info), 0x0C: number, 0x93: shorts(*file_info)}, at)
    if camera.note == "nikon":
        shooting = (0x10 if is_on else 0) | (0 if taken.drive == "single" else 1)
        entries = {
            0x19: signed_ratio(taken.step_ev if is_on else 0.0),
            0x1D: text(serial),
            0x89: shorts(shooting),
        }
        return b"Nikon\0\2\x10\0\0" + b"II*\0" + longs(8)[1] + write_directory(entries, 8)
    if camera.note == "sony":
        release = {"single": 0, "continuous": 2, "bracket": 5}[taken.drive]
        sequence = taken.shot if taken.drive != "single" else 0
        entries = {0xB049: shorts(release), 0xB04A: shorts(sequence)}
        return b"SONY DSC \0\0\0" + write_directory(entries, at + 12)
    if camera.note == "fujifilm":
        entries = {
            0x10: text(f"FFDT{serial}"),
            0x1100: shorts(int(is_on)),
            0x1101: shorts(taken.shot),
        }
        return b"FUJIFILM" + longs(12)[1] + write_directory(entries, 12)
    if camera.note in ("olympus", "om"):
        return _write_olympus(camera, taken)
    entries = {
        0x2A: shorts(2 if is_on else int(taken.drive == "continuous")),
        0x2B: longs(taken.shot),
        0x45: shorts({3: 2, 5: 4, 7: 6}.get(taken.shots, 0) if is_on else 0),
    }
    return b"Panasonic\0\0\0" + write_directory(entries, at + 12)


def _write_canon_ev(value: float) -> int:
    """In 32nds, but thirds as 12 and 20 of them."""
    whole, thirds = divmod(round(abs(value) * 3), 3)
    return (whole * 32 + (0, 12, 20)[thirds]) * (1 if value >= 0 else -1)


def _write_olympus(camera: Camera, taken: Taken) -> bytes:
    head = b"OLYMPUS\0II\3\0" if camera.note == "olympus" else b"OM SYSTEM\0\0\0II\4\0"
    if camera.note == "olympus":
        mode = {"single": (0, 0, 0), "continuous": (1, 0, 0), "bracket": (2, 0, 0)}
    else:
        mode = {"single": (0, 0, 0), "continuous": (1, 0, 0), "bracket": (5, 0, 1)}
    first, _, bits = mode[taken.drive]
    settings_at = len(head) + 2 + 12 + 4
    main = write_directory({0x2020: longs(settings_at)}, len(head))
    return head + main + write_directory({0x0600: shorts(first, taken.shot, bits)}, settings_at)


def _make_tiny() -> bytes:
    stream = io.BytesIO()
    Image.fromarray(np.full((16, 24, 3), 90, np.uint8)).save(stream, "jpeg")
    return stream.getvalue()


_TINY = _make_tiny()
