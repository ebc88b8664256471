"""Says what a connection must be answered with, by our parser alone, and compares."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import h11

from service.http.protocol import EMPTY_LINE, RequestParser
from service.settings import LimitSettings
from tests.fuzz.answers import Answer, AnswerError
from tests.fuzz.framing import SMUGGLED_ID, Exchange

MAX_HEAD_BYTES: int = LimitSettings().max_head_bytes
SANE_ID_BYTES = 64


@dataclass(slots=True)
class Reading:
    """What the parser makes of a stream.

    Attributes:
        ids: Of requests whose head it takes, in order.
        methods: Of the same.
        whole: How many of them come with all of their body.
    """

    ids: list[str] = field(default_factory=list)
    methods: list[str] = field(default_factory=list)
    whole: int = 0


def read_requests(data: bytes) -> Reading:
    """Take a stream apart as the service does, were every request answered at once."""
    reading = Reading()
    rest = data
    while rest := rest.lstrip(EMPTY_LINE):
        parser = RequestParser(MAX_HEAD_BYTES)
        parser.receive_data(rest)
        rest = _read_with(parser, reading)
    return reading


def _read_with(parser: RequestParser, reading: Reading) -> bytes:
    """Read on until nothing more comes of it, or until empty lines need another parser."""
    while True:
        parser.begin_turn()
        try:
            event = parser.next_event()
        except h11.RemoteProtocolError:
            return b""
        if event in (h11.NEED_DATA, h11.PAUSED) or isinstance(event, h11.ConnectionClosed):
            return b""
        if isinstance(event, h11.Request):
            headers = dict(event.headers)
            reading.ids.append(headers.get(b"x-request-id", b"").decode("latin-1"))
            reading.methods.append(event.method.decode())
        elif isinstance(event, h11.EndOfMessage):
            reading.whole += 1
            length = [("Content-Length", "0")]
            parser.send(h11.Response(status_code=404, headers=length))
            parser.send(h11.EndOfMessage())
            if parser.our_state is not h11.DONE or parser.their_state is not h11.DONE:
                return b""
            rest, _ = parser.trailing_data
            if rest[:1] in (b"\r", b"\n"):
                return bytes(rest)
            parser.start_next_cycle()


def check_answers(exchange: Exchange, reading: Reading, answers: Sequence[Answer]) -> None:
    """Compare answers to what was sent.

    Raises:
        AnswerError: One is missing, one is too many, or they do not belong to the requests.
    """
    found = [answer.id for answer in answers]
    ended = bool(answers) and answers[-1].is_last
    if exchange.ids is not None:
        # Where a body was not looked at, its answer may be the last one.
        wanted = list(exchange.ids[: len(found)] if ended else exchange.ids)
        if found != wanted:
            raise AnswerError(f"expected the answers to {exchange.ids}, got {found}")
    if SMUGGLED_ID in found and SMUGGLED_ID not in reading.ids:
        raise AnswerError("expected a body to stay a body, it was answered as a request")
    if exchange.last is not None:
        _check_last(exchange.last, found)
    for index, answer in enumerate(answers[:-1]):
        if answer.is_last:
            raise AnswerError(f"expected the end behind answer {index}, got another answer")
    surplus = len(answers) - len(reading.ids)
    if surplus > 1 or (surplus == 1 and not answers[-1].is_refusal):
        raise AnswerError(f"expected {len(reading.ids)} answers, got {found}")
    if len(answers) < reading.whole and not ended:
        raise AnswerError(f"expected at least {reading.whole} answers, got {found}")
    for wanted, answer in zip(reading.ids, answers, strict=False):
        is_sane = wanted.replace("-", "").replace("_", "").replace(".", "").isalnum()
        is_echoed = is_sane and wanted.isascii() and len(wanted) <= SANE_ID_BYTES
        if is_echoed and answer.id != wanted and not (answer.is_refusal and answer.is_last):
            raise AnswerError(f"expected the answer to {wanted}, got that to {answer.id}")


def _check_last(last: str, found: Sequence[str]) -> None:
    """No request behind the last one is answered; ids are `r0`, `r1`, ... ."""
    behind = [one for one in found if one[:1] == "r" and one[1:].isdigit() and one > last]
    if behind:
        raise AnswerError(f"expected nothing behind {last}, got answers to {behind}")
