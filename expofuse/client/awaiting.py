"""The client for event loops: the calls of `Client`, awaited."""

import os
import ssl
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractContextManager, asynccontextmanager
from types import TracebackType
from typing import BinaryIO, Self, TypeVar, Unpack

import anyio
import httpx
from anyio import to_thread

from expofuse.answers import ENDED_STATES, Health, JobList, JobStatus, Readiness, Version, Weights
from expofuse.client.errors import BusyError, ClientError
from expofuse.client.exchange import (
    DEFAULT_TIMEOUT_S,
    DEFAULT_URL,
    HEALTH_PATH,
    JOBS_PATH,
    MAX_PROBLEM_BYTES,
    READY_PATH,
    Connection,
    ModelT,
    Request,
    ask_to_fuse,
    ask_to_keep,
    check_success,
    choose_api_key,
    explain_waiting,
    path_of_job,
    plan_polls,
    read_fused,
    read_model,
    read_refusal,
)
from expofuse.client.exposures import Exposure
from expofuse.client.fused import Fused
from expofuse.client.options import FuseOptions
from expofuse.client.report import Report
from expofuse.client.retries import DEFAULT_RETRIES, Attempts, Retries, count_retries
from expofuse.client.state import Limits, ReadyState
from expofuse.files.writing.destination import open_sink

T = TypeVar("T")


class AsyncClient:
    """Fuses through a running service; the tasks of one event loop may share it.

    Arguments and errors are those of `Client`.

    Example:
        >>> async def fuse_all(brackets):
        ...     async with AsyncClient() as client:
        ...         return await asyncio.gather(*(client.fuse(one) for one in brackets))
    """

    def __init__(
        self,
        url: str = DEFAULT_URL,
        *,
        timeout_s: float = DEFAULT_TIMEOUT_S,
        retries: int | Retries = DEFAULT_RETRIES,
        headers: Mapping[str, str] | None = None,
        verify: ssl.SSLContext | bool = True,
        api_key: str | None = None,
    ) -> None:
        self._connection = Connection(
            url, timeout_s, count_retries(retries), headers or {}, choose_api_key(api_key)
        )
        self._http = httpx.AsyncClient(
            base_url=url,
            headers=self._connection.all_headers,
            timeout=self._connection.timeout,
            verify=verify,
            trust_env=self._connection.trusts_environment,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close its connections."""
        await self._http.aclose()

    async def fuse(self, exposures: Sequence[Exposure], **options: Unpack[FuseOptions]) -> Fused:
        """Fuse the exposures of one scene; see `Client.fuse`.

        Args:
            exposures: Two to nine, in any order: paths, bytes, or files open in binary mode.
            **options: See `FuseOptions`.
        """
        async with self._ask(ask_to_fuse(exposures, options)) as response:
            report = check_success(response)
            await response.aread()
            return read_fused(report, response)

    async def fuse_to(
        self,
        destination: str | os.PathLike[str] | BinaryIO,
        exposures: Sequence[Exposure],
        **options: Unpack[FuseOptions],
    ) -> Report:
        """Fuse the exposures of one scene into a file; see `Client.fuse_to`.

        Args:
            destination: Path of a file, which is written whole or not at all, or a file open in
                binary mode; it is written in another thread.
            exposures: See `fuse`.
            **options: See `FuseOptions`.
        """
        async with self._ask(ask_to_fuse(exposures, options)) as response:
            report = check_success(response)
            async with _in_thread(open_sink(destination)) as file:
                async for piece in response.aiter_bytes():
                    await to_thread.run_sync(file.write, piece)
        return report

    async def submit(
        self,
        exposures: Sequence[Exposure],
        *,
        webhook: str | None = None,
        **options: Unpack[FuseOptions],
    ) -> JobStatus:
        """Have the exposures of one scene fused without waiting; see `Client.submit`.

        Args:
            exposures: See `fuse`.
            webhook: URL that the service calls when the job is over, where its operator lists it.
            **options: See `FuseOptions`.
        """
        return await self._read(ask_to_keep(exposures, options, webhook), JobStatus)

    async def job(self, job_id: str) -> JobStatus:
        """How far a job is.

        Args:
            job_id: From `submit`.
        """
        return await self._get(path_of_job(job_id), JobStatus)

    async def jobs(self) -> list[JobStatus]:
        """The jobs of this client's API key, the last accepted first; see `Client.jobs`."""
        return (await self._get(JOBS_PATH, JobList)).jobs

    async def wait(self, job_id: str, *, timeout_s: float | None = None) -> JobStatus:
        """Wait until a job is over: done, failed, cancelled or expired; see `Client.wait`.

        Args:
            job_id: From `submit`.
            timeout_s: How long, in seconds; None: however long it takes.
        """
        job = await self.job(job_id)
        for pause_s in plan_polls(timeout_s):
            if job.state in ENDED_STATES:
                return job
            await anyio.sleep(pause_s)
            job = await self.job(job_id)
        if job.state in ENDED_STATES:
            return job
        raise explain_waiting(job, timeout_s)

    async def result(self, job_id: str) -> Fused:
        """The picture of a job that is done; see `Client.result`.

        Args:
            job_id: From `submit`.
        """
        async with self._ask(Request(path_of_job(job_id) + "/result")) as response:
            report = check_success(response)
            await response.aread()
            return read_fused(report, response)

    async def cancel(self, job_id: str) -> None:
        """Cancel a job that waits or runs; remove one that is over, with its picture.

        Args:
            job_id: From `submit`.
        """
        async with self._ask(Request(path_of_job(job_id), method="DELETE")):
            pass

    async def health(self) -> Health:
        """Whether the service answers; where it does not, an error says why."""
        return await self._get(HEALTH_PATH, Health)

    async def ready(self) -> ReadyState:
        """Whether requests should go there: a value that is true where they should."""
        try:
            await self._get(READY_PATH, Readiness)
        except BusyError as error:
            return ReadyState(is_ready=False, reason=error.detail or error.title)
        return ReadyState(is_ready=True)

    async def limits(self) -> Limits:
        """The bounds of the service."""
        return await self._get("limits", Limits)

    async def version(self) -> Version:
        """What runs there, and on what."""
        return await self._get("version", Version)

    async def weights(self) -> Weights:
        """The versions of weights that the option `weights` may name."""
        return await self._get("weights", Weights)

    async def _get(self, path: str, kind: type[ModelT]) -> ModelT:
        return await self._read(Request(path), kind)

    async def _read(self, request: Request, kind: type[ModelT]) -> ModelT:
        async with self._ask(request) as response:
            await response.aread()
            return read_model(kind, response)

    @asynccontextmanager
    async def _ask(self, request: Request) -> AsyncIterator[httpx.Response]:
        """The head of an answer of success, its body to be read; tries as often as it may."""
        response = await self._send(request)
        try:
            yield response
        except httpx.RequestError as cause:
            raise self._connection.explain(cause) from cause
        finally:
            await response.aclose()

    async def _send(self, request: Request) -> httpx.Response:
        attempts = Attempts(self._connection.retries, is_repeated=request.is_repeated)
        while True:
            error: ClientError
            try:
                with request.build(self._http) as built:
                    response = await self._http.send(built, stream=True)
                if response.is_success:
                    return response
                error = read_refusal(response, await self._read_refusal(response))
            except httpx.RequestError as cause:
                error = self._connection.explain(cause)
            pause_s = attempts.pause_after(error)
            if pause_s is None:
                raise error
            await anyio.sleep(pause_s)

    async def _read_refusal(self, response: httpx.Response) -> bytes:
        body = bytearray()
        try:
            async for piece in response.aiter_bytes():
                body += piece
                if len(body) > MAX_PROBLEM_BYTES:
                    break
        finally:
            await response.aclose()
        return bytes(body)


@asynccontextmanager
async def _in_thread(manager: AbstractContextManager[T]) -> AsyncIterator[T]:
    """Enter and leave a context in another thread: opening, syncing and renaming files wait."""
    value = await to_thread.run_sync(manager.__enter__)
    try:
        yield value
    except BaseException as error:
        with anyio.CancelScope(shield=True):
            await to_thread.run_sync(manager.__exit__, type(error), error, error.__traceback__)
        raise
    await to_thread.run_sync(manager.__exit__, None, None, None)
