"""Does independent parts of one piece of work on several threads, where its caller lets it.

Nothing here decides how many: who runs the work says so, since he alone knows whether other work
wants the cores. What comes out is the same however many there are.
"""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

_POOL: ContextVar[ThreadPoolExecutor | None] = ContextVar("side_by_side_pool", default=None)
"""The other threads; none in a thread of the pool itself, so that none ever waits for another."""


@contextmanager
def use_threads(count: int) -> Iterator[None]:
    """Let `map_parts` within the block use so many threads, the caller's among them."""
    if count <= 1:
        yield
        return
    with ThreadPoolExecutor(count - 1, thread_name_prefix="side-by-side") as pool:
        token = _POOL.set(pool)
        try:
            yield
        finally:
            _POOL.reset(token)


def map_parts(work: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
    """Do work on every item, in any order and maybe at once; the results in the items' order.

    The work must release the interpreter's lock for most of its time, as OpenCV, NumPy and compiled
    code do. The caller's thread does what no other thread has begun.

    Raises:
        Exception: What an item raised; no work runs on then.

    Example:
        >>> with use_threads(2):
        ...     map_parts(abs, [-1, 2, -3])
        [1, 2, 3]
    """
    pool = _POOL.get()
    todo = list(items)
    if pool is None or len(todo) < 2:
        return [work(item) for item in todo]
    futures = [pool.submit(work, item) for item in todo[1:]]
    try:
        first = work(todo[0])
        # From the end: what another thread has begun, all before it are begun too.
        others = [
            work(item) if future.cancel() else future.result()
            for future, item in zip(reversed(futures), reversed(todo[1:]), strict=True)
        ]
    finally:
        # Those that run may write where the caller lets go of it. `wait` would wait for a cancelled
        # one too, until a thread comes across it.
        wait([future for future in futures if not future.cancel()])
    return [first, *reversed(others)]
