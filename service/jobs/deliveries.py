"""Calls the webhooks of jobs that are done or have failed, until each is taken or given up."""

import asyncio
import json
import logging
import sqlite3
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext, suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from expofuse.errors import OptionError
from expofuse.package_version import package_version
from service.jobs.job import Job
from service.jobs.store import LONGEST_PAUSE_S, JobStore
from service.jobs.threads import JobThreads
from service.jobs.webhooks import ListedHosts, Target, WebhookError, send, sign
from service.metrics import WebhookOutcome
from service.request_record import TraceHeaders
from service.settings import JobSettings

if TYPE_CHECKING:
    from service.tracing import Tracing

FIRST_PAUSE_S: Final = 1.0
"""Before the second attempt; doubles each time."""

MAX_AT_ONE_TIME: Final = 4
POLL_S: Final = 1.0

logger = logging.getLogger(__name__)


def write_event(job: Job) -> bytes:
    """The body of a job's webhook, the same in all attempts.

    Args:
        job: That is done or has failed.
    """
    finished = datetime.fromtimestamp(job.finished_s or 0.0, UTC)
    data = {
        "id": job.id,
        "state": "failed" if job.problem else "done",
        "job": path_of_job(job.id),
        "result": path_of_result(job.id),
        "request_id": job.request_id,
    }
    event = {"type": f"job.{data['state']}", "timestamp": finished.isoformat(), "data": data}
    return json.dumps(event).encode()


def path_of_job(job_id: str) -> str:
    """Where a job is asked about."""
    return f"/jobs/{job_id}"


def path_of_result(job_id: str) -> str:
    """Where its picture is fetched, or why there is none."""
    return f"/jobs/{job_id}/result"


def message_id_of(job: Job) -> str:
    """Names a job's webhook in all attempts at it; a receiver takes it once."""
    return f"msg_{job.id}"


def plan_pause_s(failures: int, *, total_s: float) -> float | None:
    """How long to wait after so many failures; None: no more attempts.

    Args:
        failures: At least 1.
        total_s: What all pauses together come to at most.

    Example:
        >>> [plan_pause_s(failures, total_s=6.0) for failures in (1, 2, 3)]
        [1.0, 2.0, None]
    """
    pauses = [min(FIRST_PAUSE_S * 2.0 ** min(n, 32), LONGEST_PAUSE_S) for n in range(failures)]
    return pauses[-1] if sum(pauses) <= total_s else None


class Deliveries:
    """Delivers webhooks until it is stopped; what is not delivered then is after the next start.

    Args:
        settings: Of the jobs.
        listed: Where webhooks may go.
        secret: Signs them.
        store: Knows the jobs.
        threads: On which it is used.
        count: Told of every attempt and of every end.
        tracing: Makes the spans of calls; None: there are none.
    """

    def __init__(
        self,
        settings: JobSettings,
        listed: ListedHosts,
        secret: bytes,
        store: JobStore,
        threads: JobThreads,
        count: Callable[[WebhookOutcome], None],
        tracing: "Tracing | None" = None,
    ) -> None:
        self._settings = settings
        self._listed = listed
        self._secret = secret
        self._store = store
        self._threads = threads
        self._count = count
        self._tracing = tracing
        self._calls: dict[str, asyncio.Task[None]] = {}
        self._wake = asyncio.Event()

    def wake(self) -> None:
        """Look for a webhook that is due."""
        self._wake.set()

    async def work(self) -> None:
        """Call what is due until cancelled."""
        while True:
            self._wake.clear()
            try:
                await self._call_due()
            except sqlite3.Error:
                logger.exception("webhooks cannot be looked up")
            with suppress(TimeoutError):
                async with asyncio.timeout(POLL_S):
                    await self._wake.wait()

    async def stop(self) -> None:
        """End the calls that are being made; they are made again after the next start."""
        for call in self._calls.values():
            call.cancel()
        await asyncio.gather(*self._calls.values(), return_exceptions=True)

    async def _call_due(self) -> None:
        due = await self._threads.ask(self._store.list_due, time.time(), 2 * MAX_AT_ONE_TIME)
        for job in due:
            if len(self._calls) >= MAX_AT_ONE_TIME:
                return
            if job.id not in self._calls:
                self._calls[job.id] = asyncio.create_task(self._deliver(job), name="webhook")

    async def _deliver(self, job: Job) -> None:
        try:
            await self._attempt(job)
        except sqlite3.Error:
            logger.exception("what became of a webhook cannot be written")
        finally:
            del self._calls[job.id]
            self._wake.set()

    async def _attempt(self, job: Job) -> None:
        body = write_event(job)
        headers = {"User-Agent": f"expofuse/{package_version()}"} | sign(
            self._secret,
            message_id=message_id_of(job),
            timestamp_s=int(time.time()),
            body=body,
        )
        try:
            target = self._listed.check(job.webhook or "")
            with self._tracing_call(job, target) as trace_headers:
                await send(target, self._listed, headers | dict(trace_headers), body)
        except OptionError:
            # It was accepted, and the operator has taken its host from the list since.
            await self._give_up(job, "refused")
        except WebhookError as error:
            self._count("failed")
            logger.warning("webhook failed", extra={"reason": str(error)})
            failures = job.webhook_attempts + 1
            pause_s = plan_pause_s(failures, total_s=self._settings.webhook_retry_s)
            if error.is_final or pause_s is None:
                await self._give_up(job, "given-up")
            else:
                due_s = time.time() + pause_s
                await self._threads.ask(self._store.postpone_webhook, job.id, due_s)
        else:
            self._count("delivered")
            await self._threads.ask(self._store.settle_webhook, job.id, is_delivered=True)

    def _tracing_call(self, job: Job, target: Target) -> AbstractContextManager[TraceHeaders]:
        if self._tracing is None:
            return nullcontext({})
        return self._tracing.calling_webhook(
            job.form.trace_headers,
            host=target.origin.host,
            port=target.origin.port,
            attempt=job.webhook_attempts + 1,
        )

    async def _give_up(self, job: Job, outcome: WebhookOutcome) -> None:
        self._count(outcome)
        await self._threads.ask(self._store.settle_webhook, job.id, is_delivered=False)
