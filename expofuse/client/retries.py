"""Decides whether a request is sent again, and after which pause."""

import random
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from expofuse.client.errors import AnswerTimeoutError, BusyError, ClientError, NoAnswerError

MAX_DOUBLINGS = 32
"""Beyond these no pause grows any more, whatever its bound."""


@dataclass(frozen=True, slots=True)
class Retries:
    """How often, and for how long, a client tries again.

    Only what another attempt may mend is tried again: a service that says that it is busy (503,
    429), and a connection that was refused or ended before an answer. A pause is never shorter than
    the service asks for by `Retry-After`; a random part is added, so that clients that were refused
    together do not come back together.

    Attributes:
        count: Most attempts after the first; 0 for none.
        total_s: No pause begins that would end later than this after the first attempt, seconds.
        spread_s: Longest random part of the first pause, seconds; it doubles each time.
        longest_spread_s: Longest random part of any pause, seconds.

    Example:
        >>> retries = Retries(spread_s=1.0)
        >>> [retries.plan_pause_s(number, told_s=5.0, share=0.5) for number in range(3)]
        [5.5, 6.0, 7.0]
    """

    count: int = 4
    total_s: float = 120.0
    spread_s: float = 0.5
    longest_spread_s: float = 8.0

    def plan_pause_s(self, number: int, *, told_s: float | None, share: float) -> float:
        """The pause before another attempt.

        Args:
            number: How many attempts there were after the first.
            told_s: What the service asks for; None where it does not.
            share: Which part of the random part is taken, 0..1.
        """
        spread_s = min(self.longest_spread_s, self.spread_s * 2.0 ** min(number, MAX_DOUBLINGS))
        return (told_s or 0.0) + spread_s * share


DEFAULT_RETRIES = Retries()


def count_retries(given: int | Retries) -> Retries:
    """How often and how long, where only the number may have been given."""
    return Retries(count=given) if isinstance(given, int) else given


@dataclass(slots=True)
class Attempts:
    """The attempts at one request.

    Attributes:
        retries: How many and how long.
        is_repeated: The request is sent again at all.
    """

    retries: Retries
    is_repeated: bool = True
    _number: int = 0
    _begin: float = field(default_factory=time.monotonic)

    def pause_after(self, error: ClientError) -> float | None:
        """How long to wait before the next attempt, in seconds; None where there is none."""
        if not self.is_repeated or not _may_pass(error) or self._number >= self.retries.count:
            return None
        told_s = error.retry_after_s if isinstance(error, BusyError) else None
        pause_s = self.retries.plan_pause_s(self._number, told_s=told_s, share=random.random())
        if time.monotonic() - self._begin + pause_s > self.retries.total_s:
            return None
        self._number += 1
        return pause_s


def _may_pass(error: ClientError) -> bool:
    """Another attempt may have another end; after a time-out it would double the load."""
    return isinstance(error, BusyError | NoAnswerError) and not isinstance(
        error, AnswerTimeoutError
    )


def read_retry_after(value: str | None) -> float | None:
    """The seconds that a header `Retry-After` asks for; None where it is absent or says nothing.

    Example:
        >>> read_retry_after("5"), read_retry_after("soon")
        (5.0, None)
        >>> read_retry_after("Sun, 06 Nov 1994 08:49:37 GMT")
        0.0
    """
    if value is None:
        return None
    if value.isascii() and value.isdigit():
        return float(value)
    try:
        moment = parsedate_to_datetime(value)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - datetime.now(UTC)).total_seconds())
