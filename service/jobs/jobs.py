"""The jobs of a service: accepted, kept, run and told of, in a folder that outlives it."""

import asyncio
import hashlib
import logging
import sqlite3
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO, Final

from service.errors import (
    JobGoneError,
    JobLostError,
    JobNotFoundError,
    StorageFullError,
    WorkerStoppedError,
)
from service.fusing.path import Fusion
from service.jobs.deliveries import Deliveries
from service.jobs.folder import KINDS, JobFolder
from service.jobs.job import Job, NewJob, StoredForm, StoredProblem, make_job_id
from service.jobs.runner import JobRunner
from service.jobs.store import Ahead, JobStore
from service.jobs.threads import JobThreads
from service.jobs.webhooks import ListedHosts, read_secret
from service.lifecycle import Service
from service.request_record import RequestRecord

HOUSEKEEPING_S: Final = 1.0
"""Between two looks for what was kept long enough."""

LEAST_WORK_S: Final = 0.1
"""Of a job of any size, in seconds."""

MAX_LISTED: Final = 1000
PICTURE_OVERHEAD_BYTES: Final = 2**20
"""What a picture file may have beside its samples: metadata, and what a format adds."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class JobView:
    """A job, and how far it is at this moment.

    Attributes:
        job: As it is kept.
        ahead: What is begun before it, where it waits.
        record: Of its run, where it runs.
        expected_s: Seconds after which it is expected to be over; None where it is.
    """

    job: Job
    ahead: Ahead | None
    record: RequestRecord | None
    expected_s: float | None


class Jobs:
    """All jobs of a service.

    Args:
        state_dir: Folder in which they outlive it.
        service: What fuses; not started yet, or not for long.

    Attributes:
        listed: Where webhooks may go.

    Raises:
        JobsSetupError: The folder or a setting cannot be used.
    """

    def __init__(self, state_dir: Path, service: Service) -> None:
        settings = service.settings.jobs
        self.listed = ListedHosts.read(settings.webhook_hosts)
        secret = read_secret(settings)
        self._service = service
        self._settings = settings
        self._folder = JobFolder(state_dir)
        self._threads = JobThreads()
        try:
            self._store = self._threads.open_store(
                lambda: JobStore(self._folder.database_path, settings)
            )
        except BaseException:
            self._threads.close()
            self._folder.close()
            raise
        self._runner = JobRunner(
            service, self._store, self._folder, self._threads, on_end=self._on_end
        )
        self._deliveries = Deliveries(
            settings,
            self.listed,
            secret,
            self._store,
            self._threads,
            lambda outcome: service.metrics.webhook_calls.labels(outcome).inc(),
            service.tracing,
        )
        self._tasks: list[asyncio.Task[None]] = []
        self._acceptances: set[asyncio.Task[str]] = set()
        self._is_stopped = False

    async def start(self) -> None:
        """Take up what a service before left, and begin to run jobs."""
        lost = JobLostError("expected the service to outlive the job, it was killed every time")
        found = await self._threads.ask(
            self._store.recover, StoredProblem(code=lost.code, detail=lost.message), time.time()
        )
        kept = {"exposures": found.exposures, "pictures": found.pictures}
        strays = 0
        for kind in KINDS:
            strays += await self._threads.handle(self._folder.sweep, kind, kept[kind])
        logger.info(
            "jobs",
            extra={
                "waiting": len(found.exposures),
                "kept": len(found.pictures),
                "requeued": found.requeued,
                "lost": found.lost,
                "strays": strays,
            },
        )
        await self._show()
        for work in (self._runner.work(), self._deliveries.work(), self._keep_house()):
            self._tasks.append(asyncio.create_task(work))

    def hold(self) -> None:
        """Begin no job from now on; those that run go on, and others are still taken."""
        self._runner.hold()

    async def stop(self) -> None:
        """Let the jobs that run wait for the next start, and close the folder."""
        if self._is_stopped:
            return
        self._is_stopped = True
        self.hold()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, *self._acceptances, return_exceptions=True)
        await self._runner.stop()
        await self._deliveries.stop()
        await self._threads.ask(self._store.close)
        await asyncio.to_thread(self._threads.close)
        self._folder.close()

    async def check_open(self) -> None:
        """Refuse before a body is read, where it is certain that its job would be refused.

        Raises:
            WorkerStoppedError: The service is draining.
            QueueFullError: As many jobs as may wait do.
        """
        if self._is_stopped:
            raise WorkerStoppedError("the service is stopping and takes no new jobs")
        await self._threads.ask(self._store.check_waiting)

    async def accept(
        self,
        fusion: Fusion,
        record: RequestRecord,
        *,
        webhook: str | None = None,
        idempotency_key: str | None = None,
    ) -> str:
        """Accept a job; when this returns it is on the disk.

        Args:
            fusion: From `judge`.
            record: Of the request.
            webhook: URL to call when it is over; checked by `listed`.
            idempotency_key: The same form with the same key by the same caller is one job.

        Returns:
            Its id.

        Raises:
            WorkerStoppedError: The service is draining.
            QueueFullError: As many jobs as may wait do.
            StorageFullError: There is no room for it.
            BodyTooLargeError: There would be none in an empty folder either.
        """
        if self._is_stopped:
            raise WorkerStoppedError("the service is stopping and takes no new jobs")
        job = _make_job(fusion, record, webhook)
        key = None if idempotency_key is None else f"{record.caller}\n{idempotency_key}"
        # A client that leaves now must not leave half a job behind.
        acceptance = asyncio.create_task(self._accept(job, list(fusion.form.files), key))
        self._acceptances.add(acceptance)
        acceptance.add_done_callback(self._acceptances.discard)
        return await asyncio.shield(acceptance)

    async def view(self, job_id: str, caller: str) -> JobView:
        """A job, and how far it is.

        Raises:
            JobNotFoundError: There is none, or it is another caller's.
        """
        return await self._view(await self._find(job_id, caller))

    async def view_all(self, caller: str) -> list[JobView]:
        """The jobs of one caller, the last accepted first."""
        jobs = await self._threads.ask(self._store.list_of, caller, MAX_LISTED)
        return [await self._view(job) for job in jobs]

    async def end(self, job_id: str, caller: str) -> None:
        """Cancel a job that is not over; remove one that is.

        Raises:
            JobNotFoundError: There is none, or it is another caller's.
        """
        await self._find(job_id, caller)
        if await self._threads.ask(self._store.cancel, job_id, time.time()):
            await self._runner.cancel(job_id)
        else:
            await self._threads.ask(self._store.remove, job_id)
        for kind in KINDS:
            await self._threads.handle(self._folder.remove, kind, job_id)
        self._on_end()

    async def open_picture(self, job: Job) -> BinaryIO:
        """The picture of a job that is done, open to be read.

        Raises:
            JobGoneError: It has expired at this moment.
        """
        try:
            return await self._threads.handle(self._folder.open, "pictures", job.id)
        except FileNotFoundError as cause:
            raise JobGoneError("expected a picture that is kept, it has expired") from cause

    async def _accept(
        self, job: NewJob, files: Sequence[bytes | bytearray], key: str | None
    ) -> str:
        try:
            gone = await self._threads.ask(self._store.reserve, job, time.time())
            await self._remove_pictures(gone)
            submission = await self._threads.handle(self._write, job, files, key)
            accepted = await self._threads.ask(self._store.confirm, job.id, submission)
        except BaseException as error:
            with suppress(OSError, sqlite3.Error):
                await self._threads.ask(self._store.remove, job.id)
                await self._threads.handle(self._folder.remove, "exposures", job.id)
            if isinstance(error, OSError | sqlite3.Error):
                logger.error("a job cannot be kept", exc_info=error)
                raise StorageFullError(
                    "expected a disk that takes the job, got a refusal"
                ) from error
            raise
        if accepted != job.id:
            await self._threads.handle(self._folder.remove, "exposures", job.id)
        self._on_end()
        return accepted

    def _write(
        self, job: NewJob, files: Sequence[bytes | bytearray], key: str | None
    ) -> str | None:
        """Write the exposures; the name of the submission, where the client gave it one."""
        self._folder.write("exposures", job.id, files)
        if key is None:
            return None
        form = job.form.model_dump_json(exclude={"trace_headers"})
        digest = hashlib.sha256(f"{key}\n{form}\n{job.webhook}\n".encode())
        for file in files:
            digest.update(file)
        return digest.hexdigest()

    async def _find(self, job_id: str, caller: str) -> Job:
        job = await self._threads.ask(self._store.find, job_id)
        if job is None or not job.is_of(caller):
            raise JobNotFoundError("expected the id of a job, got another")
        return job

    async def _view(self, job: Job) -> JobView:
        running = self._runner.find(job.id) if job.state == "running" else None
        pace, slots = self._runner.pace, self._settings.max_running
        if running is not None:
            spent_s = time.monotonic() - running.begin
            expected_s = max(0.0, job.work_s * pace - spent_s)
            return JobView(job, None, running.record, expected_s)
        if job.state in ("queued", "running"):
            ahead = await self._threads.ask(self._store.count_ahead, job)
            return JobView(job, ahead, None, (ahead.work_s / slots + job.work_s) * pace)
        return JobView(job, None, None, None)

    def _on_end(self) -> None:
        self._runner.wake()
        self._deliveries.wake()

    async def _keep_house(self) -> None:
        while True:
            try:
                await self._remove_pictures(
                    await self._threads.ask(self._store.expire, time.time())
                )
                await self._show()
            except (OSError, sqlite3.Error):
                logger.exception("the folder of the jobs cannot be kept in order")
            await asyncio.sleep(HOUSEKEEPING_S)

    async def _remove_pictures(self, ids: Sequence[str]) -> None:
        for one in ids:
            await self._threads.handle(self._folder.remove, "pictures", one)

    async def _show(self) -> None:
        states = await self._threads.ask(self._store.count_states)
        n_bytes = await self._threads.ask(self._store.count_bytes)
        self._service.metrics.show_stored_jobs(states, n_bytes)


def _make_job(fusion: Fusion, record: RequestRecord, webhook: str | None) -> NewJob:
    """What is kept of a request: its format is settled now, by its `Accept`."""
    form, options = fusion.form, fusion.options
    sample_bytes = 2 if 16 in {header.bits for header in fusion.headers} else 1
    largest_px = max(header.pixels for header in fusion.headers)
    return NewJob(
        id=make_job_id(),
        caller=record.caller,
        request_id=record.request_id,
        form=StoredForm(
            options=replace(options, format=fusion.encoding.format),
            fields=form.fields,
            sizes=[len(file) for file in form.files],
            trace_headers=dict(record.trace_headers),
        ),
        work_s=LEAST_WORK_S + sum(fusion.work.values()),
        picture_bytes=3 * sample_bytes * largest_px + PICTURE_OVERHEAD_BYTES,
        webhook=webhook,
    )
