"""Runs the jobs that wait, in what requests leave of the service.

A job is begun while fewer jobs are admitted than there are codec processes, so that a request finds
one free; where requests leave nothing for `patience_s`, one job is begun all the same. Callers take
turns, and of each caller the job that has waited longest comes first. A job that was running when
the service was killed runs once more; one that was so twice runs alone from then on, so that no
other is blamed for the deaths it causes, and is given up after `max_attempts`.
"""

import asyncio
import hashlib
import logging
import sqlite3
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from model.errors import FusionError
from service.errors import DeadlineError, JobLostError, QueueFullError, WorkerStoppedError
from service.fusing.path import FusedPicture, judge, run_fusion
from service.jobs.folder import JobFolder
from service.jobs.job import Job, StoredPicture, StoredProblem
from service.jobs.store import JobStore
from service.jobs.threads import JobThreads
from service.lifecycle import Service
from service.logs import request_id_of_context
from service.problem_types import INTERNAL_CODE, find_row, kind_of
from service.request_record import RequestRecord
from service.scarcity import find_scarcity

POLL_S: Final = 0.1
"""Between two looks whether requests have left something."""

PAUSE_S: Final = 0.5
"""Before a job is tried again that the service had no room for; doubles each time."""

LONGEST_PAUSE_S: Final = 5.0
STORAGE_PAUSE_S: Final = 5.0
"""Before what the disk did not take is written again."""

TIMEOUT_S: Final = 900.0
"""Of one run, waiting for its turn in the codec processes and on the device included."""

ALONE_AFTER: Final = 2
"""Times that a job was running when the service was killed, after which it runs alone."""

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class Running:
    """A job that runs.

    Attributes:
        job: As it was when it was begun.
        record: How far it is.
        task: Runs it.
        is_saving: It is fused, and is not ended any more.
        begin: `time.monotonic()` at its begin.
    """

    job: Job
    record: RequestRecord
    task: asyncio.Task[None] | None = None
    is_saving: bool = False
    begin: float = field(default_factory=time.monotonic)


class JobRunner:
    """Runs jobs until it is stopped.

    Args:
        service: What fuses.
        store: Knows the jobs.
        folder: Holds their files.
        threads: On which both are used.
        on_end: Called when a job has come to its end.
    """

    def __init__(
        self,
        service: Service,
        store: JobStore,
        folder: JobFolder,
        threads: JobThreads,
        on_end: Callable[[], None],
    ) -> None:
        self._service = service
        self._store = store
        self._folder = folder
        self._threads = threads
        self._on_end = on_end
        self._settings = service.settings.jobs
        self._running: dict[str, Running] = {}
        self._turns: dict[str, int] = {}
        self._turn = 0
        self._blocked_since: float | None = None
        self._wake = asyncio.Event()
        self._is_held = False
        self._pace = 1.0

    @property
    def pace(self) -> float:
        """Measured seconds of a run for each second of work that was expected."""
        return self._pace

    def find(self, job_id: str) -> Running | None:
        """A job that runs."""
        return self._running.get(job_id)

    def wake(self) -> None:
        """Look for a job that waits."""
        self._wake.set()

    def hold(self) -> None:
        """Begin no job from now on; those that run go on."""
        self._is_held = True

    async def work(self) -> None:
        """Begin jobs until cancelled."""
        while True:
            self._wake.clear()
            has_waiting = False
            try:
                has_waiting = await self._begin_next()
            except sqlite3.Error:
                logger.exception("jobs cannot be begun")
                has_waiting = True
            # Without one that waits only `wake` can bring one.
            with suppress(TimeoutError):
                async with asyncio.timeout(POLL_S if has_waiting else None):
                    await self._wake.wait()

    async def cancel(self, job_id: str) -> None:
        """End the run of a job that was cancelled in the store."""
        running = self._running.get(job_id)
        if running is not None and not running.is_saving and running.task is not None:
            running.task.cancel()

    async def stop(self) -> None:
        """Let what runs wait again, but what is fused already, and end."""
        self.hold()
        tasks = []
        for running in self._running.values():
            if running.task is not None:
                tasks.append(running.task)
                if not running.is_saving:
                    running.task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _begin_next(self) -> bool:
        """Begin one job where that may be; whether another one may wait."""
        if self._is_held or len(self._running) >= self._settings.max_running:
            return False
        heads = await self._threads.ask(self._store.list_heads)
        self._turns = {one.caller: self._turns.get(one.caller, 0) for one in heads}
        if not heads:
            self._blocked_since = None
            return False
        job = min(heads, key=lambda one: self._turns[one.caller])
        if not self._may_begin(job):
            return True
        self._turn += 1
        self._turns[job.caller] = self._turn
        self._blocked_since = None
        if not await self._threads.ask(self._store.begin, job.id, time.time()):
            self._wake.set()
            return True  # It was cancelled at this moment.
        record = RequestRecord(
            job.request_id, self._service.limits.retry_after_s, caller=job.caller
        )
        running = self._running[job.id] = Running(job, record)
        running.task = asyncio.create_task(self._run(running), name=f"job-{job.number}")
        self._wake.set()
        return True

    def _may_begin(self, job: Job) -> bool:
        alone = [job, *(one.job for one in self._running.values())]
        if self._running and any(one.attempts >= ALONE_AFTER for one in alone):
            return False
        try:
            self._service.admission.check_open()
        except (QueueFullError, WorkerStoppedError):
            is_left = is_urgent = False
        else:
            is_left = self._service.admission.jobs < self._service.settings.codec.count
            is_urgent = self._blocked_for() >= self._settings.patience_s
        if is_left or is_urgent:
            return True
        self._blocked_since = self._blocked_since or time.monotonic()
        return False

    def _blocked_for(self) -> float:
        return 0.0 if self._blocked_since is None else time.monotonic() - self._blocked_since

    async def _run(self, running: Running) -> None:
        """Run one job to its end, or let it wait again where the service stops."""
        job = running.job
        request_id_of_context.set(job.request_id)
        try:
            await self._settle(running)
        except asyncio.CancelledError:
            # Cancelled by its caller it waits no more, and this changes nothing.
            with suppress(sqlite3.Error):
                await self._threads.ask(self._store.give_back, job.id)
        except Exception:
            logger.exception("a job could not be brought to its end")
        finally:
            del self._running[job.id]
            self._wake.set()
            self._on_end()

    async def _settle(self, running: Running) -> None:
        job = running.job
        try:
            fused = await self._fuse_patiently(running)
        except FusionError as error:
            row = find_row(error)
            if row.is_internal:
                logger.error("job failed", exc_info=error, extra={"code": error.code})
            await self._save_problem(running, StoredProblem(code=error.code, detail=error.message))
        except Exception:
            logger.exception("unexpected error", extra={"code": INTERNAL_CODE})
            await self._save_problem(running, StoredProblem(code=INTERNAL_CODE, detail=""))
        else:
            running.is_saving = True
            try:
                await self._save_picture(running, fused)
            finally:
                fused.allowance.release()
            seconds = time.monotonic() - running.begin
            self._pace += (seconds / job.work_s - self._pace) / 8
        record, tracing = running.record, self._service.tracing
        self._service.metrics.jobs_ended.labels(kind_of(record.outcome)).inc()
        if tracing is not None:
            tracing.note_job(
                record, job.form.trace_headers, begin=running.begin, attempt=job.attempts + 1
            )
        logger.info(
            "job",
            extra={
                "outcome": record.outcome,
                "seconds": round(time.monotonic() - running.begin, 4),
                "attempts": job.attempts + 1,
            },
        )

    async def _fuse_patiently(self, running: Running) -> FusedPicture:
        """Fuse, as often as the service has no room for it."""
        pause_s = PAUSE_S
        while True:
            try:
                return await self._fuse(running)
            except FusionError as error:
                if not find_row(error).may_retry:
                    raise
            except (OSError, MemoryError) as error:
                if find_scarcity(error) is None:
                    raise
                logger.error("a job waits until the system has room again", exc_info=error)
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    async def _fuse(self, running: Running) -> FusedPicture:
        job, service = running.job, self._service
        with service.admission.hold_upload() as upload:
            upload.take(sum(job.form.sizes))
            try:
                form = await self._threads.handle(
                    lambda: job.form.fill(self._folder.read("exposures", job.id))
                )
            except FileNotFoundError as cause:
                raise JobLostError(
                    "expected the exposures of the job in the folder, they are gone"
                ) from cause
            fusion = judge(form, job.form.options, "", service)
            try:
                async with asyncio.timeout(TIMEOUT_S):
                    return await run_fusion(fusion, upload, running.record, service)
            except TimeoutError as cause:
                raise DeadlineError(f"expected a picture within {TIMEOUT_S:g} s") from cause

    async def _save_picture(self, running: Running, fused: FusedPicture) -> None:
        job_id = running.job.id
        digest = await self._threads.handle(lambda: hashlib.sha256(fused.picture).hexdigest())
        stored = StoredPicture(
            media_type=fused.media_type,
            headers=fused.headers,
            digest=digest,
            n_bytes=len(fused.picture),
        )

        async def save() -> None:
            await self._threads.handle(self._folder.write, "pictures", job_id, [fused.picture])
            is_done = await self._threads.ask(self._store.finish, job_id, stored, time.time())
            if not is_done:
                await self._threads.handle(self._folder.remove, "pictures", job_id)
            await self._threads.handle(self._folder.remove, "exposures", job_id)

        await self._keep_trying(save, n_bytes=len(fused.picture))

    async def _save_problem(self, running: Running, problem: StoredProblem) -> None:
        job_id = running.job.id
        running.is_saving = True
        running.record.outcome = problem.code

        async def save() -> None:
            await self._threads.ask(self._store.fail, job_id, problem, time.time())
            await self._threads.handle(self._folder.remove, "exposures", job_id)

        await self._keep_trying(save, n_bytes=0)

    async def _keep_trying(
        self, save: Callable[[], Coroutine[None, None, None]], *, n_bytes: int
    ) -> None:
        """Save until the disk takes it, while finished jobs give way; a stop ends that."""
        while True:
            try:
                await save()
                return
            except (OSError, sqlite3.Error) as error:
                logger.error("what became of a job cannot be written", exc_info=error)
            if self._is_held:
                return
            with suppress(sqlite3.Error):
                for gone in await self._threads.ask(self._store.give_way, n_bytes):
                    await self._threads.handle(self._folder.remove, "pictures", gone)
            await asyncio.sleep(STORAGE_PAUSE_S)
