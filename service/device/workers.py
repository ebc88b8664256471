"""The device workers of a service: one that new jobs go to, and those that weights were taken from.

Weights are reloaded by a second worker that is started beside the first. Once it has loaded,
verified and warmed up what lies on the disk, new jobs go to it, and the first one ends when the
requests that chose its weights have ended.
"""

import asyncio
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from service.device.job_queue import JobQueue
from service.errors import ReloadError, WorkerStoppedError
from service.served_weights import ServedWeights, WorkerInfo

KEPT_S = 5.0
"""How long a worker is kept, at least, once another has taken its place: a request that chose its
weights and is not admitted yet finds it."""

logger = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class _Worker:
    """A queue with its worker, and the requests that hold on to it."""

    queue: JobQueue
    leases: int = 0
    is_ending: bool = False
    is_free: asyncio.Event = field(default_factory=asyncio.Event)

    def serves(self, weights: ServedWeights) -> bool:
        info = self.queue.info
        return info is not None and weights in info.weights and not self.is_ending

    @contextmanager
    def lease(self) -> Iterator[JobQueue]:
        self.leases += 1
        self.is_free.clear()
        try:
            yield self.queue
        finally:
            self.leases -= 1
            if not self.leases:
                self.is_free.set()


class DeviceWorkers:
    """The queue before the current device worker, and those of its predecessors that still work.

    Args:
        first: The queue before the worker that is started first.
        renew: Makes a queue whose worker loads the weights as they lie there now.
        drain_timeout_s: How long a predecessor may take to finish what chose it.
        kept_s: How long it is kept at least.
    """

    def __init__(
        self,
        first: JobQueue,
        *,
        renew: Callable[[], JobQueue],
        drain_timeout_s: float,
        kept_s: float = KEPT_S,
    ) -> None:
        self._renew = renew
        self._drain_timeout_s = drain_timeout_s
        self._kept_s = kept_s
        self._current = _Worker(first)
        self._earlier: dict[_Worker, asyncio.Task[None]] = {}
        self._starting: JobQueue | None = None
        self._reloading = asyncio.Lock()
        self._ended_restarts = 0
        self._ended_start_failures = 0
        self._ended_violations = 0
        self._is_stopping = False

    @property
    def is_ready(self) -> bool:
        """The current worker is alive and warmed up."""
        return self._current.queue.is_ready

    @property
    def info(self) -> WorkerInfo | None:
        """What the current worker runs; None before the first one was ready."""
        return self._current.queue.info

    @property
    def pid(self) -> int | None:
        """Process id of the current worker, None between two of them."""
        return self._current.queue.pid

    @property
    def pids(self) -> list[int]:
        """Process ids of all workers that are alive."""
        return [queue.pid for queue in self._queues if queue.pid is not None]

    @property
    def restarts(self) -> int:
        """Workers that had to be replaced, or ended at their work, so far."""
        return self._ended_restarts + sum(queue.restarts for queue in self._queues)

    @property
    def start_failures(self) -> int:
        """Starts of a worker that failed so far, those of a reload among them."""
        return self._ended_start_failures + sum(queue.start_failures for queue in self._queues)

    @property
    def violations(self) -> int:
        """Answers that a worker had no reason for, so far."""
        return self._ended_violations + sum(queue.violations for queue in self._queues)

    @property
    def _queues(self) -> list[JobQueue]:
        return [self._current.queue, *(worker.queue for worker in self._earlier)]

    def is_using(self, block: str) -> bool:
        """A worker has a job that may touch the block of this name."""
        return any(queue.is_using(block) for queue in self._queues)

    def ping(self) -> None:
        """Have every worker come round, see `Supervisor.ping`."""
        for queue in self._queues:
            queue.ping()

    @contextmanager
    def lease(self, weights: ServedWeights) -> Iterator[JobQueue]:
        """The queue of the worker that serves a version, kept for the length of a `with`.

        Args:
            weights: As `info` had it when the request chose.

        Raises:
            WorkerStoppedError: No worker serves it any more.
        """
        for worker in (self._current, *self._earlier):
            if worker.serves(weights):
                with worker.lease() as queue:
                    yield queue
                return
        raise WorkerStoppedError(
            f"expected weights that are served, '{weights.label}' was replaced meanwhile"
        )

    async def start(self) -> WorkerInfo:
        """Start the first worker and wait until it is warmed up.

        Raises:
            ChildStartError: It did not come up; the message is the worker's own.
        """
        return await self._current.queue.start()

    async def reload(self) -> WorkerInfo:
        """Put a worker with the weights as they lie there now in the place of the current one.

        Returns:
            What it runs. The current one ends when those that chose its weights have.

        Raises:
            ReloadError: The service is stopping.
            ChildStartError: The new worker did not come up; the current one stays.
        """
        async with self._reloading:
            if self._is_stopping:
                raise ReloadError("expected a running service, got one that is stopping")
            queue = self._starting = self._renew()
            try:
                info = await queue.start()
            except BaseException:
                self._ended_start_failures += 1
                await queue.stop()
                raise
            finally:
                self._starting = None
            before, self._current = self._current, _Worker(queue)
            self._earlier[before] = asyncio.create_task(self._retire(before), name="retire-worker")
            return info

    async def stop(self) -> None:
        """End every worker; jobs that are left are answered with `WorkerStoppedError`."""
        self._is_stopping = True
        for retiring in self._earlier.values():
            retiring.cancel()
        await asyncio.gather(*self._earlier.values(), return_exceptions=True)
        starting = [] if self._starting is None else [self._starting]
        await asyncio.gather(*(queue.stop() for queue in (*starting, *self._queues)))

    async def _retire(self, worker: _Worker) -> None:
        """End a worker once nobody holds on to it, or its time is over."""
        await asyncio.sleep(self._kept_s)
        try:
            async with asyncio.timeout(self._drain_timeout_s):
                while worker.leases:
                    await worker.is_free.wait()
        except TimeoutError:
            logger.error("the worker before is ended at its work", extra={"jobs": worker.leases})
            self._ended_restarts += 1  # Before its blocks come back: it may write until it is gone.
        worker.is_ending = True
        await worker.queue.stop()
        del self._earlier[worker]
        self._ended_restarts += worker.queue.restarts
        self._ended_start_failures += worker.queue.start_failures
        self._ended_violations += worker.queue.violations
