"""Reads answers from a connection, strictly: what is not well-formed HTTP is an error."""

import json
import re
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass

from service.problem_types import CLIENT_LEFT_STATUS, PROBLEM_TYPES

STATUS_LINE = re.compile(rb"HTTP/1\.1 (\d{3}) [ -~]*")
HEADER = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\t -~\x80-\xff]*?)[ \t]*")
SOUND_STATUSES = frozenset((200, 202, 204, 304, 307))
FAULTS = frozenset((500, 504))
"""Statuses that say the service failed, and not the client."""

REFUSALS = frozenset(row.status for row in PROBLEM_TYPES.values()) - FAULTS - {CLIENT_LEFT_STATUS}
WITHOUT_BODY = (204, 304)


class AnswerError(AssertionError):
    """What came is no answer that the service may give."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def id(self) -> str:
        return self.headers.get("x-request-id", "")

    @property
    def is_last(self) -> bool:
        """It says that the connection ends behind it."""
        return "close" in self.headers.get("connection", "").lower()

    @property
    def is_refusal(self) -> bool:
        return self.status in REFUSALS


class AnswerReader:
    """Takes answers from what a socket gives.

    Args:
        client: Connected, blocking.
        timeout_s: Within which whatever is waited for must come.
    """

    def __init__(self, client: socket.socket, timeout_s: float) -> None:
        self._client = client
        self._timeout_s = timeout_s
        self._received = bytearray()
        self.has_ended = False

    def read_all(self, methods: Sequence[str], *, stop_at: int | None = None) -> list[Answer]:
        """Answers to requests of these methods, until the end or until there are so many."""
        answers: list[Answer] = []
        while stop_at is None or len(answers) < stop_at:
            method = methods[len(answers)] if len(answers) < len(methods) else ""
            answer = self.read(is_head=method == "HEAD")
            if answer is None:
                break
            answers.append(answer)
        return answers

    def read(self, *, is_head: bool = False) -> Answer | None:
        """The next answer but those of 1xx; None: the connection ended cleanly."""
        deadline_s = time.monotonic() + self._timeout_s
        while True:
            head = self._take_head(deadline_s)
            if head is None:
                return None
            status, headers = parse_head(head)
            if status >= 200:
                break
            if status != 100:
                raise AnswerError(f"expected 100 or an answer, got {status}")
        body = b"" if is_head or status in WITHOUT_BODY else self._take_body(headers, deadline_s)
        answer = Answer(status, headers, body)
        check_answer(answer, is_head=is_head)
        return answer

    def _take_head(self, deadline_s: float) -> bytes | None:
        while (end := self._received.find(b"\r\n\r\n")) < 0:
            if not self._receive(deadline_s):
                # Clients that ended their stream are probed with the beginning of a status line.
                if b"HTTP/1.1 ".startswith(self._received):
                    return None
                raise AnswerError(f"expected a whole head, got {bytes(self._received[:200])!r}")
        return self._take(end + 4)[:end]

    def _take_body(self, headers: dict[str, str], deadline_s: float) -> bytes:
        if "content-length" in headers:
            return self._take_exactly(int(headers["content-length"]), deadline_s)
        if headers.get("transfer-encoding") != "chunked":
            if headers.get("connection") != "close":
                raise AnswerError("expected a length, chunks or the end behind a body, got none")
            while self._receive(deadline_s):
                pass
            return self._take(len(self._received))
        body = b""
        while size := int(self._take_line(deadline_s), 16):
            body += self._take_exactly(size, deadline_s)
            if self._take_exactly(2, deadline_s) != b"\r\n":
                raise AnswerError("expected CR LF behind a chunk")
        if self._take_line(deadline_s):
            raise AnswerError("expected no trailers")
        return body

    def _take_line(self, deadline_s: float) -> bytes:
        while (end := self._received.find(b"\r\n")) < 0:
            if not self._receive(deadline_s):
                raise AnswerError("expected a whole line, the connection ended")
        return self._take(end + 2)[:end]

    def _take_exactly(self, count: int, deadline_s: float) -> bytes:
        while len(self._received) < count:
            if not self._receive(deadline_s):
                raise AnswerError(f"expected a body of {count} bytes, got {len(self._received)}")
        return self._take(count)

    def _take(self, count: int) -> bytes:
        taken = bytes(self._received[:count])
        del self._received[:count]
        return taken

    def _receive(self, deadline_s: float) -> bool:
        if self.has_ended:
            return False
        left_s = deadline_s - time.monotonic()
        if left_s <= 0:
            raise AnswerError(f"expected an answer or the end within {self._timeout_s:g} s")
        self._client.settimeout(left_s)
        try:
            chunk = self._client.recv(65_536)
        except TimeoutError:
            return self._receive(deadline_s)
        except ConnectionError:
            chunk = b""
        self.has_ended = not chunk
        self._received += chunk
        return bool(chunk)


def parse_head(head: bytes) -> tuple[int, dict[str, str]]:
    """Status and headers, names in small letters."""
    line, *lines = head.split(b"\r\n")
    status = STATUS_LINE.fullmatch(line)
    if status is None:
        raise AnswerError(f"expected a status line, got {line[:100]!r}")
    headers: dict[str, str] = {}
    for one in lines:
        header = HEADER.fullmatch(one)
        if header is None:
            raise AnswerError(f"expected a header, got {one[:100]!r}")
        headers[header[1].decode().lower()] = header[2].decode("latin-1")
    return int(status[1]), headers


def check_answer(answer: Answer, *, is_head: bool) -> None:
    """An answer is one of those that we know, and says what is wrong as a problem document."""
    if answer.status not in SOUND_STATUSES | REFUSALS:
        raise AnswerError(f"expected a status that is foreseen, got {answer.status}")
    if answer.status < 400 or is_head:
        return
    kind = answer.headers.get("content-type", "")
    if kind != "application/problem+json":
        raise AnswerError(f"expected a problem document with {answer.status}, got {kind!r}")
    problem = json.loads(answer.body)
    if problem["status"] != answer.status or problem["request_id"] != answer.id:
        raise AnswerError(f"expected the problem of this answer, got {problem}")
