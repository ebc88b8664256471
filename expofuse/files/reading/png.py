"""Leaves the texts of a PNG out: nobody reads them here, and they may unpack to gigabytes."""

from expofuse.files.headers.png import SIGNATURE_BYTES, list_chunks

_TEXTS = (b"tEXt", b"zTXt", b"iTXt")


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
    begin = SIGNATURE_BYTES
    for name, body, length in list_chunks(view):
        if name in _TEXTS:
            kept.append(view[begin : body - 8])
            begin = body + length + 4
    return b"".join((view[:SIGNATURE_BYTES], *kept, view[begin:])) if kept else data
