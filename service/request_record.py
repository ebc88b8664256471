"""What is known about one request while it travels: its id, outcome, and time in each stage."""

import math
import re
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal, get_args

from starlette.types import Scope

from model.errors import FusionError

Stage = Literal["receive", "decode", "align", "queue", "fuse", "encode"]
"""The steps of one request that take time, in order; the values of a metric label."""

UNSETTLED_OUTCOME = "unsettled"
_SANE_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
KEY_PREFIX = "key:"
"""What the caller's name begins with where it is known by its API key."""

TraceHeaders = Mapping[str, str]
"""Headers that name a span of a trace, as `traceparent`; empty where there are no traces."""

_STATE_KEY = "record"


class StageTimes:
    """A stopwatch for the stages of one request.

    Attributes:
        seconds: How long each stage took that has ended.
        begins: `time.monotonic()` at its begin.
        current: The one that was begun last.

    Example:
        >>> times = StageTimes()
        >>> times.record("queue", 0.25, begin=time.monotonic())
        >>> times.server_timing()
        'receive;dur=0.0, decode;dur=0.0, align;dur=0.0, queue;dur=250.0, fuse;dur=0.0, \
encode;dur=0.0'
    """

    def __init__(self) -> None:
        self.seconds: dict[Stage, float] = {}
        self.begins: dict[Stage, float] = {}
        self.current: Stage = "receive"

    @contextmanager
    def measure(self, stage: Stage) -> Iterator[None]:
        """Time a block; a block that raises is timed too."""
        self.current = stage
        begin = time.monotonic()
        try:
            yield
        finally:
            self.record(stage, time.monotonic() - begin, begin=begin)

    def record(self, stage: Stage, seconds: float, *, begin: float) -> None:
        """Note a time that was taken elsewhere.

        Args:
            stage: Which one.
            seconds: How long it took.
            begin: `time.monotonic()` at its begin.
        """
        self.seconds[stage] = seconds
        self.begins[stage] = begin

    def server_timing(self) -> str:
        """The value of a `Server-Timing` header: every stage in order, in milliseconds."""
        return ", ".join(
            f"{stage};dur={self.seconds.get(stage, 0.0) * 1000:.1f}" for stage in get_args(Stage)
        )


@dataclass(slots=True)
class RequestRecord:
    """The record of one request; lives in the ASGI scope.

    Attributes:
        request_id: Taken from the client when it is sane, else made here.
        retry_after_s: What a refused client is told.
        caller: Who asks, for the shares of callers: the id of the key, else the address of the
            client; empty: unknown.
        key: Id of the API key that it came with; None: none was needed.
        begin: `time.monotonic()` at the request's first byte.
        received: The same at its last byte; None until then.
        wait_s: Seconds from there to the deadline; infinite where nobody waits on a connection.
        preference_applied: What of `Prefer` is heeded, for the answer's header; empty: nothing.
        end: `time.monotonic()` when the answer was ready to be sent; None until then.
        outcome: `fused`, a problem's code, or for other routes the status.
        cut: Why the request was answered from below the application, which can only tell that its
            client is gone; None: it was not.
        stages: Times of the stages passed so far.
        megapixels: Size of the pair, once it is known.
        weights: Label of the weights that fuse it, once they are chosen.
        trace_headers: Name the span of this request, for what is begun for it.
        find_place: Asks for the job's place among those that wait for the device, from 1; 0 once it
            is begun. None until there is a job.
    """

    request_id: str
    retry_after_s: int
    caller: str = ""
    key: str | None = None
    begin: float = field(default_factory=time.monotonic)
    received: float | None = None
    wait_s: float = math.inf
    preference_applied: str = ""
    end: float | None = None
    outcome: str = UNSETTLED_OUTCOME
    cut: FusionError | None = None
    stages: StageTimes = field(default_factory=StageTimes)
    megapixels: float = 0.0
    weights: str | None = None
    trace_headers: TraceHeaders = field(default_factory=dict)
    find_place: Callable[[], int] | None = None

    @property
    def patience_s(self) -> float:
        """Seconds that are left until the deadline; below 0 where it has passed."""
        if self.received is None:
            return self.wait_s
        return self.received + self.wait_s - time.monotonic()

    @staticmethod
    def of(scope: Scope) -> "RequestRecord":
        """The record that `RequestContext` put into this request's scope."""
        record = scope["state"][_STATE_KEY]
        assert isinstance(record, RequestRecord)
        return record

    @staticmethod
    def find(state: Mapping[str, object]) -> "RequestRecord | None":
        """The same, in the `state` of a scope of a request that may not have come so far."""
        record = state.get(_STATE_KEY)
        return record if isinstance(record, RequestRecord) else None

    def attach(self, scope: Scope) -> None:
        """Put the record into a request's scope."""
        scope.setdefault("state", {})[_STATE_KEY] = self


def choose_request_id(given: bytes | None) -> str:
    """Take over a client's request id when it is short and harmless, else make one.

    Example:
        >>> choose_request_id(b"batch-7.photo_3")
        'batch-7.photo_3'
        >>> len(choose_request_id(b"two words"))
        32
    """
    if given is not None and _SANE_ID.fullmatch(given):
        return given.decode("ascii")
    return uuid.uuid4().hex
