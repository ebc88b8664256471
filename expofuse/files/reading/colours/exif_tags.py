"""Reads the entries of a TIFF or EXIF directory that speak of colour and of JPEG strips."""

import struct
from dataclasses import dataclass

_MAX_ENTRIES = 512
_MAX_WORD_BYTES = 16_384
_MAX_VALUES = 3 * 65536
_FORMS = {
    1: "B",
    2: "s",
    3: "H",
    4: "I",
    13: "I",
    5: "II",
    7: "s",
    9: "i",
    10: "ii",
    11: "f",
    12: "d",
    16: "Q",
}

WHITE_POINT, PRIMARIES, TRANSFER_FUNCTION = 318, 319, 301
BITS, COMPRESSION, JPEG_TABLES = 258, 259, 347
STRIP_OFFSETS, STRIP_BYTES, TILE_OFFSETS, TILE_BYTES = 273, 279, 324, 325
COLOUR_SPACE, GAMMA = 0xA001, 0xA500
_EXIF_DIRECTORY, _INTEROPERABILITY_DIRECTORY, _INTEROPERABILITY_INDEX = 0x8769, 0xA005, 1

Values = tuple[float, ...]


@dataclass(frozen=True, slots=True)
class ExifTags:
    """The entries of a TIFF directory and of the two that EXIF hangs below it.

    Attributes:
        image: Numbers of the first directory by tag.
        exif: Numbers of the EXIF directory.
        interoperability: The index of the DCF rule, as "R98" and "R03"; empty without one.
        words: Bytes of the first directory by tag.
    """

    image: dict[int, Values]
    exif: dict[int, Values]
    interoperability: str
    words: dict[int, bytes]


def read_exif_tags(tiff: bytes | bytearray | memoryview) -> ExifTags:
    """Read the entries of a whole TIFF file or of an EXIF block without its prefix.

    Args:
        tiff: Untrusted; what cannot be read is left out.
    """
    view = memoryview(tiff).cast("B")
    order = {b"II": "<", b"MM": ">"}.get(bytes(view[:2]), "")
    try:
        (version,) = struct.unpack_from(f"{order}H", view, 2)
        is_big = version == 43
        (start,) = struct.unpack_from(f"{order}{'Q' if is_big else 'I'}", view, 8 if is_big else 4)
    except struct.error:
        return ExifTags({}, {}, "", {})
    if not order or version not in (42, 43):
        return ExifTags({}, {}, "", {})
    reader = _Directories(view, order, is_big)
    image, image_words = reader.read(start)
    exif, _ = reader.read(int(image.get(_EXIF_DIRECTORY, (0,))[0]))
    _, words = reader.read(int(exif.get(_INTEROPERABILITY_DIRECTORY, (0,))[0]))
    mark = words.get(_INTEROPERABILITY_INDEX, b"").rstrip(b"\0 ").decode("ascii", "replace")
    return ExifTags(image, exif, mark, image_words)


@dataclass(frozen=True, slots=True)
class _Directories:
    view: memoryview
    order: str
    is_big: bool

    def read(self, position: int) -> tuple[dict[int, Values], dict[int, bytes]]:
        """Numbers and words of a directory; none where it does not lie in the file."""
        numbers: dict[int, Values] = {}
        words: dict[int, bytes] = {}
        if position == 0:
            return numbers, words
        count_form, entry_form, inline = ("Q", "HHQ", 8) if self.is_big else ("H", "HHI", 4)
        try:
            (count,) = struct.unpack_from(self.order + count_form, self.view, position)
            position += struct.calcsize(self.order + count_form)
            for _ in range(min(count, _MAX_ENTRIES)):
                tag, kind, values = struct.unpack_from(self.order + entry_form, self.view, position)
                field = position + struct.calcsize(self.order + entry_form)
                position = field + inline
                self._read_entry(tag, kind, values, field, numbers, words)
        except (struct.error, OverflowError):
            pass
        return numbers, words

    def _read_entry(
        self,
        tag: int,
        kind: int,
        count: int,
        field: int,
        numbers: dict[int, Values],
        words: dict[int, bytes],
    ) -> None:
        form = _FORMS.get(kind)
        if form is None or not 1 <= count <= _MAX_VALUES:
            return
        inline = 8 if self.is_big else 4
        if struct.calcsize(f"{self.order}{form}") * count > inline:
            (field,) = struct.unpack_from(
                self.order + ("Q" if self.is_big else "I"), self.view, field
            )
        if form == "s":
            if field + count <= len(self.view) and count <= _MAX_WORD_BYTES:
                words[tag] = bytes(self.view[field : field + count])
            return
        if tag not in _WANTED or (form in "fd" and tag not in _FRACTIONS):
            return
        try:
            read = struct.unpack_from(f"{self.order}{count * len(form)}{form[0]}", self.view, field)
        except (struct.error, OverflowError):
            return
        if len(form) == 2:
            pairs = zip(read[::2], read[1::2], strict=True)
            read = tuple(above / below if below else 0.0 for above, below in pairs)
        numbers[tag] = read


_FRACTIONS = frozenset((WHITE_POINT, PRIMARIES, GAMMA))
_WANTED = frozenset(
    (
        WHITE_POINT,
        PRIMARIES,
        TRANSFER_FUNCTION,
        BITS,
        COMPRESSION,
        STRIP_OFFSETS,
        STRIP_BYTES,
        TILE_OFFSETS,
        TILE_BYTES,
        COLOUR_SPACE,
        GAMMA,
        _EXIF_DIRECTORY,
        _INTEROPERABILITY_DIRECTORY,
    )
)
