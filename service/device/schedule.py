"""Chooses the windows of the next micro-batch: round-robin over jobs, pass after pass."""

from collections import deque
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field

from model.tiling import Window


@dataclass(slots=True)
class _Progress:
    """One job: the windows of its open pass that nobody took yet, and the passes after it."""

    weights: str
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

    The job at the head of the rota decides whose weights and what kind of window are next and then
    goes to its end, and a micro-batch takes one window of each such job in turn. So a job of few
    windows is done after about as many turns as it has windows, however large its neighbours are
    and whichever weights they ask for. A job's next pass is open once every window of the one
    before is fused; the job keeps its place in the rota.
    """

    def __init__(self) -> None:
        self._rota: deque[int] = deque()
        self._jobs: dict[int, _Progress] = {}

    @property
    def next_weights(self) -> str | None:
        """Weights of the next micro-batch; None when no window can be taken."""
        head = self._head()
        return None if head is None else self._jobs[head].weights

    def add(self, number: int, passes: Sequence[Sequence[Window]], *, weights: str) -> None:
        """Take in a job, at the end of the rota.

        Args:
            number: Of the job.
            passes: Its windows, at least one pass of at least one window.
            weights: Label of its weights; only windows of one label share a micro-batch.
        """
        job = _Progress(weights, deque(passes))
        job.open_pass()
        self._jobs[number] = job
        self._rota.append(number)

    def drop(self, number: int) -> None:
        """Forget what is left of a job; one that is not there is no error."""
        if self._jobs.pop(number, None) is not None:
            self._rota.remove(number)

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

    def next_batch(self, limit: int) -> list[tuple[int, Window]]:
        """Take the windows of the next micro-batch.

        Args:
            limit: Most windows in it, at least 1.

        Returns:
            Pairs of job and window, all of `next_weights` and of one batch key; empty when none
            can be taken.
        """
        head = self._head()
        if head is None:
            return []
        weights, key = self._jobs[head].weights, next(iter(self._jobs[head].pending))
        alike = [number for number in self._rota if self._jobs[number].weights == weights]
        batch: list[tuple[int, Window]] = []
        while len(batch) < limit:
            before = len(batch)
            for number in alike:
                if len(batch) < limit and (window := self._jobs[number].take(key)) is not None:
                    batch.append((number, window))
            if len(batch) == before:
                break
        self._rota.remove(head)
        self._rota.append(head)
        return batch

    def _head(self) -> int | None:
        return next((number for number in self._rota if self._jobs[number].pending), None)
