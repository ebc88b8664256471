"""Lists the boxes of which AVIF, HEIC and JPEG XL files are built (ISO/IEC 14496-12, 4.2)."""

from collections.abc import Iterator
from dataclasses import dataclass

from expofuse.files.headers.header import MAX_SEGMENTS, read_fields


@dataclass(frozen=True, slots=True)
class Box:
    """One box.

    Attributes:
        name: Four letters.
        begin: Where it stands.
        content: Where its content begins.
        end: Where it says that it ends.
        is_whole: It lies within the stretch that was looked at.
    """

    name: bytes
    begin: int
    content: int
    end: int
    is_whole: bool


def list_boxes(view: memoryview, begin: int = 0, end: int | None = None) -> Iterator[Box]:
    """The boxes of a stretch, in their order; behind one that is not whole none is sought.

    Args:
        view: The whole file.
        begin: Where the first one stands.
        end: Where the stretch ends; None: with the file.

    Raises:
        ImageDecodeError: The head of one is cut off.
    """
    limit = len(view) if end is None else end
    for _ in range(MAX_SEGMENTS):
        if begin + 8 > limit:
            return
        length, name = read_fields(">I4s", view, begin)
        head = 8
        if length == 1:
            (length,) = read_fields(">Q", view, begin + 8)
            head = 16
        elif length == 0:
            length = limit - begin
        is_whole = head <= length <= limit - begin
        yield Box(name, begin, begin + head, begin + length, is_whole)
        if not is_whole:
            return
        begin += length
