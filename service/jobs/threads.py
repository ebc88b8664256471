"""The threads of the jobs: one for the store, two for files; the event loop waits for no disk."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Final, ParamSpec, TypeVar

from service.errors import WorkerStoppedError

FILE_THREADS: Final = 2
P = ParamSpec("P")
T = TypeVar("T")


class JobThreads:
    """Runs calls that block."""

    def __init__(self) -> None:
        self._store = ThreadPoolExecutor(1, thread_name_prefix="job-store")
        self._files = ThreadPoolExecutor(FILE_THREADS, thread_name_prefix="job-files")
        self._is_closed = False

    def open_store(self, open_it: Callable[[], T]) -> T:
        """Open the store on its thread, and wait for it; before a loop serves anybody."""
        return self._store.submit(open_it).result()

    async def ask(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call the store; its calls run one after another.

        Raises:
            WorkerStoppedError: The threads were closed.
        """
        return await self._run(self._store, partial(call, *args, **kwargs))

    async def handle(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Read, write or remove files.

        Raises:
            WorkerStoppedError: The threads were closed.
        """
        return await self._run(self._files, partial(call, *args, **kwargs))

    def close(self) -> None:
        """End the threads once they have done what they were given."""
        self._is_closed = True
        self._files.shutdown()
        self._store.shutdown()

    async def _run(self, threads: ThreadPoolExecutor, call: Callable[[], T]) -> T:
        if self._is_closed:
            raise WorkerStoppedError("the service is stopping")
        return await asyncio.get_running_loop().run_in_executor(threads, call)
