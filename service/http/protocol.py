"""Reads requests with h11: offers to upgrade ignored, heads bounded, half-closed clients answered.

h11 is right about HTTP where a faster parser is not; what it leaves to its user is done here.
"""

import asyncio
import re
from functools import partial
from typing import Final

import h11
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT, FlowControl
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

from service.errors import (
    ExpectationError,
    HeadTooLargeError,
    HttpVersionError,
    RequestHeadError,
    ServiceError,
    TargetTooLongError,
    TransferCodingError,
    WorkerStoppedError,
)
from service.http.patience import Phase
from service.problems import write_refusal
from service.request_record import RequestRecord

HTTP_VERSIONS = (b"1.0", b"1.1")
LINGER_S = 5.0
"""How long the rest of a refused request is read and thrown away, so that the answer arrives."""

MAX_EVENTS = 256
"""Parts of requests that are read in one turn of the event loop: a few milliseconds, even where
each byte of a body comes in a chunk of its own."""

_HOST = re.compile(rb"[A-Za-z0-9._~!$&'()*+,;=%:\[\]-]*")
"""What a `Host` is made of (RFC 9110, section 7.2; RFC 3986, section 3.2)."""

EXPECTATION = b"100-continue"

MAPPED = "::ffff:"
"""What an address of version 4 begins with on a socket of version 6 (RFC 4291, 2.5.5.2)."""

_PLAIN_REASON = re.compile("[A-Za-z :-]{1,80}")

STATUS_LINE_START: Final = b"HTTP/1.1 "
"""What every answer starts with, whatever it will be."""

EMPTY_LINE: Final = b"\r\n"
"""Some clients send one more behind a body; it is ignored (RFC 9112, section 2.2)."""

FIRST_PROBE_S = 0.02
"""How long after its end of stream a client is first probed; each further wait is twice as long."""


class RequestParser(h11.Connection):
    """Takes requests apart, a bounded number of parts at a time.

    Args:
        max_head_bytes: Most bytes of a request's line and headers together.

    Attributes:
        refusal: What was wrong with the request that ended the connection; None: nothing yet.
        is_behind: Parts wait that were not looked at in this turn.
    """

    def __init__(self, max_head_bytes: int) -> None:
        super().__init__(h11.SERVER, max_incomplete_event_size=max_head_bytes)
        self._max_head_bytes = max_head_bytes
        self._events_left = MAX_EVENTS
        self.refusal: ServiceError | None = None
        self.is_behind = False

    def begin_turn(self) -> None:
        """Allow the next parts to be read."""
        self._events_left = MAX_EVENTS
        self.is_behind = False

    def next_event(self) -> h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]:
        """See `h11.Connection`; the end of this turn looks like the end of what was received.

        Raises:
            h11.RemoteProtocolError: The request is refused; `refusal` says why.
        """
        if not self._events_left:
            self.is_behind = True
            return h11.NEED_DATA
        self._events_left -= 1
        is_head = self.their_state is h11.IDLE
        try:
            event = super().next_event()
        except h11.RemoteProtocolError as cause:
            self.refusal = self._explain(cause, is_head=is_head)
            raise
        if isinstance(event, h11.Request):
            self.refusal = self._judge(event)
            if self.refusal is not None:
                raise h11.RemoteProtocolError(self.refusal.message)
        return event

    def _explain(self, cause: h11.RemoteProtocolError, *, is_head: bool) -> ServiceError:
        if cause.error_status_hint == 431 and is_head:
            received, _ = self.trailing_data
            return self._refuse_length(is_line_whole=b"\n" in received[: self._max_head_bytes])
        if cause.error_status_hint == 501:
            return TransferCodingError("expected Transfer-Encoding chunked or none, got another")
        part = "head" if is_head else "body"
        # Where the reason quotes the request, it does so in quotation marks.
        reason = f": {cause}" if _PLAIN_REASON.fullmatch(str(cause)) else ""
        return RequestHeadError(f"expected HTTP/1.1, got a request with a damaged {part}{reason}")

    def _judge(self, request: h11.Request) -> ServiceError | None:
        """What is wrong with a request whose syntax is right."""
        names = {name for name, _ in request.headers}
        line_bytes = len(request.method) + len(request.target)
        # With the colon, the space and the end of each line.
        head_bytes = sum(len(name) + len(value) + 4 for name, value in request.headers)
        if line_bytes + head_bytes > self._max_head_bytes:
            return self._refuse_length(is_line_whole=line_bytes <= self._max_head_bytes)
        if request.http_version not in HTTP_VERSIONS:
            return HttpVersionError("expected HTTP/1.1 or HTTP/1.0, got another version")
        if {b"content-length", b"transfer-encoding"} <= names:
            # Whoever stands between us and the client may have read the other of the two.
            return RequestHeadError("expected Content-Length or Transfer-Encoding, got both")
        return _judge_values(request)

    def _refuse_length(self, *, is_line_whole: bool) -> ServiceError:
        if is_line_whole:
            return HeadTooLargeError(
                f"expected a request line and headers of at most {self._max_head_bytes} bytes, "
                "got more"
            )
        return TargetTooLongError(
            f"expected a request line of at most {self._max_head_bytes} bytes, got more"
        )


def _judge_values(request: h11.Request) -> ServiceError | None:
    """What is wrong with the value of a header that decides about the whole request."""
    for name, value in request.headers:
        if name == b"host" and not _HOST.fullmatch(value):
            return RequestHeadError("expected a Host that names a host, got another")
        is_expecting = name == b"expect" and request.http_version == b"1.1"
        if is_expecting and value.lower() != EXPECTATION:
            return ExpectationError("expected Expect: 100-continue or none, got another")
    return None


class RequestProtocol(H11Protocol):
    """uvicorn's connection, with a bounded parser, an end that is read, and half-closed clients.

    A client may end its stream and wait for the answer, or may have left; at first both look the
    same. So the beginning of the answer, which is known before the answer is, is sent byte by
    byte: the system of a client that has left answers with a reset.
    """

    max_head_bytes: int
    retry_after_s: int
    conn: RequestParser
    flow: "TurnFlow"
    transport: "AnsweringTransport"
    received_bytes = 0
    _has_ended = False
    _has_surplus = False
    _is_refused = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """See `asyncio.Protocol`."""
        super().connection_made(transport)
        if self.client is not None and self.client[0].startswith(MAPPED):
            self.client = (self.client[0].removeprefix(MAPPED), self.client[1])
        self.conn = RequestParser(self.max_head_bytes)
        self.flow = TurnFlow(transport)
        self.transport = AnsweringTransport(self, transport)

    @property
    def is_idle(self) -> bool:
        """No request is under way; its headers may be."""
        return self.cycle is None or self.cycle.response_complete

    @property
    def phase(self) -> Phase:
        """What comes from the client; nothing is expected of one that waits for an answer."""
        if self._is_refused or self._has_ended or self.flow.is_behind:
            return "busy"
        if self.transport.is_closing():
            return "busy"
        if self.conn.their_state is h11.SEND_BODY:
            is_waited_for = not self.flow.read_paused and not self.cycle.response_started
            return "body" if is_waited_for else "busy"
        if self.conn.their_state is not h11.IDLE or not self.is_idle:
            return "busy"
        return "head" if self.conn.trailing_data[0] else "waiting"

    @property
    def last_request(self) -> object | None:
        """Tells one request of this connection from another; None: none has begun."""
        return self.cycle

    @property
    def sent_bytes(self) -> int:
        """Bytes of answers that the system has taken."""
        return self.transport.sent_bytes

    @property
    def unsent_bytes(self) -> int:
        """Bytes of answers that wait for the client to read."""
        return self.transport.get_write_buffer_size()

    @property
    def has_unread(self) -> bool:
        """The client may still be sending something that nobody will read."""
        if self._has_ended:
            return False
        is_at_rest = self.conn.their_state in (h11.IDLE, h11.DONE, h11.MUST_CLOSE, h11.CLOSED)
        is_surplus = self._has_surplus or bool(self.conn.trailing_data[0])
        return self._is_refused or is_surplus or not is_at_rest

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`; what belongs to no request that is taken is thrown away."""
        self.received_bytes += len(data)
        if self._is_refused or self.transport.is_closing():
            return
        if self.conn.their_state is h11.MUST_CLOSE:
            self._has_surplus = True  # Behind the last request of this connection.
            return
        is_between = self.conn.their_state in (h11.IDLE, h11.DONE)
        if is_between and data[0] in EMPTY_LINE and not self.conn.trailing_data[0]:
            data = data.lstrip(EMPTY_LINE)
        if data:
            super().data_received(data)

    def handle_events(self) -> None:
        """Read a bounded number of parts; the next ones in the next turn of the event loop."""
        self.conn.begin_turn()
        super().handle_events()
        if self.conn.is_behind and not self._is_refused:
            self.flow.pause_reading()
            self.flow.is_behind = True
            self.loop.call_soon(self._catch_up)

    def eof_received(self) -> bool:  # type: ignore[override]
        """Keep a connection whose client only ended its stream: it waits for an answer.

        Returns:
            Whether the connection stays open for writing.
        """
        self._has_ended = self.flow.has_ended = True
        if self.transport.is_closing() or not self.transport.can_write_eof():
            return False
        is_whole = self.conn.their_state not in (h11.IDLE, h11.SEND_BODY)
        if not is_whole and not self._is_refused and not self.flow.is_behind:
            if self.is_idle and not self.conn.trailing_data[0]:
                return False
            self.refuse(RequestHeadError("expected a whole request, the stream ended before"))
            return False
        self._probe()
        return True

    def send_400_response(self, msg: str) -> None:
        """Answer a request that the parser refused, and close."""
        self.refuse(self.conn.refusal or RequestHeadError(msg))

    def on_response_complete(self) -> None:
        """Read the next request, or close where the client has ended its stream."""
        parsers = (self.conn.our_state, self.conn.their_state)
        rest, _ = self.conn.trailing_data
        if parsers == (h11.DONE, h11.DONE) and rest[:1] in (b"\r", b"\n"):
            # The parser takes no empty lines between requests, so the next ones get another.
            self.conn = RequestParser(self.max_head_bytes)
            super().on_response_complete()
            self.data_received(rest)
        else:
            super().on_response_complete()
        if self._has_ended and self.is_idle and not self.conn.is_behind:
            self.transport.close()
        elif self._has_ended:
            self._probe()

    def shutdown(self) -> None:
        """The server ends: what is on its way will not be worked at any more."""
        if self.phase in ("head", "body"):
            self.refuse(WorkerStoppedError("the service is stopping"))
        else:
            super().shutdown()

    def timeout_keep_alive_handler(self) -> None:
        """Leave it to `Patience`, which knows more: see `RequestProtocol.phase`."""

    def _should_upgrade(self) -> bool:
        return False  # An offer to upgrade is ignored (RFC 9110, section 7.8).

    def _catch_up(self) -> None:
        self.flow.is_behind = False
        if self.transport.is_closing() or self._is_refused:
            return
        self.handle_events()
        is_paused = self.conn.their_state is h11.DONE and bool(self.conn.trailing_data[0])
        if self.conn.is_behind or is_paused:
            return
        if self.cycle is None or len(self.cycle.body) <= HIGH_WATER_LIMIT:
            self.flow.resume_reading()
        if self._has_ended and self.conn.their_state in (h11.IDLE, h11.SEND_BODY):
            self.eof_received()
            self.transport.close()

    def refuse(self, error: ServiceError) -> None:
        """Answer the request that is coming, or being worked at, from here; and close.

        Args:
            error: What is wrong with it.
        """
        self._is_refused = True
        record = None
        if not self.is_idle:
            record = RequestRecord.find(self.scope["state"])
            if self.cycle.response_started:
                self.cycle.keep_alive = False  # The answer that is under way is the last one.
                return
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        refusal = write_refusal(error, retry_after_s=self.retry_after_s, record=record)
        if record is not None and self._has_ended:
            record.cut = None  # Half a request and the end: the client has left, most likely.
        self.transport.write(refusal)
        self.transport.close()

    def _probe(self, begin: int = 0, wait_s: float = FIRST_PROBE_S) -> None:
        """Send the bytes of the status line from one on, each after a longer wait."""
        if self.cycle is not None and begin < len(STATUS_LINE_START):
            send = partial(self._send_early, self.cycle, begin, 2 * wait_s)
            self.loop.call_later(wait_s, send)

    def _send_early(self, cycle: RequestResponseCycle, begin: int, next_wait_s: float) -> None:
        is_waiting = cycle is self.cycle and not cycle.response_started
        if is_waiting and not self.transport.is_closing():
            self.transport.write_early(STATUS_LINE_START[begin : begin + 1])
            self._probe(begin + 1, next_wait_s)


class TurnFlow(FlowControl):
    """Does not read on while parts of requests wait for their turn, nor behind the end."""

    is_behind = False
    has_ended = False

    def resume_reading(self) -> None:
        """Read on, once every part was looked at, where there is more."""
        if not self.is_behind and not self.has_ended:
            super().resume_reading()


class AnsweringTransport(asyncio.Transport):
    """A transport whose answers arrive.

    Closed at once, a connection whose client still sends is reset, and the reset overtakes the
    answer. So the answer goes out whole, with the end of our stream, and for a bounded time the
    rest of what the client sends is read and thrown away.

    Args:
        protocol: Knows whether anything is left to read.
        transport: The real one.
    """

    def __init__(self, protocol: RequestProtocol, transport: asyncio.Transport) -> None:
        super().__init__()
        self._protocol = protocol
        self._transport = transport
        self._early_bytes = 0
        self._written_bytes = 0
        self._is_closing = False

    @property
    def sent_bytes(self) -> int:
        """Bytes that the system has taken."""
        return self._written_bytes - self._transport.get_write_buffer_size()

    def can_write_eof(self) -> bool:
        """See `asyncio.WriteTransport`."""
        return self._transport.can_write_eof()

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send bytes, without those that were sent early."""
        if self._early_bytes:
            data = data[self._early_bytes :]
            self._early_bytes = 0
        self._written_bytes += len(data)
        self._transport.write(data)

    def write_early(self, data: bytes) -> None:
        """Send the next bytes of an answer before it is known; `write` will leave them out."""
        self._early_bytes += len(data)
        self._written_bytes += len(data)
        self._transport.write(data)

    def get_write_buffer_size(self) -> int:
        """See `asyncio.WriteTransport`."""
        return self._transport.get_write_buffer_size()

    def resume_reading(self) -> None:
        """See `asyncio.ReadTransport`."""
        if not self._protocol.flow.has_ended:
            self._transport.resume_reading()

    def is_closing(self) -> bool:
        """See `asyncio.BaseTransport`."""
        return self._is_closing or self._transport.is_closing()

    def abort(self) -> None:
        """See `asyncio.WriteTransport`."""
        self._transport.abort()

    def close(self) -> None:
        """Close, once the client has read its answer or `LINGER_S` are over."""
        if self.is_closing():
            return
        self._is_closing = True
        if not self._protocol.has_unread:
            self._transport.close()
            return
        if self._transport.can_write_eof():  # TLS ends in both directions or in none.
            self._transport.write_eof()
        self._protocol.flow.is_behind = False
        self._protocol.flow.resume_reading()
        asyncio.get_running_loop().call_later(LINGER_S, self._part)

    def _part(self) -> None:
        if self._transport.get_write_buffer_size():  # It still reads, or the guard will cut it.
            asyncio.get_running_loop().call_later(LINGER_S, self._part)
        else:
            self._transport.abort()
