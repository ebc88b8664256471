"""Orders what waits, before codec processes and on the device: short jobs first, and none too long.

First come, first served, a decode of 20 ms waits behind the alignments of every large job that came
before it. Here a job stands by the work that is expected of it, and its age makes up for more of it
the longer it waits: of two jobs the larger one is overtaken only by what comes within the time that
its additional work is worth, at most `MAX_WORK_S / AGEING`; on a machine that is slower than its
cores promise, time passes as much slower (`service.backlog`). Of callers, one that has more work
here than an equal share of all of it stands behind the others, one that has less before them.
"""

from bisect import insort
from dataclasses import dataclass
from typing import Generic, TypeVar

AGEING = 0.16
"""Seconds of expected work that a second of waiting makes up for."""

MAX_WORK_S = 2.0
"""More work than this is not held against a job."""

MAX_EXCESS_S = 1.0
"""More work of its caller than this is held neither against a job nor for it."""

CallT = TypeVar("CallT")


@dataclass(frozen=True, slots=True)
class Turn:
    """What decides when a job's calls and windows are run.

    Attributes:
        work_s: Core time that the job is expected to take in all.
        begin_s: When it was admitted, on the clock of the backlog.
        excess_s: Core time of its caller's other jobs above an equal share of all callers; below 0
            where they have less.
    """

    work_s: float
    begin_s: float
    excess_s: float = 0.0

    @property
    def rank(self) -> float:
        """The lowest one is first; it does not change while time passes.

        Example:
            >>> small, large = Turn(0.1, begin_s=100.0), Turn(1.1, begin_s=97.0)
            >>> small.rank < large.rank, Turn(0.1, begin_s=104.0).rank < large.rank
            (True, False)
            >>> small.rank < Turn(0.1, begin_s=99.0, excess_s=0.5).rank
            True
        """
        excess_s = min(max(self.excess_s, -MAX_EXCESS_S), MAX_EXCESS_S)
        return min(self.work_s, MAX_WORK_S) + excess_s + AGEING * self.begin_s


def find_worth_s(turn: Turn) -> float:
    """Seconds for which the smallest jobs that come may overtake one.

    Example:
        >>> find_worth_s(Turn(0.4, begin_s=0.0))
        2.5
    """
    return min(turn.work_s, MAX_WORK_S) / AGEING


AT_ONCE = Turn(0.0, -1e6)
"""Before every job."""


class WaitingCalls(Generic[CallT]):
    """The calls that wait, in the order of their turns; of equal ones the first comes first."""

    def __init__(self) -> None:
        self._calls: list[tuple[float, int, CallT]] = []
        self._count = 0

    def __len__(self) -> int:
        return len(self._calls)

    def add(self, call: CallT, turn: Turn) -> None:
        """Let a call wait."""
        self._count += 1
        insort(self._calls, (turn.rank, self._count, call), key=lambda one: one[:2])

    def add_first(self, call: CallT) -> None:
        """Let a call that had its turn already go before all others."""
        self._calls.insert(0, (self._calls[0][0] if self._calls else 0.0, 0, call))

    def take(self) -> CallT:
        """The call whose turn it is."""
        return self._calls.pop(0)[2]

    def discard(self, call: CallT) -> None:
        """A call that nobody waits for any more; nothing where it does not wait."""
        self._calls = [one for one in self._calls if one[2] is not call]

    def clear(self) -> None:
        """Forget all of them."""
        self._calls.clear()
