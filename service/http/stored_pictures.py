"""Sends a picture that lies in a file: all of it, a range, or only that nothing has changed."""

import asyncio
import re
from collections.abc import Mapping
from typing import BinaryIO, Final

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from service.fusing.tag import matches
from service.http.pictures import PIECE_BYTES

READ_BYTES: Final = 16 * PIECE_BYTES
"""Read from the disk at one time."""

_RANGE = re.compile(r"bytes=(?:(\d{1,18})-(\d{0,18})|-(\d{1,18}))")


def read_range(headers: Headers, etag: str, size: int) -> range | None:
    """The bytes that a request asks for; None: all of them.

    A client that wants several ranges, one that is not there, or one of another picture gets all,
    as RFC 9110 (section 14.2) lets a server do.

    Args:
        headers: Of the request.
        etag: Of the picture, in quotes.
        size: Its bytes, at least 1.

    Example:
        >>> [read_range(Headers({"range": one}), "", 10) for one in ("bytes=2-", "bytes=-3", "x")]
        [range(2, 10), range(7, 10), None]
        >>> read_range(Headers({"range": "bytes=0-4", "if-range": '"b"'}), '"a"', 10)
    """
    found = _RANGE.fullmatch(headers.get("range", ""))
    if found is None or headers.get("if-range", etag) != etag:
        return None
    first, last, suffix = found.groups()
    if suffix is not None:
        asked = range(max(0, size - int(suffix)), size)
    else:
        asked = range(int(first), min(size, int(last) + 1) if last else size)
    return asked or None


def is_unchanged(headers: Headers, etag: str) -> bool:
    """Whether the client has this picture already (`If-None-Match`).

    Example:
        >>> is_unchanged(Headers({"if-none-match": 'W/"a", "b"'}), '"a"')
        True
    """
    known = headers.get("if-none-match", "")
    return known.strip() == "*" or matches(known, etag)


class StoredPictureResponse(Response):
    """An answer whose bytes lie in a file.

    Args:
        file: Open to be read; closed once it is sent.
        size: Bytes of the file.
        asked: Which of them are sent; None: all.
        media_type: Of the picture.
        headers: Further headers.
    """

    def __init__(
        self,
        file: BinaryIO,
        size: int,
        asked: range | None,
        *,
        media_type: str,
        headers: Mapping[str, str],
    ) -> None:
        super().__init__(
            status_code=200 if asked is None else 206, media_type=media_type, headers=headers
        )
        self._file = file
        self._span = asked or range(size)
        self.headers["Content-Length"] = str(len(self._span))
        if asked is not None:
            self.headers["Content-Range"] = f"bytes {asked.start}-{asked.stop - 1}/{size}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the picture."""
        start = {
            "type": "http.response.start",
            "status": self.status_code,
            "headers": self.raw_headers,
        }
        try:
            await send(start)
            await asyncio.to_thread(self._file.seek, self._span.start)
            rest = len(self._span)
            while rest > 0:
                read = memoryview(await asyncio.to_thread(self._file.read, min(READ_BYTES, rest)))
                if not read:
                    raise EOFError("the file of a picture is shorter than it was")
                rest -= len(read)
                for begin in range(0, len(read), PIECE_BYTES):
                    piece = bytes(read[begin : begin + PIECE_BYTES])
                    has_more = rest > 0 or begin + PIECE_BYTES < len(read)
                    await send({"type": "http.response.body", "body": piece, "more_body": has_more})
        finally:
            self._file.close()
