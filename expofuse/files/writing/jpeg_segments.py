"""Puts metadata into a JPEG stream that has none: EXIF, then the profile, as libvips does."""

from collections.abc import Iterator

from expofuse.errors import EncodeError

_START = b"\xff\xd8"
_APPLICATION, _COMMENT, _SCAN = range(0xE0, 0xF0), 0xFE, 0xDA
_MAX_BODY_BYTES = 65_533
_PROFILE_HEAD = b"ICC_PROFILE\0"
_MAX_PARTS = 255


def add_metadata(stream: bytes, *, exif: bytes | None, profile: bytes | None) -> bytes:
    """Give a JPEG stream an EXIF block and an ICC profile, in place of what its writer noted.

    Args:
        stream: A whole JPEG file.
        exif: With its prefix, as `rebuild_exif` returns it; None for none.
        profile: None for none.

    Raises:
        EncodeError: The stream is none of JPEG, or a block is larger than the format holds.

    Reference:
        ITU-T T.81, annex B; ICC.1:2022, annex B.4, for the parts of a profile.
    """
    if not stream.startswith(_START):
        raise EncodeError("expected a JPEG stream, got something else")
    added = [] if exif is None else [_write_segment(0xE1, exif)]
    if profile is not None:
        room = _MAX_BODY_BYTES - len(_PROFILE_HEAD) - 2
        parts = [profile[begin : begin + room] for begin in range(0, len(profile), room)]
        if len(parts) > _MAX_PARTS:
            raise EncodeError(f"expected a profile of at most {_MAX_PARTS * room} bytes")
        for number, part in enumerate(parts, 1):
            added.append(_write_segment(0xE2, _PROFILE_HEAD + bytes((number, len(parts))) + part))
    return b"".join((_START, *added, *_list_rest(stream)))


def _write_segment(marker: int, body: bytes) -> bytes:
    if len(body) > _MAX_BODY_BYTES:
        raise EncodeError(f"expected at most {_MAX_BODY_BYTES} bytes of a segment, got more")
    return bytes((0xFF, marker)) + (len(body) + 2).to_bytes(2, "big") + body


def _list_rest(stream: bytes) -> Iterator[bytes | memoryview]:
    """The segments before the first scan but for notes, then all from that scan on."""
    offset = len(_START)
    while offset + 4 <= len(stream) and stream[offset] == 0xFF:
        marker = stream[offset + 1]
        if marker == _SCAN:
            yield memoryview(stream)[offset:]
            return
        end = offset + 2 + int.from_bytes(stream[offset + 2 : offset + 4], "big")
        if marker not in _APPLICATION and marker != _COMMENT:
            yield stream[offset:end]
        offset = end
    raise EncodeError("expected a JPEG stream with a scan, got none")
