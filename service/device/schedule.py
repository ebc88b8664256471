"""Chooses the windows of the next micro-batch: in the order of the jobs' turns, pass after pass."""

from bisect import insort
from collections import deque
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field

from model.tiling import Window


@dataclass(slots=True)
class _Progress:
    """One job: the windows of its open pass that nobody took yet, and the passes after it."""

    weights: str
    rank: float
    later: deque[Sequence[Window]]
    pending: dict[Hashable, deque[Window]] = field(default_factory=dict)
    unfused: int = 0

    def open_pass(self) -> None:
        windows = self.later.popleft()
        self.unfused = len(windows)
        for window in windows:
            self.pending.setdefault(window.batch_key, deque()).append(window)

    def take(self, key: Hashable) -> Window | None:
        windows = self.pending.get(key)
        if windows is None:
            return None
        window = windows.popleft()
        if not windows:
            del self.pending[key]
        return window


class WindowSchedule:
    """The windows of all running jobs that are still to be computed.

    Jobs stand in the order of their turns (`service.turns`), so that one of few windows is done
    soon, however large its neighbours are, and none waits for ever. The first of them that has
    windows to take decides whose weights and what kind of window are next. Where its own are too
    few to keep the device busy, such windows of the jobs behind it are taken too. A job's next
    pass is open once every window of the one before is fused.
    """

    def __init__(self) -> None:
        self._order: list[int] = []
        self._jobs: dict[int, _Progress] = {}

    @property
    def next_weights(self) -> str | None:
        """Weights of the next micro-batch; None when no window can be taken."""
        head = self._head()
        return None if head is None else self._jobs[head].weights

    def add(
        self, number: int, passes: Sequence[Sequence[Window]], *, weights: str, rank: float
    ) -> None:
        """Take in a job.

        Args:
            number: Of the job.
            passes: Its windows, at least one pass of at least one window.
            weights: Label of its weights; only windows of one label share a micro-batch.
            rank: Of its turn; of equal ones the first that came is first.
        """
        job = _Progress(weights, rank, deque(passes))
        job.open_pass()
        self._jobs[number] = job
        insort(self._order, number, key=lambda one: self._jobs[one].rank)

    def drop(self, number: int) -> None:
        """Forget what is left of a job; one that is not there is no error."""
        if self._jobs.pop(number, None) is not None:
            self._order.remove(number)

    def count_fused(self, number: int) -> bool:
        """Note that one window of a job is fused, and open its next pass if that was the last.

        Returns:
            Whether it was the last window of the last pass; the job is then forgotten.
        """
        job = self._jobs[number]
        job.unfused -= 1
        if job.unfused:
            return False
        if job.later:
            job.open_pass()
            return False
        self.drop(number)
        return True

    def next_batch(self, limit: int, *, shared: int | None = None) -> list[tuple[int, Window]]:
        """Take the windows of the next micro-batch.

        Args:
            limit: Most windows in it, at least 1.
            shared: Windows up to which further jobs may add theirs; None: the limit.

        Returns:
            Pairs of job and window, all of `next_weights` and of one batch key; empty when none
            can be taken.
        """
        head = self._head()
        if head is None:
            return []
        weights, key = self._jobs[head].weights, next(iter(self._jobs[head].pending))
        batch: list[tuple[int, Window]] = []
        for number in self._order:
            job = self._jobs[number]
            most = limit if number == head or shared is None else min(shared, limit)
            while (
                job.weights == weights
                and len(batch) < most
                and (window := job.take(key)) is not None
            ):
                batch.append((number, window))
        return batch

    def _head(self) -> int | None:
        return next((number for number in self._order if self._jobs[number].pending), None)
