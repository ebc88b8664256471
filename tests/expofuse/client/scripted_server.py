"""A server on a real socket that does to each connection what a script says."""

import socket
import struct
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

RESET = b""
"""Instead of an answer: the connection is reset once the request was read."""


def answer(status: str, body: bytes = b"", *headers: str, length: int | None = None) -> bytes:
    lines = [
        f"HTTP/1.1 {status}",
        f"Content-Length: {len(body) if length is None else length}",
        "Connection: close",
        *headers,
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def busy(retry_after: str | None, status: str = "503 Service Unavailable") -> bytes:
    headers = [] if retry_after is None else [f"Retry-After: {retry_after}"]
    return answer(status, b"", *headers)


HEALTHY = answer("200 OK", b'{"status":"ok"}')


@dataclass(slots=True)
class ScriptedServer:
    """What a test may know: where it listens, and what came when."""

    url: str = ""
    heads: list[bytes] = field(default_factory=list)
    bodies: list[int] = field(default_factory=list)
    begins: list[float] = field(default_factory=list)
    ends: list[float] = field(default_factory=list)


@contextmanager
def scripted_server(*script: bytes | Sequence[bytes]) -> Iterator[ScriptedServer]:
    """Answer one connection after the other, each with the next of the script.

    Args:
        script: Of each connection, the bytes of its answer, or several pieces of it.
    """
    with socket.create_server(("127.0.0.1", 0)) as listener:
        seen = ScriptedServer(f"http://127.0.0.1:{listener.getsockname()[1]}")
        thread = threading.Thread(target=_serve, args=(listener, script, seen), daemon=True)
        thread.start()
        try:
            yield seen
        finally:
            with suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            thread.join()


def _serve(listener: socket.socket, script, seen: ScriptedServer) -> None:
    for step in script:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        with connection, suppress(ConnectionError):
            seen.begins.append(time.monotonic())
            _read_request(connection, seen)
            if step == RESET:
                # Without lingering the kernel sends a reset instead of an end.
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                continue
            for piece in [step] if isinstance(step, bytes) else step:
                connection.sendall(piece)
            seen.ends.append(time.monotonic())


def _read_request(connection: socket.socket, seen: ScriptedServer) -> None:
    received = b""
    while b"\r\n\r\n" not in received:
        piece = connection.recv(65_536)
        if not piece:
            return
        received += piece
    head, _, body = received.partition(b"\r\n\r\n")
    seen.heads.append(head)
    left = _declared(head)
    count = len(body)
    is_chunked = b"transfer-encoding: chunked" in head.lower()
    tail = body
    while (count < left) if not is_chunked else not tail.endswith(b"0\r\n\r\n"):
        piece = connection.recv(65_536)
        if not piece:
            break
        count += len(piece)
        tail = (tail + piece)[-5:]
    seen.bodies.append(count)


def _declared(head: bytes) -> int:
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    return 0
