"""A client that costs little: it sends a form that was put together before, and keeps the line."""

from __future__ import annotations

import http.client
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

TIMEOUT_S = 600.0
BOUNDARY = "expofuse-bench-8d1c0b5f"
PAIR_FIELDS = ("under", "over")
STACK_FIELD = "exposures"
QUERY = "/fuse?format=jpeg&quality=90"


@dataclass(frozen=True, slots=True)
class Answer:
    """What the service answered.

    Attributes:
        picture: The file.
        stages_s: Seconds that the service says each stage took, of `Server-Timing`.
        alignment: What it says alignment did.
        ghosts: What it says it replaced.
    """

    picture: bytes
    stages_s: dict[str, float]
    alignment: str
    ghosts: str


@dataclass(frozen=True, slots=True)
class Client:
    """One kept connection to a service."""

    connection: http.client.HTTPConnection

    def fuse(self, form: bytes, target: str = QUERY) -> Answer:
        """Send a form and take the picture.

        Args:
            form: See `make_form`.
            target: Path and query.

        Raises:
            RuntimeError: The service did not answer with a picture.
        """
        headers = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
        self.connection.request("POST", target, form, headers)
        response = self.connection.getresponse()
        content = response.read()
        if response.status != http.client.OK:
            raise RuntimeError(f"expected a picture, got {response.status}: {content[:500]!r}")
        timing = re.findall(r"(\w+);dur=([\d.]+)", response.headers["Server-Timing"])
        return Answer(
            content,
            {stage: float(value) / 1000 for stage, value in timing},
            response.headers.get("X-Expofuse-Alignment", ""),
            response.headers.get("X-Expofuse-Ghosts", ""),
        )


@contextmanager
def connect(url: str) -> Iterator[Client]:
    """Open a connection to a service."""
    parts = urlsplit(url)
    assert parts.hostname is not None
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=TIMEOUT_S)
    try:
        yield Client(connection)
    finally:
        connection.close()


def make_form(files: Sequence[bytes]) -> bytes:
    """The body of a request.

    Args:
        files: Exposures, two to nine.
    """
    names = PAIR_FIELDS if len(files) == len(PAIR_FIELDS) else (STACK_FIELD,) * len(files)
    lines: list[bytes] = []
    for name, content in zip(names, files, strict=True):
        disposition = f'Content-Disposition: form-data; name="{name}"; filename="{name}"'
        lines += [f"--{BOUNDARY}".encode(), disposition.encode(), b"", content]
    lines += [f"--{BOUNDARY}--".encode(), b""]
    return b"\r\n".join(lines)
