"""The client that waits: each call returns when its answer is there."""

import os
import ssl
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import BinaryIO, Self, Unpack

import httpx

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


class Client:
    """Fuses through a running service; threads may share it.

    Every call may raise a `ClientError`: `NoAnswerError` where the service cannot be reached, a
    `ProblemError` where it refuses or fails, `UnexpectedAnswerError` where something else answers.

    Args:
        url: Of the service.
        timeout_s: Longest time without a byte sent or received, in seconds.
        retries: How often a request is sent again that met a busy service or a lost connection.
        headers: Sent with every request, for a proxy that wants to know who asks.
        verify: Whose certificates are trusted over https, and which one is shown; True: those of
            known authorities, or of the file that SSL_CERT_FILE names for other machines than
            this one; False: anybody's.
        api_key: For a service that asks for one; None takes that of `EXPOFUSE_API_KEY`, or of the
            file that `EXPOFUSE_API_KEY_FILE` names, where the environment has them.

    Raises:
        UsageError: The URL is none, or the key cannot be sent.
        OSError: The file of the key cannot be read.

    Example:
        >>> with Client() as client:  # doctest: +SKIP
        ...     client.fuse(["dark.jpg", "bright.jpg"], format="png").save("fused.png")
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
        self._http = httpx.Client(
            base_url=url,
            headers=self._connection.all_headers,
            timeout=self._connection.timeout,
            verify=verify,
            trust_env=self._connection.trusts_environment,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close its connections."""
        self._http.close()

    def fuse(self, exposures: Sequence[Exposure], **options: Unpack[FuseOptions]) -> Fused:
        """Fuse the exposures of one scene.

        Args:
            exposures: Two to nine, in any order: paths, bytes, or files open in binary mode. Files
                are read while they are sent.
            **options: See `FuseOptions`.

        Returns:
            The picture and how it came about.

        Raises:
            ClientError: See the class.
            OSError: A file cannot be read.
        """
        with self._ask(ask_to_fuse(exposures, options)) as response:
            report = check_success(response)
            response.read()
            return read_fused(report, response)

    def fuse_to(
        self,
        destination: str | os.PathLike[str] | BinaryIO,
        exposures: Sequence[Exposure],
        **options: Unpack[FuseOptions],
    ) -> Report:
        """Fuse the exposures of one scene into a file, which is written as the answer comes.

        Args:
            destination: Path of a file, which is written whole or not at all, or a file open in
                binary mode.
            exposures: See `fuse`.
            **options: See `FuseOptions`.

        Returns:
            How the picture came about.

        Raises:
            ClientError: See the class.
            OSError: A file cannot be read or written.
        """
        with self._ask(ask_to_fuse(exposures, options)) as response:
            report = check_success(response)
            with open_sink(destination) as file:
                for piece in response.iter_bytes():
                    file.write(piece)
        return report

    def submit(
        self,
        exposures: Sequence[Exposure],
        *,
        webhook: str | None = None,
        **options: Unpack[FuseOptions],
    ) -> JobStatus:
        """Have the exposures of one scene fused without waiting for the picture.

        Args:
            exposures: See `fuse`.
            webhook: URL that the service calls when the job is over, where its operator lists it.
            **options: See `FuseOptions`.

        Returns:
            The job: its `id` is what the other calls take, and a secret.

        Raises:
            ClientError: See the class.
            OSError: A file cannot be read.
        """
        return self._read(ask_to_keep(exposures, options, webhook), JobStatus)

    def job(self, job_id: str) -> JobStatus:
        """How far a job is.

        Args:
            job_id: From `submit`.
        """
        return self._get(path_of_job(job_id), JobStatus)

    def jobs(self) -> list[JobStatus]:
        """The jobs of this client's API key, the last accepted first.

        Raises:
            ProblemError: The client has no key: without one only who knows a job's id sees it.
            ClientError: See the class.
        """
        return self._get(JOBS_PATH, JobList).jobs

    def wait(self, job_id: str, *, timeout_s: float | None = None) -> JobStatus:
        """Wait until a job is over: done, failed, cancelled or expired.

        Args:
            job_id: From `submit`.
            timeout_s: How long, in seconds; None: however long it takes.

        Raises:
            AnswerTimeoutError: It was not over in time.
            ClientError: See the class.
        """
        job = self.job(job_id)
        for pause_s in plan_polls(timeout_s):
            if job.state in ENDED_STATES:
                return job
            time.sleep(pause_s)
            job = self.job(job_id)
        if job.state in ENDED_STATES:
            return job
        raise explain_waiting(job, timeout_s)

    def result(self, job_id: str) -> Fused:
        """The picture of a job that is done.

        Args:
            job_id: From `submit`.

        Raises:
            ProblemError: It failed, with the error that `fuse` would have raised; or it is not
                done, or its picture is gone.
            ClientError: See the class.
        """
        with self._ask(Request(path_of_job(job_id) + "/result")) as response:
            report = check_success(response)
            response.read()
            return read_fused(report, response)

    def cancel(self, job_id: str) -> None:
        """Cancel a job that waits or runs; remove one that is over, with its picture.

        Args:
            job_id: From `submit`.
        """
        with self._ask(Request(path_of_job(job_id), method="DELETE")):
            pass

    def health(self) -> Health:
        """Whether the service answers; where it does not, an error says why."""
        return self._get(HEALTH_PATH, Health)

    def ready(self) -> ReadyState:
        """Whether requests should go there: a value that is true where they should."""
        try:
            self._get(READY_PATH, Readiness)
        except BusyError as error:
            return ReadyState(is_ready=False, reason=error.detail or error.title)
        return ReadyState(is_ready=True)

    def limits(self) -> Limits:
        """The bounds of the service."""
        return self._get("limits", Limits)

    def version(self) -> Version:
        """What runs there, and on what."""
        return self._get("version", Version)

    def weights(self) -> Weights:
        """The versions of weights that the option `weights` may name."""
        return self._get("weights", Weights)

    def _get(self, path: str, kind: type[ModelT]) -> ModelT:
        return self._read(Request(path), kind)

    def _read(self, request: Request, kind: type[ModelT]) -> ModelT:
        with self._ask(request) as response:
            response.read()
            return read_model(kind, response)

    @contextmanager
    def _ask(self, request: Request) -> Iterator[httpx.Response]:
        """The head of an answer of success, its body to be read; tries as often as it may."""
        response = self._send(request)
        try:
            yield response
        except httpx.RequestError as cause:
            raise self._connection.explain(cause) from cause
        finally:
            response.close()

    def _send(self, request: Request) -> httpx.Response:
        attempts = Attempts(self._connection.retries, is_repeated=request.is_repeated)
        while True:
            error: ClientError
            try:
                with request.build(self._http) as built:
                    response = self._http.send(built, stream=True)
                if response.is_success:
                    return response
                error = read_refusal(response, self._read_refusal(response))
            except httpx.RequestError as cause:
                error = self._connection.explain(cause)
            pause_s = attempts.pause_after(error)
            if pause_s is None:
                raise error
            time.sleep(pause_s)

    def _read_refusal(self, response: httpx.Response) -> bytes:
        body = bytearray()
        try:
            for piece in response.iter_bytes():
                body += piece
                if len(body) > MAX_PROBLEM_BYTES:
                    break
        finally:
            response.close()
        return bytes(body)
