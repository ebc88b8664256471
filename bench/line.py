"""A connection that asks from an event loop and counts what a client of its own would not see.

It costs little: a request's bytes are put together before, and an answer is not looked into.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from bench.client import BOUNDARY, QUERY

LOCAL_ADDRESSES = "127.0.{}.{}"
"""Addresses of this machine: each is another caller for the service."""

IDLE_S = 1.0
"""A connection that was idle longer is not used again: the service may just be closing it."""

ID_PREFIX = "bench-"
ID_PLACE = f"{ID_PREFIX}0000000000"
_ids = itertools.count()


class LostError(Exception):
    """The connection ended, or the time was over, before there was a whole answer."""


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer.

    Attributes:
        status: Of the answer.
        headers: Names in small letters.
        content: The body.
        is_ours: It does not carry the id of another request.
    """

    status: int
    headers: Mapping[str, str]
    content: bytes
    is_ours: bool

    @property
    def retry_after_s(self) -> float | None:
        """Seconds that it asks to wait; None where it does not."""
        value = self.headers.get("retry-after", "")
        return float(value) if value.isdigit() else None


def make_source(caller: int) -> str:
    """The address of a caller, by its number from 0.

    Example:
        >>> make_source(0), make_source(300)
        ('127.0.1.1', '127.0.2.51')
    """
    return LOCAL_ADDRESSES.format(1 + caller // 250, 1 + caller % 250)


def make_request(form: bytes, *, target: str = QUERY) -> bytes:
    """A whole request, with a place for the id that it gets when it is sent.

    Args:
        form: See `bench.client.make_form`.
        target: Path and query.
    """
    head = (
        f"POST {target} HTTP/1.1\r\nHost: bench\r\nX-Request-Id: {ID_PLACE}\r\n"
        f"Content-Type: multipart/form-data; boundary={BOUNDARY}\r\n"
        f"Content-Length: {len(form)}\r\n\r\n"
    )
    return head.encode() + form


class Line:
    """One connection, opened when it is needed.

    Args:
        url: Of the service.
        caller: Number of the address that it comes from.

    Attributes:
        surplus_bytes: Of what came without having been asked for.
    """

    def __init__(self, url: str, caller: int = 0) -> None:
        parts = urlsplit(url)
        self._address = (parts.hostname or "", parts.port or 80)
        self._source = (make_source(caller), 0)
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._used_s = 0.0
        self.surplus_bytes = 0

    async def ask(self, request: bytes, *, timeout_s: float) -> Reply:
        """Send a request and take its answer.

        Args:
            request: From `make_request`; anything without a place for the id is sent as it is.
            timeout_s: From now to the end of the answer.

        Raises:
            LostError: There is no whole answer.
        """
        name = f"{ID_PREFIX}{next(_ids):010d}"
        head, separator, body = request.partition(b"\r\n\r\n")
        head = head.replace(ID_PLACE.encode(), name.encode()) + separator
        try:
            async with asyncio.timeout(timeout_s):
                reader, writer = await self._open()
                writer.write(head)
                if body:
                    writer.write(body)
                    await _drain(writer)
                status, headers, content = await _read(reader)
        except (TimeoutError, OSError, EOFError, ValueError) as cause:
            self._abandon()
            raise LostError(f"expected an answer, got {type(cause).__name__}") from cause
        except asyncio.CancelledError:
            self._abandon()
            raise
        self._used_s = asyncio.get_running_loop().time()
        if headers.get("connection", "").lower() == "close":
            self.close()
        answered = headers.get("x-request-id", "")
        is_ours = answered == name or not answered.startswith(ID_PREFIX)
        return Reply(status, headers, content, is_ours)

    def close(self) -> None:
        """End the connection, and count what came unasked."""
        if self._streams is not None:
            self._count_surplus(self._streams[0])
            self._streams[1].close()
            self._streams = None

    def _abandon(self) -> None:
        """End a connection in the middle of an answer: what came of it is not surplus."""
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None

    async def _open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._streams is not None:
            reader, _ = self._streams
            self._count_surplus(reader)
            is_old = asyncio.get_running_loop().time() - self._used_s > IDLE_S
            if is_old or reader.at_eof() or reader.exception() is not None:
                self.close()
        if self._streams is None:
            self._streams = await asyncio.open_connection(
                *self._address, local_addr=self._source, limit=2**20
            )
        return self._streams

    def _count_surplus(self, reader: asyncio.StreamReader) -> None:
        # A reader keeps what came and was not asked for in its buffer; there is no other way to it.
        self.surplus_bytes += len(reader._buffer)  # type: ignore[attr-defined]
        reader._buffer.clear()  # type: ignore[attr-defined]


async def _drain(writer: asyncio.StreamWriter) -> None:
    # Refused before the body was read; the answer may be there.
    with contextlib.suppress(ConnectionError):
        await writer.drain()


async def _read(reader: asyncio.StreamReader) -> tuple[int, dict[str, str], bytes]:
    """The next answer but those of 1xx."""
    while True:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        line, *lines = head.rstrip("\r\n").split("\r\n")
        status = int(line.split(" ", 2)[1])
        if status >= 200:
            break
    named = (one.partition(":") for one in lines)
    headers = {name.lower(): value.strip() for name, _, value in named}
    content = await reader.readexactly(int(headers.get("content-length", "0")))
    return status, headers, content


class Lines:
    """Connections of one caller that are free, and new ones where none is.

    Args:
        url: Of the service.
        callers: Numbers of the addresses that are used in turn.
    """

    def __init__(self, url: str, callers: range = range(1)) -> None:
        self._url = url
        self._callers = itertools.cycle(callers)
        self._free: list[Line] = []

    async def ask(self, request: bytes, *, timeout_s: float) -> Reply:
        """Send a request on a free connection; see `Line.ask`."""
        line = self._free.pop() if self._free else Line(self._url, next(self._callers))
        try:
            return await line.ask(request, timeout_s=timeout_s)
        finally:
            self._free.append(line)

    def close(self) -> int:
        """End all connections.

        Returns:
            Bytes that came without having been asked for.
        """
        for line in self._free:
            line.close()
        return sum(line.surplus_bytes for line in self._free)
