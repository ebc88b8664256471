"""Judges whether a connection has used up the time that its client has for what it is doing.

Every connection is looked at twice a second, by one task for all of them: what a client sends or
reads in between costs nothing.
"""

from collections.abc import Callable
from typing import Literal, Protocol

from service.errors import RequestTimeoutError
from service.metrics import CutReason
from service.settings import LimitSettings

Phase = Literal["waiting", "head", "body", "busy"]
"""What comes from the client: nothing yet; a request's head; its body; nothing is expected."""


class Watched(Protocol):
    """What is looked at of a connection."""

    @property
    def phase(self) -> Phase:
        """What comes from the client."""
        ...

    @property
    def last_request(self) -> object | None:
        """Tells one request of this connection from another; None: none has begun."""
        ...

    @property
    def received_bytes(self) -> int:
        """Bytes that have come so far."""
        ...

    @property
    def sent_bytes(self) -> int:
        """Bytes that the client's system has taken so far, as far as is known here."""
        ...

    @property
    def unsent_bytes(self) -> int:
        """Bytes that wait for the client to read."""
        ...


class Pace:
    """How far a client is behind the least rate.

    Each second adds one, each byte takes away the time that it may take at the least rate, and
    what is ahead of it is not kept. So whoever keeps the rate is never behind for long, one who
    stands still is as far behind as the stillness lasts, and one at half the rate half as far.

    Args:
        bytes_per_s: The least rate.
        moved_bytes: Bytes that have moved so far.

    Attributes:
        behind_s: How far, in seconds.
        still_s: For how long nothing at all has moved, in seconds.

    Example:
        >>> pace = Pace(100.0, 0)
        >>> pace.move(1.0, 50), pace.move(1.0, 50), pace.move(1.0, 450)
        (0.5, 1.5, 0.0)
    """

    def __init__(self, bytes_per_s: float, moved_bytes: int) -> None:
        self._bytes_per_s = bytes_per_s
        self._moved_bytes = moved_bytes
        self.behind_s = 0.0
        self.still_s = 0.0

    def move(self, elapsed_s: float, moved_bytes: int) -> float:
        """Note what has moved.

        Args:
            elapsed_s: Time in which more could have moved; 0: there was nothing to move.
            moved_bytes: Bytes that have moved so far, this time included.

        Returns:
            How far the client is behind now, in seconds.
        """
        moved = moved_bytes - self._moved_bytes
        self._moved_bytes = moved_bytes
        self.still_s = 0.0 if moved else self.still_s + elapsed_s
        self.behind_s = max(0.0, self.behind_s + elapsed_s - moved / self._bytes_per_s)
        return self.behind_s


class Patience:
    """The time that the client of one connection has left.

    Args:
        connection: It.
        limits: The bounds.
        now: The time of the event loop, in seconds.
    """

    def __init__(self, connection: Watched, limits: LimitSettings, now: float) -> None:
        self._connection = connection
        self._limits = limits
        self._looked_at = now
        self._doing = (connection.phase, connection.last_request)
        self._since = now
        self._receiving = Pace(limits.min_receive_bytes_per_s, 0)
        self._sending = Pace(limits.min_send_bytes_per_s, 0)
        self._judges: dict[Phase, Callable[[float, float], CutReason | None]] = {
            "waiting": self._judge_waiting,
            "head": self._judge_head,
            "body": self._judge_body,
        }

    def look(self, now: float) -> CutReason | None:
        """Why the connection is to be cut; None: it is not.

        Args:
            now: The time of the event loop, in seconds.
        """
        elapsed_s = now - self._looked_at
        self._looked_at = now
        doing = (self._connection.phase, self._connection.last_request)
        if doing != self._doing:
            self._doing, self._since = doing, now
            self._receiving = Pace(
                self._limits.min_receive_bytes_per_s, self._connection.received_bytes
            )
        judge = self._judges.get(doing[0])
        reason = judge and judge(now - self._since, elapsed_s)
        return reason or self._judge_reader(elapsed_s)

    def explain(self, reason: CutReason) -> RequestTimeoutError | None:
        """What a client is told whose request had begun; None: nothing.

        Args:
            reason: Why its connection is cut.
        """
        limits = self._limits
        if reason == "slow-head":
            return RequestTimeoutError(
                f"expected the request's line and headers within {limits.head_timeout_s:g} s"
            )
        if reason == "slow-body":
            return RequestTimeoutError(
                f"expected a body of at least {limits.min_receive_bytes_per_s:g} bytes a second "
                f"that comes within {limits.receive_timeout_s:g} s, got a slower one"
            )
        return None

    def _judge_waiting(self, lasted_s: float, _: float) -> CutReason | None:
        is_new = self._connection.last_request is None
        most_s = self._limits.first_byte_timeout_s if is_new else self._limits.idle_timeout_s
        return "no-request" if lasted_s > most_s and not self._connection.unsent_bytes else None

    def _judge_head(self, lasted_s: float, _: float) -> CutReason | None:
        return "slow-head" if lasted_s > self._limits.head_timeout_s else None

    def _judge_body(self, lasted_s: float, elapsed_s: float) -> CutReason | None:
        behind_s = self._receiving.move(elapsed_s, self._connection.received_bytes)
        is_behind = behind_s > self._limits.receive_stall_timeout_s
        return "slow-body" if is_behind or lasted_s > self._limits.receive_timeout_s else None

    def _judge_reader(self, elapsed_s: float) -> CutReason | None:
        connection, most_s = self._connection, self._limits.send_stall_timeout_s
        waited_s = elapsed_s if connection.unsent_bytes else 0.0
        if self._sending.move(waited_s, connection.sent_bytes) <= most_s:
            return None
        return "stalled" if self._sending.still_s > most_s else "slow-reader"
