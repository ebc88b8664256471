"""What is known about one request while it travels; for its log line, its metrics, its answer."""

import re
import time
import uuid
from dataclasses import dataclass, field

from starlette.types import Scope

from service.stages import StageTimes

UNSETTLED_OUTCOME = "unsettled"
_SANE_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
_STATE_KEY = "record"


@dataclass(slots=True)
class RequestRecord:
    """The record of one request; lives in the ASGI scope.

    Attributes:
        request_id: Taken from the client when it is sane, else made here.
        retry_after_s: What a refused client is told.
        begin: `time.monotonic()` at the request's first byte.
        end: `time.monotonic()` when the answer was ready to be sent; None until then.
        outcome: `fused`, a problem's code, or for other routes the status.
        stages: Times of the stages passed so far.
        megapixels: Size of the pair, once it is known.
        weights: Label of the weights that fuse it, once they are chosen.
    """

    request_id: str
    retry_after_s: int
    begin: float = field(default_factory=time.monotonic)
    end: float | None = None
    outcome: str = UNSETTLED_OUTCOME
    stages: StageTimes = field(default_factory=StageTimes)
    megapixels: float = 0.0
    weights: str | None = None

    @staticmethod
    def of(scope: Scope) -> "RequestRecord":
        """The record that `RequestContext` put into this request's scope."""
        record = scope["state"][_STATE_KEY]
        assert isinstance(record, RequestRecord)
        return record

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
