"""Leaves the texts of a PNG out: nobody reads them here, and they may unpack to gigabytes."""

import struct

_TEXTS = (b"tEXt", b"zTXt", b"iTXt")
_SIGNATURE_BYTES = 8


def drop_texts(data: bytes | bytearray | memoryview) -> bytes | bytearray | memoryview:
    r"""The file without the chunks that hold text; the file itself where it has none.

    Args:
        data: The whole file; what follows a chunk that is cut off stays as it is.

    Example:
        >>> drop_texts(bytes(8) + b"\0\0\0\1tEXta....\0\0\0\0IEND....")[8:]
        b'\x00\x00\x00\x00IEND....'
    """
    view = memoryview(data).cast("B")
    kept: list[memoryview] = []
    begin = offset = _SIGNATURE_BYTES
    while offset + 8 <= len(view):
        length, name = struct.unpack_from(">I4s", view, offset)
        end = offset + 12 + length
        if name in _TEXTS:
            kept.append(view[begin:offset])
            begin = end
        offset = end
    return b"".join((view[:_SIGNATURE_BYTES], *kept, view[begin:])) if kept else data
