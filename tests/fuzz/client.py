"""Does on a real connection what a case says, and sees that the service is none the worse."""

import re
import socket
import struct
import time
from pathlib import Path

import httpx

from tests.fuzz.answers import Answer, AnswerError, AnswerReader
from tests.fuzz.framing import Exchange
from tests.fuzz.judgement import Reading, check_answers, read_requests
from tests.server import RunningServer

TIMEOUT_S = 60.0
"""A hang is what takes longer, on the busiest machine."""

BETWEEN_WRITES_S = 0.001
RESTARTS = re.compile(r"^expofuse_(?:codec|worker)_restarts_total (\S+)$", re.MULTILINE)


class ServerUnderTest:
    """A real server that cases are sent to.

    Args:
        server: Ready.
    """

    def __init__(self, server: RunningServer) -> None:
        host, _, port = server.base_url.removeprefix("http://").partition(":")
        self._address = (host, int(port))
        self._pid = server.process.pid
        self._client = httpx.Client(base_url=server.base_url, trust_env=False, timeout=TIMEOUT_S)
        self._restarts = self._read_restarts()
        self._children = self._count_children()

    def close(self) -> None:
        """Let go of the connection that looks after it."""
        self._client.close()

    def run(self, exchange: Exchange) -> list[Answer]:
        """Do what a case says and judge the answers.

        Raises:
            AnswerError: An invariant does not hold.
        """
        reading = read_requests(exchange.data)
        with self._connect() as client:
            send(client, exchange)
            if exchange.ending == "reset":
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            if exchange.ending in ("close", "reset"):
                return []
            answers = receive(client, exchange, reading)
        check_answers(exchange, reading, answers)
        return answers

    def check_health(self) -> None:
        """The service answers, and no process of it was lost.

        Raises:
            AnswerError: It does not, or one was.
        """
        if self._client.get("/healthz").status_code != httpx.codes.OK:
            raise AnswerError("expected /healthz to answer 200")
        found = (self._count_children(), self._read_restarts())
        if found != (self._children, self._restarts):
            wanted = (self._children, self._restarts)
            raise AnswerError(f"expected children and restarts to stay {wanted}, got {found}")

    def _connect(self) -> socket.socket:
        client = socket.create_connection(self._address, TIMEOUT_S)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return client

    def _count_children(self) -> int:
        path = Path(f"/proc/{self._pid}/task/{self._pid}/children")
        return len(path.read_text(encoding="ascii").split())

    def _read_restarts(self) -> list[str]:
        return RESTARTS.findall(self._client.get("/metrics").text)


def send(client: socket.socket, exchange: Exchange) -> None:
    """Write all pieces, as far as the service takes them."""
    client.settimeout(TIMEOUT_S)
    try:
        for number, piece in enumerate(exchange.writes):
            if number:
                time.sleep(BETWEEN_WRITES_S)
            client.sendall(piece)
        if exchange.ending == "half-close":
            client.shutdown(socket.SHUT_WR)
    except ConnectionError:
        pass  # It has refused and closed; the answer may still be there.


def receive(client: socket.socket, exchange: Exchange, reading: Reading) -> list[Answer]:
    """All answers up to the end; who waits ends the stream when the last one has come."""
    reader = AnswerReader(client, TIMEOUT_S)
    answers: list[Answer] = []
    if exchange.ending == "wait":
        answers = reader.read_all(reading.methods, stop_at=reading.whole)
        try:
            client.shutdown(socket.SHUT_WR)
        except OSError:
            return answers
    return [*answers, *reader.read_all(reading.methods[len(answers) :])]
