"""The event loop's side of the device worker: a bounded queue of jobs, and one answer for each.

`service.device.child` is the other side of the pipe.
"""

import asyncio
import itertools
import logging
import math
import os
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from model.errors import FusionError, InferenceError
from service.device.messages import (
    DEVICE_WIRE,
    EXIT_LOST_DEVICE,
    BatchDone,
    Cancel,
    Cancelled,
    Failed,
    Finished,
    FromWorker,
    FuseJob,
    OutOfMemory,
    Ready,
    Started,
    Submit,
    ToWorker,
)
from service.errors import QueueFullError, WorkerStoppedError, error_from_code
from service.metrics import Metrics
from service.processes.child_end import ChildEnd
from service.processes.child_process import SOURCE_ROOT, ChildProgram, UnexpectedMessageError
from service.processes.supervision_limits import SupervisionLimits
from service.processes.supervisor import Supervisor
from service.processes.suspicion import Suspicion
from service.served_weights import WorkerInfo
from service.turns import AT_ONCE, Turn

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
    turn: Turn
    settled: asyncio.Future[FuseTimes]
    queued_at: float
    started_at: float = 0.0
    suspicion: Suspicion = field(default_factory=Suspicion)

    def fail(self, error: FusionError) -> None:
        if not self.settled.done():
            self.settled.set_exception(error)


class JobQueue:
    """Runs jobs on a worker process that is replaced when it ends or hangs.

    Jobs are run in the order of their turns. A job has one of `max_running` places, or a further
    one if it goes before all of them, from the moment it is sent until the worker has said how
    it ended, also when nobody waits for it any more: so the pipe holds a bounded number of
    messages, whatever the worker does. A job that was running when the worker ended is run again,
    alone where it may be the cause, until it must be, see `Suspicion`: so a job that brings the
    worker down fails by itself. Queued jobs wait for the replacement.

    Args:
        command: Starts the worker's process; the parent's process id is added.
        limits: How patient its supervisor is.
        max_running: Jobs whose windows share the device at one time, but for one that goes before
            all of them.
        max_queued: Jobs that may wait; one more is refused at once.
        metrics: Where the levels are shown.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        limits: SupervisionLimits,
        max_running: int,
        max_queued: int,
        metrics: Metrics,
    ) -> None:
        environment = {**os.environ, "PYTHONPATH": str(SOURCE_ROOT)}
        program: ChildProgram[ToWorker, FromWorker] = ChildProgram(
            "device worker", command, environment, DEVICE_WIRE, Ready
        )
        self._supervisor = Supervisor(program, self, limits)
        self._max_running = max_running
        self._max_queued = max_queued
        self._metrics = metrics
        self._numbers = itertools.count()
        self._queue: deque[_Ticket] = deque()
        self._running: dict[int, _Ticket] = {}
        self._info: WorkerInfo | None = None
        self._is_stopping = False
        self._shown = (0, 0, 0)

    @property
    def is_ready(self) -> bool:
        """The worker is alive and warmed up."""
        return self._supervisor.is_up and not self._is_stopping

    @property
    def info(self) -> WorkerInfo | None:
        """What the worker runs; None before the first one was ready."""
        return self._info

    @property
    def pid(self) -> int | None:
        """Process id of the worker that is alive, None between two of them."""
        return self._supervisor.pid

    @property
    def restarts(self) -> int:
        """Workers that had to be replaced so far."""
        return self._supervisor.restarts

    @property
    def start_failures(self) -> int:
        """Starts of a worker that failed so far."""
        return self._supervisor.start_failures

    @property
    def violations(self) -> int:
        """Workers that said what they had no reason to say."""
        return self._supervisor.violations

    def is_using(self, block: str) -> bool:
        """The worker has a job that may touch the block of this name."""
        return any(
            descriptor.name == block
            for ticket in self._running.values()
            for descriptor in ticket.job.blocks
        )

    def ping(self) -> None:
        """Have the worker come round, see `Supervisor.ping`."""
        self._supervisor.ping()

    async def start(self) -> WorkerInfo:
        """Start the first worker and wait until it is warmed up.

        Raises:
            ChildStartError: It did not come up; the message is the worker's own.
        """
        await self._supervisor.start()
        assert self._info is not None
        return self._info

    async def stop(self) -> None:
        """End the worker; jobs that are left are answered with `WorkerStoppedError`."""
        self._is_stopping = True
        is_idle = self._supervisor.is_up and not self._running
        left = [*self._running.values(), *self._queue]
        self._running.clear()
        self._queue.clear()
        self._show_levels()
        for ticket in left:
            ticket.fail(WorkerStoppedError("the service stopped before the job was done"))
        await self._supervisor.stop(is_graceful=is_idle)

    async def fuse(self, job: FuseJob, *, turn: Turn = AT_ONCE) -> FuseTimes:
        """Have a stack fused into its output; a cancelled caller's job is dropped.

        Args:
            job: What is to be fused.
            turn: When it is run.

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
        ticket = _Ticket(next(self._numbers), job, turn, settled, time.monotonic())
        self._queue.insert(self._find_room(ticket), ticket)
        self._dispatch()
        try:
            return await settled
        finally:
            if settled.cancelled():
                self._drop(ticket)

    def find_place(self, job: FuseJob) -> int:
        """Which of the jobs that wait this one is, from 1; 0 where it is begun, or not here."""
        sent = [ticket for ticket in self._running.values() if not ticket.started_at]
        for place, ticket in enumerate([*sent, *self._queue], start=1):
            if ticket.job is job:
                return place
        return 0

    @property
    def is_child_excused(self) -> bool:
        """See `ChildOwner`: a worker's loop comes round between two micro-batches."""
        return False

    def on_child_up(self, ready: FromWorker) -> None:
        """See `ChildOwner`."""
        assert isinstance(ready, Ready)
        self._info = ready.info
        self._dispatch()

    def bound_payload(self, message: FromWorker) -> int:
        """See `ChildOwner`: pictures pass through shared memory."""
        return 0

    def on_child_message(self, message: FromWorker, payload: bytes) -> None:
        """See `ChildOwner`."""
        match message:
            case BatchDone(windows, seconds, n_bytes) if (
                windows >= 1 and 0 <= seconds < math.inf and n_bytes >= 0
            ):
                self._metrics.batch_windows.observe(windows)
                self._metrics.batch_seconds.observe(seconds)
                self._metrics.device_memory_bytes.set(n_bytes)
            case OutOfMemory():
                self._metrics.device_out_of_memory.inc()
            case Started(number, at) if self._can_start(number, at):
                self._running[number].started_at = at
            case Finished(number, at) if self._can_finish(number, at):
                ticket = self._release(number)
                if not ticket.settled.done():
                    queue_s = ticket.started_at - ticket.queued_at
                    ticket.settled.set_result(FuseTimes(queue_s, at - ticket.started_at))
            case Failed(number, code, text) if number in self._running:
                self._release(number).fail(error_from_code(code, text))
            case Cancelled(number) if number in self._running and self._is_left(number):
                self._release(number)
            case _:
                raise UnexpectedMessageError(type(message).__name__)
        self._dispatch()

    def on_child_down(self, end: ChildEnd) -> None:
        """See `ChildOwner`: what was running goes back to the head of the queue.

        A job that met an end before lets those that wait go first: each of its trials may cost
        them another start.
        """
        self._metrics.device_memory_bytes.set(0)
        if end.exit_status == EXIT_LOST_DEVICE:
            self._metrics.device_lost.inc()
        was_alone = len(self._running) == 1
        left = [one for one in self._running.values() if not one.settled.done()]
        self._running.clear()
        for ticket in left:
            ticket.started_at = 0.0
            ticket.suspicion.note(end, was_alone=was_alone)
            if ticket.suspicion.is_cause:
                ticket.fail(_explain_end(ticket.suspicion.ends))
            elif ticket.suspicion.ends > 1:
                self._queue.append(ticket)
        firsts = [one for one in left if one.suspicion.ends == 1]
        self._queue.extendleft(reversed(firsts))
        self._show_levels()

    def _dispatch(self) -> None:
        """Hand queued jobs to the worker, as many as may run; a job under suspicion runs alone."""
        while self._supervisor.is_up and self._queue and self._has_place(self._queue[0]):
            ticket = self._queue[0]
            together = [ticket, *self._running.values()]
            if self._running and any(one.suspicion.must_run_alone for one in together):
                break
            self._queue.popleft()
            self._running[ticket.number] = ticket
            self._supervisor.send(Submit(ticket.number, ticket.job, ticket.turn.rank))
        self._show_levels()

    def _has_place(self, ticket: _Ticket) -> bool:
        """Whether a job may run; one that goes before all others need not wait for their end."""
        running = [other.turn.rank for other in self._running.values()]
        if len(running) == self._max_running:
            return ticket.turn.rank < min(running)
        return len(running) < self._max_running

    def _find_room(self, ticket: _Ticket) -> int:
        """Where a job queues: by its turn, but behind those that are run again."""
        for place, other in enumerate(self._queue):
            if not other.suspicion.ends and other.turn.rank > ticket.turn.rank:
                return place
        return len(self._queue)

    def _drop(self, ticket: _Ticket) -> None:
        """Forget a queued job; a running one keeps its place until the worker has let it go."""
        if ticket in self._queue:  # what `remove` says of one that is not there has its whole job
            self._queue.remove(ticket)
        if ticket.number in self._running:
            self._supervisor.send(Cancel(ticket.number))
        self._show_levels()

    def _can_start(self, number: int, at: float) -> bool:
        """The job runs and has not begun; the clock is that of all processes."""
        ticket = self._running.get(number)
        if ticket is None or ticket.started_at:
            return False
        return ticket.queued_at <= at <= time.monotonic()

    def _can_finish(self, number: int, at: float) -> bool:
        ticket = self._running.get(number)
        if ticket is None or not ticket.started_at:
            return False
        return ticket.started_at <= at <= time.monotonic()

    def _is_left(self, number: int) -> bool:
        """Nobody waits for the job: the worker was told so."""
        return self._running[number].settled.done()

    def _release(self, number: int) -> _Ticket:
        return self._running.pop(number)

    def _show_levels(self) -> None:
        """Add what has changed: while weights are reloaded another worker shows its levels too."""
        metrics = self._metrics
        levels = (len(self._queue), len(self._running), int(self.is_ready))
        gauges = (metrics.queue_jobs, metrics.running_jobs, metrics.worker_up)
        for gauge, now, shown in zip(gauges, levels, self._shown, strict=True):
            gauge.inc(now - shown)
        self._shown = levels


def _explain_end(ends: int) -> InferenceError:
    return InferenceError(f"expected a result, got {ends} device workers that ended at this job")
