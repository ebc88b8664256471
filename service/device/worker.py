"""The event loop's view of the device worker: a bounded queue, supervision, one answer a job."""

import asyncio
import itertools
import logging
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass

from model.errors import FusionError, InferenceError
from service.device.backend import BackendFactory
from service.device.loop_side import WorkerProcess
from service.device.messages import (
    BatchDone,
    Cancel,
    Failed,
    Finished,
    FromWorker,
    FuseJob,
    Ready,
    Started,
    StartFailed,
    Submit,
    WorkerInfo,
)
from service.errors import QueueFullError, WorkerStoppedError
from service.metrics import Metrics
from service.settings import WorkerSettings

MAX_ATTEMPTS = 2
"""A job that was running when a worker ended is run once more, and no more than that."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class FuseTimes:
    """How long one job waited for the device and how long it was on it, in seconds."""

    queue_s: float
    fuse_s: float


@dataclass(slots=True, eq=False)
class _Ticket:
    number: int
    job: FuseJob
    settled: asyncio.Future[FuseTimes]
    queued_at: float
    started_at: float = 0.0
    attempts: int = 0


class DeviceWorker:
    """Runs jobs on a worker process that is replaced when it ends.

    A job that was running when the worker ended is run again alone, so that a job which brings
    the worker down twice fails by itself. Queued jobs wait for the replacement.

    Args:
        factory: Makes the backend, in the worker's process.
        settings: How the device is driven.
        max_queued: Jobs that may wait; one more is refused at once.
        metrics: Where the levels are shown.
        log_level: Least severe level that the worker logs.
    """

    def __init__(
        self,
        factory: BackendFactory,
        *,
        settings: WorkerSettings,
        max_queued: int,
        metrics: Metrics,
        log_level: str = "info",
    ) -> None:
        self._factory = factory
        self._settings = settings
        self._max_queued = max_queued
        self._metrics = metrics
        self._log_level = log_level
        self._numbers = itertools.count()
        self._queue: deque[_Ticket] = deque()
        self._running: dict[int, _Ticket] = {}
        self._process: WorkerProcess | None = None
        self._ready: asyncio.Future[WorkerInfo] | None = None
        self._info: WorkerInfo | None = None
        self._is_up = False
        self._is_stopping = False
        self._last_sign_at = 0.0
        self._supervisor: asyncio.Task[None] | None = None

    @property
    def is_ready(self) -> bool:
        """The worker is alive and warmed up."""
        return self._is_up

    @property
    def info(self) -> WorkerInfo | None:
        """What the worker runs; None before the first one was ready."""
        return self._info

    @property
    def pid(self) -> int | None:
        """Process id of the worker that is alive, None between two of them."""
        return self._process.pid if self._process is not None else None

    async def start(self) -> WorkerInfo:
        """Start the first worker and wait until it is warmed up.

        Raises:
            WorkerStoppedError: It did not come up; the message is the worker's own.
        """
        process = self._spawn()
        try:
            info = await self._await_ready(process)
        except WorkerStoppedError:
            process.kill()
            await process.reap()
            raise
        self._supervisor = asyncio.create_task(self._supervise(process), name="worker-supervisor")
        return info

    async def stop(self) -> None:
        """End the worker; jobs that are left are answered with `WorkerStoppedError`."""
        self._is_stopping = True
        is_idle = self._is_up and not self._running
        self._set_up(False)
        if self._supervisor is not None:
            self._supervisor.cancel()
            with suppress(asyncio.CancelledError):
                await self._supervisor
        left = [*self._running.values(), *self._queue]
        self._running.clear()
        self._queue.clear()
        self._show_levels()
        for ticket in left:
            _fail(ticket, WorkerStoppedError("the service stopped before the job was done"))
        process, self._process = self._process, None
        if process is not None:
            if not is_idle:
                process.kill()
            await process.stop()

    async def fuse(self, job: FuseJob) -> FuseTimes:
        """Have a pair fused into its output; a cancelled caller's job is dropped.

        Raises:
            QueueFullError: Every waiting place is taken.
            WorkerStoppedError: The worker is being stopped.
            FusionError: The job failed.
        """
        if self._is_stopping:
            raise WorkerStoppedError("the worker is stopping and takes no new jobs")
        if len(self._queue) >= self._max_queued:
            raise QueueFullError(
                f"expected fewer than {self._max_queued} queued jobs, got {len(self._queue)}"
            )
        settled: asyncio.Future[FuseTimes] = asyncio.get_running_loop().create_future()
        ticket = _Ticket(next(self._numbers), job, settled, time.monotonic())
        self._queue.append(ticket)
        self._dispatch()
        try:
            return await settled
        finally:
            if settled.cancelled():
                self._drop(ticket)

    def _spawn(self) -> WorkerProcess:
        self._ready = asyncio.get_running_loop().create_future()
        self._process = WorkerProcess(self._factory, self._on_message, log_level=self._log_level)
        return self._process

    async def _await_ready(self, process: WorkerProcess) -> WorkerInfo:
        assert self._ready is not None
        ready = self._ready

        def give_up(_: asyncio.Future[None]) -> None:
            if not ready.done():
                ready.set_exception(WorkerStoppedError("the device worker ended while it started"))

        process.ended.add_done_callback(give_up)
        limit_s = self._settings.start_timeout_s
        try:
            async with asyncio.timeout(limit_s):
                self._info = await ready
        except TimeoutError as cause:
            raise WorkerStoppedError(
                f"expected the device worker to be ready within {limit_s:g} s, it was not"
            ) from cause
        self._last_sign_at = time.monotonic()
        self._set_up(True)
        logger.info("worker ready", extra={"pid": process.pid, "device": self._info.device})
        self._dispatch()
        return self._info

    async def _supervise(self, process: WorkerProcess) -> None:
        failures_in_a_row = 0
        while True:
            is_ready = self._is_up
            if is_ready:
                await self._watch(process)
            self._set_up(False)
            self._process = None
            self._requeue_running()
            await process.reap()
            self._metrics.worker_restarts.inc()
            failures_in_a_row = 1 if is_ready else failures_in_a_row + 1
            await asyncio.sleep(self._backoff_s(failures_in_a_row))
            process = self._spawn()
            try:
                await self._await_ready(process)
            except WorkerStoppedError as error:
                logger.error("worker restart failed", extra={"reason": error.message})
                process.kill()

    async def _watch(self, process: WorkerProcess) -> None:
        """Return when the process has ended; make it end when it hangs."""
        stall_s = self._settings.stall_timeout_s
        while not process.ended.done():
            await asyncio.wait({process.ended}, timeout=stall_s / 4)
            silent_s = time.monotonic() - self._last_sign_at
            if self._running and silent_s > stall_s:
                logger.error("worker hangs", extra={"silent_s": round(silent_s, 1)})
                process.kill()
                await process.ended

    def _backoff_s(self, failures_in_a_row: int) -> float:
        if failures_in_a_row <= 1:
            return 0.0
        doubled = self._settings.backoff_s * 2.0 ** min(failures_in_a_row - 2, 30)
        return min(doubled, self._settings.backoff_max_s)

    def _requeue_running(self) -> None:
        for ticket in reversed(self._running.values()):
            if ticket.attempts < MAX_ATTEMPTS:
                self._queue.appendleft(ticket)
            else:
                _fail(ticket, InferenceError("the device worker ended twice while this job ran"))
        self._running.clear()
        self._show_levels()

    def _dispatch(self) -> None:
        """Hand queued jobs to the worker, as many as may run; a job run again runs alone."""
        while self._is_up and self._queue and len(self._running) < self._settings.max_running:
            ticket = self._queue[0]
            is_shared = all(other.attempts < MAX_ATTEMPTS for other in self._running.values())
            if self._running and (ticket.attempts > 0 or not is_shared):
                break
            self._queue.popleft()
            if not self._running:
                self._last_sign_at = time.monotonic()
            ticket.attempts += 1
            self._running[ticket.number] = ticket
            assert self._process is not None
            self._process.send(Submit(ticket.number, ticket.job))
        self._show_levels()

    def _drop(self, ticket: _Ticket) -> None:
        with suppress(ValueError):
            self._queue.remove(ticket)
        if self._running.pop(ticket.number, None) is not None and self._process is not None:
            self._process.send(Cancel(ticket.number))
        self._dispatch()

    def _on_message(self, process: WorkerProcess, message: FromWorker) -> None:
        if process is not self._process:
            return  # From a worker that was given up: its jobs are no longer its own.
        self._last_sign_at = time.monotonic()
        match message:
            case Ready(info):
                if self._ready is not None and not self._ready.done():
                    self._ready.set_result(info)
            case StartFailed(reason):
                if self._ready is not None and not self._ready.done():
                    self._ready.set_exception(WorkerStoppedError(reason))
            case Started(number, at):
                if number in self._running:
                    self._running[number].started_at = at
            case BatchDone(windows, seconds):
                self._metrics.batch_windows.observe(windows)
                self._metrics.batch_seconds.observe(seconds)
            case Finished(number, at):
                self._settle(number, at)
            case Failed(number, error):
                self._settle(number, error)

    def _settle(self, number: int, outcome: float | FusionError) -> None:
        ticket = self._running.pop(number, None)
        if ticket is None:
            return  # Cancelled while the message was on its way.
        if isinstance(outcome, FusionError):
            _fail(ticket, outcome)
        elif not ticket.settled.done():
            ticket.settled.set_result(
                FuseTimes(ticket.started_at - ticket.queued_at, outcome - ticket.started_at)
            )
        self._dispatch()

    def _set_up(self, is_up: bool) -> None:
        self._is_up = is_up
        self._metrics.worker_up.set(is_up)

    def _show_levels(self) -> None:
        self._metrics.queue_jobs.set(len(self._queue))
        self._metrics.running_jobs.set(len(self._running))


def _fail(ticket: _Ticket, error: FusionError) -> None:
    if not ticket.settled.done():
        ticket.settled.set_exception(error)
