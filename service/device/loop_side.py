"""One spawned worker process and the event loop's end of its pipe."""

import asyncio
import logging
import multiprocessing
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial

from service.device.backend import BackendFactory
from service.device.child import run_worker
from service.device.messages import FromWorker, Stop, ToWorker

STOP_TIMEOUT_S = 5.0
"""An idle worker ends within milliseconds; CUDA's teardown may take seconds."""

logger = logging.getLogger(__name__)


class WorkerProcess:
    """A worker that was spawned; made and used in the event loop, never blocks it.

    Args:
        factory: Makes the backend, in the new process.
        on_message: Called in the event loop with every message, in order.
        log_level: Least severe level that the worker logs.

    Attributes:
        ended: Completes when the process can say nothing any more, however it ended.
    """

    def __init__(
        self,
        factory: BackendFactory,
        on_message: Callable[["WorkerProcess", FromWorker], None],
        *,
        log_level: str,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._on_message = on_message
        self.ended: asyncio.Future[None] = self._loop.create_future()
        context = multiprocessing.get_context("spawn")
        self._connection, other_end = context.Pipe()
        self._process = context.Process(
            target=run_worker,
            args=(other_end, factory, log_level),
            name="expofuse-worker",
            daemon=True,
        )
        self._process.start()
        other_end.close()  # Else the pipe would not end with the process.
        self._reader = threading.Thread(target=self._read, name="worker-reader", daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int | None:
        """Process id."""
        return self._process.pid

    def send(self, message: ToWorker) -> None:
        """Send a message; to a process that is gone it is lost, and `ended` completes."""
        with suppress(OSError):
            self._connection.send(message)

    def kill(self) -> None:
        """End the process at once."""
        self._process.kill()

    async def stop(self) -> None:
        """Ask an idle process to end, make it end if it does not, and reap it."""
        self.send(Stop())
        try:
            async with asyncio.timeout(STOP_TIMEOUT_S):
                await asyncio.shield(self.ended)
        except TimeoutError:
            self.kill()
        await self.reap()

    async def reap(self) -> None:
        """Wait for the end of a process that has ended or was killed; log how it ended."""
        await self.ended
        # A process closes its pipe a moment before it is gone, and a lost device may delay that.
        await asyncio.to_thread(self._process.join, STOP_TIMEOUT_S)
        if self._process.exitcode is None:
            self._process.kill()
            await asyncio.to_thread(self._process.join)
        self._connection.close()
        logger.info("worker ended", extra={"exit_code": self._process.exitcode})

    def _read(self) -> None:
        # A thread, because a message that its sender did not finish would block the event loop.
        with suppress(EOFError, OSError):
            while True:
                message: FromWorker = self._connection.recv()
                self._call_in_loop(partial(self._on_message, self, message))
        self._call_in_loop(self._end)

    def _call_in_loop(self, callback: Callable[[], None]) -> None:
        with suppress(RuntimeError):  # The loop is closed: nobody is left to be told.
            self._loop.call_soon_threadsafe(callback)

    def _end(self) -> None:
        if not self.ended.done():
            self.ended.set_result(None)
