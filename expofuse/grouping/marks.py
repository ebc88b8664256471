"""Reads what makers' notes say about exposure bracketing."""

import struct
from collections.abc import Callable
from dataclasses import dataclass

from expofuse.grouping.directories import Tags, TiffBlock, read_number, read_text
from expofuse.grouping.frame import BracketMark

AUTO_BRACKET = 2
"""Value of EXIF's ExposureMode, which some makers write who keep the rest to themselves."""

_MAKER_NOTE, _EXPOSURE_MODE = 0x927C, 0xA402


@dataclass(frozen=True, slots=True)
class MakerNote:
    """What of a maker's note matters here.

    Attributes:
        mark: What it says about bracketing; None where it says nothing.
        serial: Serial number of the camera's body; empty where it does not say.
    """

    mark: BracketMark | None = None
    serial: str = ""


_NOTHING = MakerNote()


def read_note(block: TiffBlock, capture: Tags, make: str) -> MakerNote:
    """Read the maker's note of an EXIF block.

    Args:
        block: In which the note lies.
        capture: The EXIF directory, which holds it.
        make: Maker of the camera: Canon's notes do not begin with its name.

    Returns:
        What it says, and what EXIF itself says about bracketing where the note says nothing.
    """
    note = capture.get(_MAKER_NOTE)
    found = _NOTHING
    if isinstance(note, bytes) and len(note) > _SHORTEST_NOTE:
        position = block.data.find(note)
        read = next((one for start, one in _READERS if note.startswith(start)), None)
        if read is None and make == "Canon":
            read = _read_canon
        if read is not None and position >= 0:
            found = read(block, position, note)
    return with_exposure_mode(found, capture)


def read_canon(tags: Tags) -> MakerNote:
    """Bracketing in the tags of Canon's note: ShotInfo and FileInfo."""
    values = [read_number(tags, _SHOT_INFO, index) for index in (16, 17)]
    mode, value, shot = (read_number(tags, _FILE_INFO, index) for index in (3, 4, 5))
    if values[0] is None and mode is None:
        return MakerNote(serial=_read_canon_serial(tags))
    steps = [_read_canon_ev(one) for one in (values[1], value) if one is not None]
    step_ev = next((one for one in steps if one), 0.0)
    is_on = bool(values[0]) or bool(values[1]) or mode in _CANON_EXPOSURE_BRACKETS
    if mode in _CANON_OTHER_BRACKETS:
        is_on = False
    mark = BracketMark(is_on, step_ev if is_on else None, _positive(shot) if is_on else None)
    return MakerNote(mark, _read_canon_serial(tags))


_SHORTEST_NOTE = 16
_SHOT_INFO, _FILE_INFO, _CANON_SERIAL = 0x0004, 0x0093, 0x000C
_CANON_EXPOSURE_BRACKETS, _CANON_OTHER_BRACKETS = (1, 3), (2, 4)
"""BracketMode: exposure and sensitivity; focus and white balance."""
_NIKON_BRACKET_VALUE, _NIKON_SERIAL, _NIKON_SHOOTING = 0x0019, 0x001D, 0x0089
_NIKON_EXPOSURE_BRACKET = 0x10
_SONY_RELEASE, _SONY_SEQUENCE = 0xB049, 0xB04A
_SONY_EXPOSURE_BRACKET, _SONY_UNKNOWN = 5, 65535
_FUJIFILM_BRACKET, _FUJIFILM_SEQUENCE, _FUJIFILM_SERIAL = 0x1100, 0x1101, 0x0010
_OLYMPUS_SETTINGS, _OLYMPUS_DRIVE = 0x2020, 0x0600
_OLYMPUS_EXPOSURE_MODES, _OLYMPUS_BY_BITS = (2, 4), 5
_OLYMPUS_EXPOSURE_BITS = 0b110001
"""Bits of the third number of DriveMode: exposure, sensitivity, exposure by itself."""
_PANASONIC_BURST, _PANASONIC_SEQUENCE, _PANASONIC_BRACKET = 0x002A, 0x002B, 0x0045
_PANASONIC_EXPOSURE_BURST = 2
_PANASONIC_SHOTS = {1: 3, 2: 3, 3: 5, 4: 5, 5: 7, 6: 7}


def _read_canon(block: TiffBlock, position: int, note: bytes) -> MakerNote:
    return read_canon(block.read(position))


def _read_canon_serial(tags: Tags) -> str:
    serial = read_number(tags, _CANON_SERIAL)
    return str(int(serial)) if serial else ""


def _read_canon_ev(coded: float) -> float:
    """Canon writes 32nds, but thirds as 12 and 20 of them; a sign in 16 bits, of any type."""
    signed = (int(coded) + 0x8000) % 0x10000 - 0x8000
    whole, rest = divmod(abs(signed), 32)
    return (whole + {12: 1 / 3, 20: 2 / 3}.get(rest, rest / 32)) * (1 if signed >= 0 else -1)


def _read_nikon(block: TiffBlock, position: int, note: bytes) -> MakerNote:
    own = TiffBlock.open(note[10:])
    if own is None:
        return _NOTHING
    tags = own.read(own.first)
    serial = read_text(tags, _NIKON_SERIAL)
    shooting, step_ev = (read_number(tags, tag) for tag in (_NIKON_SHOOTING, _NIKON_BRACKET_VALUE))
    if shooting is None and step_ev is None:
        return MakerNote(serial=serial)
    is_on = bool(step_ev) or bool(int(shooting or 0) & _NIKON_EXPOSURE_BRACKET)
    return MakerNote(BracketMark(is_on, step_ev if is_on else None), serial)


def _read_sony(block: TiffBlock, position: int, note: bytes) -> MakerNote:
    head = len(_SONY_HEAD) if note.startswith(_SONY_STARTS) else 0
    tags = block.read(position + head)
    release, sequence = (read_number(tags, tag) for tag in (_SONY_RELEASE, _SONY_SEQUENCE))
    if release is None or release == _SONY_UNKNOWN:
        return _NOTHING
    is_on = release == _SONY_EXPOSURE_BRACKET
    shot = None if sequence == _SONY_UNKNOWN else sequence
    return MakerNote(BracketMark(is_on, None, _positive(shot) if is_on else None))


def _read_fujifilm(block: TiffBlock, position: int, note: bytes) -> MakerNote:
    own = TiffBlock(note, b"II")
    tags = own.read(struct.unpack_from("<I", note, 8)[0])
    serial = read_text(tags, _FUJIFILM_SERIAL)
    bracket, sequence = (read_number(tags, tag) for tag in (_FUJIFILM_BRACKET, _FUJIFILM_SEQUENCE))
    if bracket is None:
        return MakerNote(serial=serial)
    is_on = bracket == 1
    return MakerNote(BracketMark(is_on, None, _positive(sequence) if is_on else None), serial)


def _read_olympus(block: TiffBlock, position: int, note: bytes) -> MakerNote:
    head = 16 if note.startswith(b"OM SYSTEM") else 12
    own = TiffBlock(note, note[head - 4 : head - 2])
    if own.order not in (b"II", b"MM"):
        return _NOTHING
    place = read_number(own.read(head), _OLYMPUS_SETTINGS)
    settings = own.read(int(place)) if place else {}
    mode, shot, bits = (read_number(settings, _OLYMPUS_DRIVE, index) for index in range(3))
    if mode is None:
        return _NOTHING
    is_on = mode in _OLYMPUS_EXPOSURE_MODES or (
        mode == _OLYMPUS_BY_BITS and bool(int(bits or 0) & _OLYMPUS_EXPOSURE_BITS)
    )
    return MakerNote(BracketMark(is_on, None, _positive(shot) if is_on else None))


def _read_panasonic(block: TiffBlock, position: int, note: bytes) -> MakerNote:
    tags = block.read(position + 12)
    burst, sequence, bracket = (
        read_number(tags, tag)
        for tag in (_PANASONIC_BURST, _PANASONIC_SEQUENCE, _PANASONIC_BRACKET)
    )
    if burst is None and bracket is None:
        return _NOTHING
    is_on = burst == _PANASONIC_EXPOSURE_BURST or bool(bracket)
    if not is_on:
        return MakerNote(BracketMark(False))
    shots = _PANASONIC_SHOTS.get(int(bracket or 0))
    return MakerNote(BracketMark(True, None, _positive(sequence), shots))


def _positive(number: float | None) -> int | None:
    return int(number) if number is not None and number > 0 else None


def with_exposure_mode(note: MakerNote, capture: Tags) -> MakerNote:
    """A note, or what EXIF's own ExposureMode says where the note does not tell of a bracket."""
    if read_number(capture, _EXPOSURE_MODE) != AUTO_BRACKET:
        return note
    if note.mark is not None and note.mark.is_bracketing:
        return note
    return MakerNote(BracketMark(True), note.serial)


_SONY_HEAD = b"SONY DSC \0\0\0"
_SONY_STARTS = (b"SONY DSC", b"SONY CAM", b"SONY MOBILE", b"\0\0SONY PIC\0")
Reader = Callable[[TiffBlock, int, bytes], MakerNote]
_READERS: tuple[tuple[bytes | tuple[bytes, ...], Reader], ...] = (
    (b"Nikon\0\2", _read_nikon),
    (_SONY_STARTS, _read_sony),
    (b"FUJIFILM", _read_fujifilm),
    ((b"OLYMPUS\0", b"OM SYSTEM\0"), _read_olympus),
    (b"Panasonic\0\0\0", _read_panasonic),
)
