"""What clients send that mean no good, and those that only behave badly."""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import random
import socket
import struct
import zlib
from collections import Counter
from urllib.parse import urlsplit

import numpy as np
from PIL import Image

from bench.client import BOUNDARY, QUERY, make_form
from bench.line import Line, LostError, make_request, make_source

CHUNK_BYTES = 2**20
SLOW_READ_BYTES = 1024
SLOW_READ_S = 0.5
SMALL_BUFFER_BYTES = 4096
TEXT_CHUNKS = 4000
TEXT_BYTES = 7000
EXIF_SEGMENTS = 1000
SEGMENT_BYTES = 65_000
BOMB_SIDES = (8000, 6250)


def make_bomb() -> bytes:
    """A WebP of 50 megapixels of one colour in a few hundred bytes."""
    file = io.BytesIO()
    Image.new("RGB", BOMB_SIDES, (90, 90, 90)).save(file, "WEBP", lossless=True)
    return file.getvalue()


def make_poisoned_png() -> bytes:
    """A PNG of 64 pixels a side with 28 MB of compressed texts before them."""
    file = io.BytesIO()
    Image.new("RGB", (64, 64)).save(file, "PNG")
    plain = file.getvalue()
    head_end = 8 + 25  # The signature and the header chunk.
    text = b"key\0\0" + zlib.compress(random.Random(0).randbytes(TEXT_BYTES), 0)
    chunk = struct.pack(">I", len(text)) + b"zTXt" + text
    chunk += struct.pack(">I", zlib.crc32(b"zTXt" + text))
    return plain[:head_end] + TEXT_CHUNKS * chunk + plain[head_end:]


def make_poisoned_jpeg() -> bytes:
    """A JPEG of 64 pixels a side with 65 MB of EXIF segments."""
    file = io.BytesIO()
    Image.new("RGB", (64, 64)).save(file, "JPEG")
    plain = file.getvalue()
    body = b"Exif\0\0MM\0*\0\0\0\x08" + bytes(SEGMENT_BYTES)
    segment = b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body
    return plain[:2] + EXIF_SEGMENTS * segment + plain[2:]


async def ask_once(url: str, request: bytes, answers: Counter[str], *, caller: int) -> None:
    """Send a request that should be refused; a connection that is cut is an answer too."""
    line = Line(url, caller)
    try:
        reply = await line.ask(request, timeout_s=60.0)
        answers[str(reply.status)] += 1
    except LostError:
        answers["cut"] += 1
    finally:
        line.close()


def make_pair_request(file: bytes) -> bytes:
    """The same file as both exposures."""
    return make_request(make_form((file, file)))


async def upload_refused(url: str, megabytes: int, answers: Counter[str], *, caller: int) -> None:
    """Send a large file that is no picture, made as it goes, until there is an answer."""
    length = megabytes * 10**6
    part = (
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="under"; filename="a"\r\n\r\n'
    ).encode()
    end = (
        f'\r\n--{BOUNDARY}\r\nContent-Disposition: form-data; name="over"; filename="a"\r\n\r\nb'
        f"\r\n--{BOUNDARY}--\r\n"
    ).encode()
    head = (
        f"POST {QUERY} HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n"
        f"Content-Type: multipart/form-data; boundary={BOUNDARY}\r\n"
        f"Content-Length: {len(part) + length + len(end)}\r\n\r\n"
    ).encode()
    reader, writer = await open_stream(url, caller)
    reading = asyncio.create_task(reader.read())
    try:
        writer.write(head + part)
        filler = os.urandom(CHUNK_BYTES)
        sent = 0
        while sent < length and not reading.done():
            writer.write(filler[: length - sent])
            sent += CHUNK_BYTES
            await writer.drain()
        writer.write(end)
        answer = await asyncio.wait_for(reading, 60.0)
        answers[read_status(answer)] += 1
    except (OSError, TimeoutError):
        answers["cut"] += 1
    finally:
        reading.cancel()
        writer.close()


def read_status(answer: bytes) -> str:
    """The status of an answer, or `cut`.

    Example:
        >>> read_status(b"HTTP/1.1 408 Request Timeout"), read_status(b"HT")
        ('408', 'cut')
    """
    return answer[9:12].decode() if len(answer) > 12 else "cut"


async def leave_at_random(
    url: str, request: bytes, ends: Counter[str], *, caller: int, rng: np.random.Generator
) -> None:
    """Send some of a request, or all of it, wait or not, and close or reset the connection."""
    try:
        _reader, writer = await open_stream(url, caller)
    except OSError:
        ends["not connected"] += 1
        return
    try:
        is_whole = rng.random() < 0.5
        writer.write(request if is_whole else request[: int(rng.integers(1, len(request)))])
        await asyncio.sleep(float(rng.choice([0.0, 0.05, 0.3])))
        how = "reset" if rng.random() < 0.5 else "closed"
        ends[f"{how} {'behind' if is_whole else 'within'} a request"] += 1
        if how == "reset":
            writer.transport.abort()
    except OSError:
        ends["cut"] += 1
    finally:
        writer.close()


async def read_slowly(
    url: str, request: bytes, ends: Counter[str], *, caller: int, is_over: asyncio.Event
) -> None:
    """Take an answer by a kilobyte twice a second, or not at all after its beginning."""
    try:
        reader, writer = await open_stream(url, caller, receive_bytes=SMALL_BUFFER_BYTES)
        writer.write(request)
        first = await reader.read(SLOW_READ_BYTES)
        ends[f"answered {read_status(first)}"] += 1
        while await reader.read(SLOW_READ_BYTES):
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(is_over.wait(), SLOW_READ_S)
                break
        writer.transport.abort()
    except OSError:
        ends["cut"] += 1


async def send_slowly(url: str, ends: Counter[str], *, caller: int, is_over: asyncio.Event) -> None:
    """Send a head by one byte every half a second, until the service has enough of it."""
    try:
        reader, writer = await open_stream(url, caller)
        reading = asyncio.create_task(reader.read())
        for byte in f"POST {QUERY} HTTP/1.1\r\nHost: bench\r\nX-A: {1000 * 'a'}".encode():
            writer.write(bytes([byte]))
            await asyncio.wait((reading,), timeout=0.5)
            if reading.done() or is_over.is_set():
                break
        ends["cut: " + read_status(reading.result()) if reading.done() else "still open"] += 1
        reading.cancel()
        writer.close()
    except OSError:
        ends["cut: reset"] += 1


async def open_stream(
    url: str, caller: int, *, receive_bytes: int | None = None
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection from the address of a caller, with small buffers where it is to be slow."""
    parts = urlsplit(url)
    client = socket.socket()
    try:
        if receive_bytes is not None:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        client.setblocking(False)
        client.bind((make_source(caller), 0))
        await asyncio.get_running_loop().sock_connect(client, (parts.hostname, parts.port))
    except OSError:
        client.close()
        raise
    limit = SLOW_READ_BYTES if receive_bytes is not None else 2**16
    return await asyncio.open_connection(sock=client, limit=limit)
