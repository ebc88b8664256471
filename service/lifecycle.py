"""Makes the parts of a running service, starts them, drains and stops them."""

import asyncio
import logging
import os
import resource
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from expofuse.files.headers import PixelLimits
from model.errors import FusionError
from model.exposure import MAX_EXPOSURES
from service.admission import PIXELS_PER_MEGAPIXEL, Admission
from service.codec.pool import CodecPool, CodecPoolConfig
from service.codec.wear import WearLimits
from service.device.job_queue import JobQueue
from service.device.workers import DeviceWorkers
from service.errors import OpenFilesError, ReloadError, WorkerStoppedError
from service.keys.ring import KeyRing
from service.logs import count_dropped_lines
from service.loop_lag import watch_loop_lag
from service.memory_budget import BYTES_PER_MEGAPIXEL, fit_memory
from service.metrics import Metrics
from service.processes.block_pool import BlockPool
from service.processes.freed_memory import give_back_regularly
from service.processes.memory import count_private_bytes
from service.processes.shared_memory import (
    require_shared_memory,
    shared_memory_free_bytes,
    shared_memory_size_bytes,
    sweep_stale_blocks,
)
from service.reloads import Reloads
from service.served_weights import WorkerInfo
from service.settings import LimitSettings, Settings

if TYPE_CHECKING:
    from service.tracing import Tracing

SHARED_MEMORY_SHARE = 0.9
"""What of the free shared memory is counted on; the rest is left to others."""

RESERVED_FILES = 40
"""Open files beside connections: pipes of child processes, shared memory, those of libraries."""

MIN_CONNECTIONS = 8
"""Fewer would not do for one browser and a probe."""

MAX_OPEN_FILES = 65_536

logger = logging.getLogger(__name__)


def fit_limits(limits: LimitSettings, free_bytes: int) -> LimitSettings:
    """Lower the budget of megapixels to the shared memory there is, and say so.

    Args:
        limits: As set.
        free_bytes: Free bytes of /dev/shm.

    Returns:
        The limits that are enforced and published.

    Raises:
        SharedMemoryError: Not even one megapixel fits; the message says what to do.
    """
    room = free_bytes * SHARED_MEMORY_SHARE / BYTES_PER_MEGAPIXEL
    if room >= limits.max_megapixels_in_flight:
        return limits
    require_shared_memory(round(BYTES_PER_MEGAPIXEL / SHARED_MEMORY_SHARE))
    logger.warning(
        "shared memory is smaller than the budget of megapixels; the budget is lowered. "
        "Give the container more, for instance with --shm-size",
        extra={
            "free_mib": free_bytes >> 20,
            "wanted_mib": int(limits.max_megapixels_in_flight * BYTES_PER_MEGAPIXEL) >> 20,
            "max_megapixels_in_flight": round(room, 1),
        },
    )
    return limits.model_copy(
        update={
            "max_megapixels_in_flight": room,
            "max_megapixels": min(limits.max_megapixels, room),
        }
    )


def fit_connections(limits: LimitSettings, max_open_files: int) -> LimitSettings:
    """Lower the bound of connections to the files that this process may open, and say so.

    Args:
        limits: As set.
        max_open_files: Files that this process may have open at one time.

    Returns:
        The limits that are enforced and published.

    Raises:
        OpenFilesError: Hardly anybody could be served.
    """
    room = max_open_files - RESERVED_FILES
    if room < MIN_CONNECTIONS:
        raise OpenFilesError(
            f"expected at least {RESERVED_FILES + MIN_CONNECTIONS} open files to be allowed, got "
            f"{max_open_files}; `ulimit -n` or LimitNOFILE raises them"
        )
    if room >= limits.max_connections:
        return limits
    logger.warning(
        "the open files allowed are fewer than the bound of connections; the bound is lowered",
        extra={"max_open_files": max_open_files, "max_connections": room},
    )
    return limits.model_copy(update={"max_connections": room})


def raise_open_files() -> int:
    """Allow this process as many open files as its hard limit does.

    Returns:
        How many that are.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MAX_OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, MAX_OPEN_FILES)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return max(soft, wanted)


@dataclass(frozen=True, slots=True)
class ServiceStatus:
    """Whether new requests should come here, and if not, why."""

    is_ready: bool
    reason: str


class Service:
    """Everything that a request meets on its way, made once and passed down.

    Args:
        settings: All settings.
        worker_command: Starts the device worker's process.
        renew_command: The command by which weights are reloaded; None: the same again.
        metrics: Of the process; None makes new ones.
        tracing: Makes the spans of requests and jobs; None: there are none.

    Attributes:
        settings: As given.
        limits: The bounds that are enforced.
        metrics: All metrics.
        reloads: What SIGHUP lets be read again.
        admission: Budgets.
        codec: Processes that decode, align and encode.
        device: The device worker, which fuses, behind its queue.
        blocks: Shared memory of all jobs.
        keys: Who may ask.
        tracing: As given.
    """

    def __init__(
        self,
        settings: Settings,
        worker_command: Sequence[str],
        *,
        renew_command: Callable[[], Sequence[str]] | None = None,
        metrics: Metrics | None = None,
        tracing: "Tracing | None" = None,
    ) -> None:
        self.settings = settings
        self.tracing = tracing
        limits = fit_limits(settings.limits, shared_memory_free_bytes())
        limits = fit_memory(limits, codec_processes=settings.codec.count)
        self.limits = fit_connections(limits, raise_open_files())
        self.metrics = metrics or Metrics()
        self.reloads = Reloads()
        self.reloads.add("weights", self.reload_weights)
        self.keys = KeyRing(settings.keys, self.metrics)
        if self.keys.is_needed:
            self.reloads.add("keys", self.keys.reload)
        self.admission = Admission(self.limits, self.metrics)
        supervision = settings.worker.supervision
        self.codec = CodecPool(
            CodecPoolConfig(
                processes=settings.codec.count,
                call_timeout_s=settings.codec.timeout_s,
                memory_limit_bytes=self.codec_memory_bytes,
                cpu_limit_s=settings.codec.cpu_s,
                sandbox=settings.codec.sandbox,
                wear=WearLimits(settings.codec.recycle_calls, settings.codec.recycle_growth_bytes),
                # As many decodings a job at most; admission refuses before this bound does.
                max_waiting=MAX_EXPOSURES * settings.limits.max_jobs,
                limits=self.pixel_limits,
                abandon_grace_s=settings.codec.abandon_grace_s,
                supervision=supervision,
                log_level=settings.log_level,
                jpeg_device=settings.jpeg_device,
            ),
            self.metrics,
        )
        renew = renew_command or (lambda: worker_command)
        self.device = DeviceWorkers(
            self._make_queue(worker_command),
            renew=lambda: self._make_queue(renew()),
            drain_timeout_s=settings.drain_timeout_s,
        )
        self.blocks = BlockPool(
            int(self.limits.max_megapixels_in_flight * BYTES_PER_MEGAPIXEL),
            [self.codec, self.device],
        )
        self.metrics.show_ready(lambda: self.status.is_ready)
        self.metrics.show_processes(
            codec=self.codec,
            worker=self.device,
            codec_alive=lambda: self.codec.alive,
            codec_renewals=lambda: self.codec.renewals,
        )
        self.metrics.show_shared_memory(
            held=lambda: self.blocks.held_bytes,
            idle=lambda: self.blocks.idle_bytes,
            free=shared_memory_free_bytes,
            size=shared_memory_size_bytes,
        )
        self.metrics.show_memory(
            {
                "loop": lambda: count_private_bytes([os.getpid()]),
                "codec": lambda: count_private_bytes(self.codec.pids),
                "worker": lambda: count_private_bytes(self.device.pids),
            }
        )
        self.metrics.show_dropped_log_lines(count_dropped_lines)
        self._watches: list[asyncio.Task[None]] = []
        backlog = self.admission.backlog
        bounds = self.limits.model_dump()
        self.metrics.show_limits(bounds)
        self.metrics.show_waiting(
            expected_s=lambda: backlog.expect_wait_s(backlog.make_turn(0.0, "")),
            rate=lambda: backlog.rate,
        )
        logger.info("budgets", extra=bounds)
        self._is_draining = False
        self._stopping: asyncio.Task[None] | None = None

    @property
    def pixel_limits(self) -> PixelLimits:
        """The bounds of one image."""
        return PixelLimits(
            max_pixels=int(self.limits.max_megapixels * PIXELS_PER_MEGAPIXEL),
            max_side_px=self.limits.max_side_px,
        )

    @property
    def codec_memory_bytes(self) -> int:
        """Private memory that one codec call may add; never more than there is."""
        assert self.limits.memory_bytes is not None  # `fit_memory` sets it.
        return min(self.settings.codec.memory_bytes, self.limits.memory_bytes)

    @property
    def status(self) -> ServiceStatus:
        """Readiness: load does not change it; processes that are not there, and draining, do."""
        if self._is_draining:
            return ServiceStatus(False, "the service is draining")
        if not self.device.is_ready:
            return ServiceStatus(False, "the device worker is not warmed up")
        if not self.codec.alive:
            return ServiceStatus(False, "no codec process is warmed up")
        return ServiceStatus(True, "")

    @property
    def info(self) -> WorkerInfo:
        """What is served, and on what."""
        info = self.device.info
        if info is None:
            raise WorkerStoppedError("the device worker was never ready")
        return info

    def _make_queue(self, worker_command: Sequence[str]) -> JobQueue:
        settings = self.settings
        return JobQueue(
            worker_command,
            limits=settings.worker.supervision,
            max_running=settings.worker.max_running,
            max_queued=settings.limits.max_jobs,
            metrics=self.metrics,
        )

    async def start(self) -> None:
        """Start every process and wait until all are warmed up.

        Raises:
            FusionError: A part did not come up; the message is one sentence.
        """
        removed = sweep_stale_blocks()
        if removed:
            logger.warning("removed stale shared memory", extra={"blocks": removed})
        outcomes = await asyncio.gather(
            self.device.start(), self.codec.start(), return_exceptions=True
        )
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                await self.stop()
                raise outcome
        self.metrics.show_weights(self.info)
        watch = watch_loop_lag(self.metrics.loop_lag_seconds.observe)
        self._watches = [
            asyncio.create_task(watch, name="loop-lag"),
            asyncio.create_task(give_back_regularly(), name="freed-memory"),
        ]

    async def reload_weights(self) -> None:
        """Serve the weights as they lie there now; requests under way finish with those they chose.

        Raises:
            ReloadError: They do not pass their checks; what was served is served on.
        """
        try:
            info = await self.device.reload()
        except FusionError as cause:
            self.metrics.weights_reloads.labels("refused").inc()
            logger.error("weights are not reloaded", extra={"reason": cause.message})
            raise ReloadError(cause.message) from cause
        self.metrics.show_weights(info)
        self.metrics.weights_reloads.labels("reloaded").inc()
        labels = [one.label for one in info.weights]
        logger.info("weights are reloaded", extra={"weights": labels})

    def begin_draining(self) -> None:
        """Flip readiness; requests are still taken, until the balancer has noticed."""
        self._is_draining = True
        self.metrics.draining.set(1)

    async def drain(self, timeout_s: float) -> bool:
        """Refuse new jobs and wait for the accepted ones.

        Args:
            timeout_s: How long they may take.

        Returns:
            Whether all were settled in time.
        """
        self.begin_draining()
        self.admission.close()
        try:
            async with asyncio.timeout(timeout_s):
                await self.admission.wait_idle()
        except TimeoutError:
            logger.error("drain timed out", extra={"jobs": self.admission.jobs})
            return False
        return True

    async def stop(self) -> None:
        """Refuse new jobs, answer those that are left with a problem, end every process.

        A second call waits for the first, and goes on where that was cancelled.
        """
        if self._stopping is None:
            self._stopping = asyncio.create_task(self._stop())
        await asyncio.shield(self._stopping)

    async def _stop(self) -> None:
        self.begin_draining()
        self.admission.close()
        for watch in self._watches:
            watch.cancel()
        # Before the queues forget what runs: nothing that comes back now is used again.
        await self.blocks.close()
        # Together: neither end may keep the other's processes alive.
        await asyncio.gather(self.device.stop(), self.codec.stop())
