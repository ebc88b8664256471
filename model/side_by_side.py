"""Does independent parts of one piece of work on several threads, where its caller lets it.

Nothing here decides how many: who runs the work says so, since he alone knows whether other work
wants the cores. What comes out is the same however many there are.
"""

import ctypes
import os
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


class OtherThreads:
    """Threads that work beside their caller's.

    A thread that is woken should have a processor that has nothing to do. Linux often gives it the
    one of the thread that woke it: in a virtual machine a processor that sleeps counts as taken by
    the host. It may be tens of milliseconds before one of the two is moved, and a fusion is done by
    then. So these threads are kept off the processor on which their caller is, where the work is
    all that the machine does (`alone`). Beside other work that would keep processors idle.

    Args:
        count: How many, at least 1.
    """

    def __init__(self, count: int) -> None:
        self._ids: list[int] = []
        self._is_kept_off = False
        self._pool = ThreadPoolExecutor(
            count, thread_name_prefix="side-by-side", initializer=self._note_begin
        )

    def submit(self, work: Callable[[Item], Result], items: Iterable[Item]) -> list[Future[Result]]:
        """Have work done on items."""
        is_alone = _IS_ALONE.get()
        if sys.platform == "linux" and (is_alone or self._is_kept_off):
            allowed = os.sched_getaffinity(0)
            others = allowed - {_C_LIBRARY.sched_getcpu()} if is_alone else allowed
            self._let_run_on(others or allowed)
            self._is_kept_off = is_alone
        return [self._pool.submit(work, item) for item in items]

    def end(self) -> None:
        """Wait for what is being done, and end the threads."""
        self._pool.shutdown()

    def _let_run_on(self, processors: set[int]) -> None:
        for thread_id in self._ids:
            # One that has just ended, or a set of processors that was changed this moment.
            with suppress(OSError):
                os.sched_setaffinity(thread_id, processors)

    def _note_begin(self) -> None:
        self._ids.append(threading.get_native_id())


_C_LIBRARY = ctypes.CDLL(None)

_OTHERS: ContextVar[OtherThreads | None] = ContextVar("side_by_side_threads", default=None)
"""The other threads; none in one of them itself, so that none ever waits for another."""

_IS_ALONE: ContextVar[bool] = ContextVar("side_by_side_alone", default=False)


@contextmanager
def alone(*, is_alone: bool = True) -> Iterator[None]:
    """Say that what is done within the block is all that the machine has to do, or not."""
    token = _IS_ALONE.set(is_alone)
    try:
        yield
    finally:
        _IS_ALONE.reset(token)


@contextmanager
def use_threads(count: int) -> Iterator[None]:
    """Let `map_parts` within the block use so many threads, the caller's among them.

    Whoever lets it have them knows that nobody else wants the cores, see `alone`.
    """
    if count <= 1:
        yield
        return
    others = OtherThreads(count - 1)
    token = _OTHERS.set(others)
    try:
        with alone():
            yield
    finally:
        _OTHERS.reset(token)
        others.end()


def map_parts(work: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
    """Do work on every item by the threads that the caller lets it have, see `map_with`.

    Example:
        >>> with use_threads(2):
        ...     map_parts(abs, [-1, 2, -3])
        [1, 2, 3]
    """
    return map_with(_OTHERS.get(), work, items)


def map_with(
    others: OtherThreads | None, work: Callable[[Item], Result], items: Iterable[Item]
) -> list[Result]:
    """Do work on every item, in any order and maybe at once; the results in the items' order.

    The work must release the interpreter's lock for most of its time, as OpenCV, NumPy and compiled
    code do. The caller's thread does what no other thread has begun.

    Args:
        others: The other threads; None for none.
        work: Done once for each item.
        items: What it is done on.

    Raises:
        Exception: What an item raised; no work runs on then.
    """
    todo = list(items)
    if others is None or len(todo) < 2:
        return [work(item) for item in todo]
    futures = others.submit(work, todo[1:])
    future = None
    try:
        results = [work(todo[0])]
        # From the end: what another thread has begun, all before it are begun too.
        for item in reversed(todo[1:]):
            future = futures.pop()
            results.append(work(item) if future.cancel() else future.result())
    finally:
        # The traceback of a future's error holds this frame: were the future still named in it,
        # both would stay, and what was worked on.
        future = None
        # Those that run may write where the caller lets go of it. `wait` would wait for a cancelled
        # one too, until a thread comes across it.
        wait([one for one in futures if not one.cancel()])
        futures.clear()
    return [results[0], *reversed(results[1:])]
