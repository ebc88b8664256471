"""Runs in the device worker's process: owns the device and batches windows across jobs.

`service.device.job_queue` is the other side of its pipe.
"""

import gc
import logging
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from model.errors import FusionError, InferenceError
from model.exposure import ExposureStack, Pixels
from model.ghosts.packing import unpack_ghost
from model.registration import Registration
from model.side_by_side import alone
from model.tiling import Window
from service.device.backend import (
    Backend,
    BackendConfig,
    BackendFactory,
    FailureKind,
    create_backend,
)
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
from service.device.schedule import WindowSchedule
from service.errors import SharedMemoryError
from service.logs import configure_logs
from service.processes.child_side import (
    ParentPipe,
    follow_parent,
    stand_in_when_memory_is_short,
)
from service.processes.freed_memory import KeptMemory, give_back_freed_memory
from service.processes.known_blocks import KnownBlocks
from service.processes.wire import Ping, Stop

if TYPE_CHECKING:
    from model.pipeline import FusionRun

OOM_SCORE = 250
"""Dearer to lose than a codec process, cheaper than the event loop, which knows all requests."""

logger = logging.getLogger(__name__)


class LostDeviceError(Exception):
    """The device failed for good; only a new process can use it again."""


@dataclass(slots=True)
class _RunningJob:
    run: "FusionRun"
    is_alone: bool
    has_started: bool = False


class Worker:
    """The loop's state: jobs on the device and the windows still to be computed.

    Args:
        backend: The calls into the pipeline.
        send: Takes every message to the event loop's process.
    """

    def __init__(self, backend: Backend, send: Callable[[FromWorker], None]) -> None:
        self._backend = backend
        self._send = send
        self._known = KnownBlocks()
        self._jobs: dict[int, _RunningJob] = {}
        self._schedule: WindowSchedule = WindowSchedule()
        self._batch_limits = _full_batches(backend)

    @property
    def is_idle(self) -> bool:
        """No job is running."""
        return not self._jobs

    def submit(self, number: int, job: FuseJob, *, rank: float = 0.0) -> None:
        """Take a job in; a job that cannot begin fails alone.

        Args:
            number: The job's.
            job: What is to be fused.
            rank: Of its turn; the lowest one is first.

        Raises:
            LostDeviceError: The device failed; the process has to end.
        """
        try:
            exposures = tuple(self._known.attach(one) for one in job.exposures)
            stack = ExposureStack(exposures, job.order)
            run = self._begin(job, stack, self._known.attach(job.output))
        except (FusionError, ValueError, RuntimeError, MemoryError) as error:
            if self._backend.classify(error) == "device":
                raise LostDeviceError from error
            self._report_failure(number, job.weights, error)
            return
        self._jobs[number] = _RunningJob(run, job.is_alone)
        self._schedule.add(number, run.passes, weights=job.weights, rank=rank)

    def cancel(self, number: int) -> None:
        """Drop what is left of a job and say so; one that has ended has said so already."""
        if number in self._jobs:
            self._release(number)
            self._send(Cancelled(number))

    def forget_gone_blocks(self) -> None:
        """Unmap the blocks that were removed."""
        self._known.forget_gone()

    def step(self) -> None:
        """Compute one micro-batch, if there is one.

        Raises:
            LostDeviceError: The device failed; the process has to end.
        """
        weights = self._schedule.next_weights
        if weights is None:
            return
        batch = self._schedule.next_batch(
            self._batch_limits[weights], shared=self._backend.pipelines[weights].shared_batch
        )
        for number in {number for number, _ in batch}:
            job = self._jobs[number]
            if not job.has_started:
                job.has_started = True
                self._send(Started(number, time.monotonic()))
        self._fuse(weights, batch)
        if self.is_idle:
            self._batch_limits = _full_batches(self._backend)

    def _begin(self, job: FuseJob, stack: ExposureStack, output: Pixels) -> "FusionRun":
        """Plan a job; what it keeps between its passes is on the device, whose memory may lack."""
        pipeline = self._backend.pipelines[job.weights]
        ghosts = None
        if job.ghosts is not None:
            ghosts = tuple(None if one is None else unpack_ghost(one) for one in job.ghosts)
        registration = Registration(job.reference, job.alignment, ghosts)
        try:
            return pipeline.begin(stack, registration, output)
        except (RuntimeError, MemoryError) as error:
            if self._backend.classify(error) != "memory":
                raise
        self._make_room()
        return pipeline.begin(stack, registration, output)

    def _fuse(self, weights: str, batch: Sequence[tuple[int, Window]]) -> None:
        failed = self._attempt(weights, batch)
        if failed is None:
            self._count_done(batch)
            return
        kind, error = failed
        numbers = {number for number, _ in batch}
        if kind == "device":
            raise LostDeviceError from error
        if kind == "memory":
            self._make_room()
        if kind == "memory" and len(batch) > 1:
            limit = self._batch_limits[weights] = max(1, len(batch) // 2)
            logger.warning("out of memory", extra={"windows": len(batch), "weights": weights})
            self._fuse_parts(weights, [batch[:limit], batch[limit:]])
        elif len(numbers) > 1:
            # One of these jobs is the culprit; the others lose nothing but a little time.
            parts = [[item for item in batch if item[0] == one] for one in numbers]
            self._fuse_parts(weights, parts)
        else:
            self._release(batch[0][0])
            self._report_failure(batch[0][0], weights, error)

    def _attempt(
        self, weights: str, batch: Sequence[tuple[int, Window]]
    ) -> tuple[FailureKind, Exception] | None:
        pipeline = self._backend.pipelines[weights]
        begin = time.monotonic()
        try:
            is_alone = len(self._jobs) == 1 and self._jobs[batch[0][0]].is_alone
            with alone(is_alone=is_alone):
                pipeline.fuse_windows([(self._jobs[number].run, one) for number, one in batch])
        except Exception as error:
            kind = self._backend.classify(error)
            if kind == "memory":
                # The original's traceback would keep the very tensors alive that did not fit.
                return kind, InferenceError("the device's memory does not hold one window")
            return kind, error
        seconds = time.monotonic() - begin
        self._send(BatchDone(len(batch), seconds, self._backend.measure_memory()))
        return None

    def _make_room(self) -> None:
        self._send(OutOfMemory())
        self._backend.free_memory()

    def _fuse_parts(self, weights: str, parts: Sequence[Sequence[tuple[int, Window]]]) -> None:
        for part in parts:
            alive = [(number, window) for number, window in part if number in self._jobs]
            if alive:
                self._fuse(weights, alive)

    def _count_done(self, batch: Sequence[tuple[int, Window]]) -> None:
        for number, _ in batch:
            if self._schedule.count_fused(number):
                self._release(number)
                self._send(Finished(number, time.monotonic()))

    def _report_failure(self, number: int, weights: str, error: Exception) -> None:
        job = {"job": number, "weights": weights}
        if isinstance(error, SharedMemoryError):
            # The owner removes a block only after it gave the job up: a Cancel is on its way.
            logger.info("job is gone", extra=job)
            typed: FusionError = error
        elif isinstance(error, FusionError):
            logger.error("job failed", exc_info=error, extra=job)
            typed = error
        else:
            logger.error("job failed", exc_info=error, extra=job)
            typed = InferenceError(f"the fusion failed with {type(error).__name__}")
        self._send(Failed(number, typed.code, typed.message))

    def _release(self, number: int) -> None:
        self._schedule.drop(number)
        self._jobs.pop(number, None)


def _full_batches(backend: Backend) -> dict[str, int]:
    return {label: pipeline.max_batch for label, pipeline in backend.pipelines.items()}


def run_worker(factory: BackendFactory, pipe: ParentPipe[ToWorker, FromWorker]) -> None:
    """Load, warm up, say so, then compute until told to stop or left alone.

    Args:
        factory: Makes the backend, in this process.
        pipe: To the event loop's process.

    Raises:
        LostDeviceError: The device is lost; this process has to end.
    """
    kept = KeptMemory()
    try:
        backend = factory()
        for pipeline in backend.pipelines.values():
            pipeline.warm_up()
    except (FusionError, ValueError, RuntimeError, MemoryError) as error:
        logger.error("start failed", exc_info=error)
        message = error.message if isinstance(error, FusionError) else str(error)
        pipe.write_start_failed(message or type(error).__name__)
        return
    gc.freeze()  # What the start made lives as long as the process: never walk it again.
    give_back_freed_memory()
    with suppress(BrokenPipeError):
        pipe.write(Ready(backend.info))
        _serve(pipe, Worker(backend, pipe.write), kept)


def _serve(pipe: ParentPipe[ToWorker, FromWorker], worker: Worker, kept: KeptMemory) -> None:
    while True:
        while worker.is_idle or pipe.has_message():
            head = pipe.read()
            match None if head is None else head[0]:
                case Submit(number, job, rank):
                    worker.submit(number, job, rank=rank)
                case Cancel(number):
                    worker.cancel(number)
                case Ping():
                    worker.forget_gone_blocks()
                    kept.give_back_when_quiet()
                    pipe.write_pong()
                case Stop() | None:
                    return
        worker.step()
        kept.note_work()


def run_process(factory: BackendFactory, *, log_level: str, parent_pid: int) -> None:
    """The whole life of the device worker's process.

    Args:
        factory: Makes the backend.
        log_level: Least severe level that is logged.
        parent_pid: The event loop's process; this one ends when it does.
    """
    follow_parent(parent_pid)
    stand_in_when_memory_is_short(OOM_SCORE)
    configure_logs(log_level)
    pipe = ParentPipe.take(DEVICE_WIRE)
    try:
        run_worker(factory, pipe)
    except LostDeviceError as error:
        logger.error("device lost", exc_info=error)
        pipe.close()
        sys.exit(EXIT_LOST_DEVICE)


def main() -> None:
    """Run the real backend. Arguments: its config as JSON, log level, the parent's process id."""
    config = BackendConfig.from_json(sys.argv[1])
    run_process(partial(create_backend, config), log_level=sys.argv[2], parent_pid=int(sys.argv[3]))


if __name__ == "__main__":
    main()
