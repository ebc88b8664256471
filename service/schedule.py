"""Which windows share the next micro-batch: round-robin over the running jobs."""

from collections import deque
from collections.abc import Hashable, Sequence

from model.tiling import Window


class WindowSchedule:
    """The windows of all running jobs that are still to be computed.

    The job at the head of the rota decides what kind of window is next and then goes to its end,
    and a micro-batch takes one window of each job in turn. So a job of few windows is done after
    about as many turns as it has windows, however large its neighbours are.
    """

    def __init__(self) -> None:
        self._rota: deque[int] = deque()
        self._pending: dict[int, dict[Hashable, deque[Window]]] = {}

    def add(self, number: int, windows: Sequence[Window]) -> None:
        """Take in the windows of a job, at the end of the rota."""
        pending: dict[Hashable, deque[Window]] = {}
        for window in windows:
            pending.setdefault(window.batch_key, deque()).append(window)
        self._pending[number] = pending
        self._rota.append(number)

    def drop(self, number: int) -> None:
        """Forget what is left of a job; one that is not there is no error."""
        if self._pending.pop(number, None) is not None:
            self._rota.remove(number)

    def next_batch(self, limit: int) -> list[tuple[int, Window]]:
        """Take the windows of the next micro-batch.

        Args:
            limit: Most windows in it, at least 1.

        Returns:
            Pairs of job and window, all windows of one batch key; empty when none is left.
        """
        if not self._rota:
            return []
        key = next(iter(self._pending[self._rota[0]]))
        batch: list[tuple[int, Window]] = []
        while len(batch) < limit:
            before = len(batch)
            for number in self._rota:
                windows = self._pending[number].get(key)
                if windows and len(batch) < limit:
                    batch.append((number, windows.popleft()))
            if len(batch) == before:
                break
        self._rota.rotate(-1)
        for number in {number for number, _ in batch}:
            self._forget_empty(number, key)
        return batch

    def _forget_empty(self, number: int, key: Hashable) -> None:
        pending = self._pending[number]
        if not pending[key]:
            del pending[key]
        if not pending:
            self.drop(number)
