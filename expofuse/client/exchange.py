"""What both clients share: requests and answers, without sending or receiving a byte."""

import ipaddress
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TypeVar
from urllib.parse import quote

import httpx
from pydantic import BaseModel, ValidationError

from expofuse.answers import PROBLEM_MEDIA_TYPE, JobStatus, Problem
from expofuse.api_key import find_api_key, write_authorization
from expofuse.client.errors import (
    UNNAMED_TYPE,
    AnswerTimeoutError,
    ClientError,
    NoAnswerError,
    ProblemDocument,
    UnexpectedAnswerError,
    UsageError,
    make_error,
)
from expofuse.client.exposures import Exposure, Exposures
from expofuse.client.fused import Fused
from expofuse.client.options import write_query
from expofuse.client.report import Report, read_report
from expofuse.client.retries import Retries, read_retry_after
from expofuse.errors import FileError
from expofuse.package_version import package_version

DEFAULT_URL = "http://127.0.0.1:8000"
DEFAULT_TIMEOUT_S = 300.0
CONNECT_TIMEOUT_S = 10.0
MAX_PROBLEM_BYTES = 64 * 1024
"""What is read of an answer that is no picture; a problem document has some hundred bytes."""

KEY_HEADER = "Idempotency-Key"
HEALTH_PATH, READY_PATH = "healthz", "readyz"
JOBS_PATH = "jobs"
FIRST_POLL_S, LONGEST_POLL_S = 0.1, 2.0
"""Between two questions how far a job is."""

STATE_PATHS = (HEALTH_PATH, READY_PATH)
ModelT = TypeVar("ModelT", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Request:
    """One request, which can be built again for each attempt.

    Attributes:
        path: Below the service's URL.
        query: Parameters of the URL.
        exposures: What a POST sends; None: nothing is sent.
        method: Of a request that sends nothing.
        key: Names a POST in all its attempts, so that the service does its work once.
    """

    path: str
    query: Mapping[str, str] | None = None
    exposures: Exposures | None = None
    method: str = "GET"
    key: str = field(default_factory=lambda: str(uuid.uuid4()))

    @property
    def is_repeated(self) -> bool:
        """It is sent again where that may help: not a question whose answer is how things are."""
        return self.path not in STATE_PATHS and (
            self.exposures is None or self.exposures.can_repeat
        )

    @contextmanager
    def build(self, http: httpx.Client | httpx.AsyncClient) -> Iterator[httpx.Request]:
        """Build it for one attempt; its files are open within the block.

        Raises:
            OSError: A file cannot be opened.
        """
        if self.exposures is None:
            yield http.build_request(self.method, self.path, params=self.query)
            return
        with self.exposures.open_parts() as parts:
            # In the quotes of a string of structured headers, as the IETF's draft has it.
            headers = {KEY_HEADER: f'"{self.key}"'} if self.is_repeated else {}
            yield http.build_request(
                "POST", self.path, params=self.query, files=parts, headers=headers
            )


def choose_api_key(given: str | None) -> str | None:
    """The key that was given, else that of the environment; an empty one is none.

    Raises:
        OSError: The file that the environment names cannot be read.
    """
    return find_api_key() if given is None else given or None


def ask_to_fuse(exposures: Sequence[Exposure], options: Mapping[str, object]) -> Request:
    """The request of a fusion.

    Args:
        exposures: Two to nine, in any order.
        options: Of `FuseOptions`.

    Raises:
        UsageError: The exposures are not two to nine.
        TypeError: One of them is no file, or an option is unknown.
    """
    return Request("fuse", write_query(options), Exposures(exposures))


def ask_to_keep(
    exposures: Sequence[Exposure], options: Mapping[str, object], webhook: str | None
) -> Request:
    """The request of a job; sent again, it is the same job.

    Args:
        exposures: Two to nine, in any order.
        options: Of `FuseOptions`.
        webhook: URL to call when it is over.

    Raises:
        UsageError: The exposures are not two to nine.
        TypeError: One of them is no file, or an option is unknown.
    """
    query = write_query(options) | ({} if webhook is None else {"webhook": webhook})
    return Request(JOBS_PATH, query, Exposures(exposures))


def path_of_job(job_id: str) -> str:
    """The path of a job, whatever its id is made of."""
    return f"{JOBS_PATH}/{quote(job_id, safe='')}"


def plan_polls(timeout_s: float | None) -> Iterator[float]:
    """The pauses between two questions how far a job is, in seconds, until the time is over.

    Args:
        timeout_s: After which there are no more; None: they do not end.

    Example:
        >>> from itertools import islice
        >>> [round(pause, 2) for pause in islice(plan_polls(None), 4)]
        [0.1, 0.15, 0.23, 0.34]
    """
    end = None if timeout_s is None else time.monotonic() + timeout_s
    pause_s = FIRST_POLL_S
    while end is None or time.monotonic() < end:
        yield pause_s
        pause_s = min(1.5 * pause_s, LONGEST_POLL_S)


def explain_waiting(job: JobStatus, timeout_s: float | None) -> AnswerTimeoutError:
    """The error of a job that was not over in time."""
    return AnswerTimeoutError(f"the job was not over within {timeout_s} s, it is {job.state}")


@dataclass(frozen=True, slots=True)
class Connection:
    """How a client reaches its service.

    Attributes:
        url: Of the service.
        timeout_s: Longest time without a byte sent or received, in seconds.
        retries: How often it tries again.
        headers: Sent with every request.
        api_key: Sent with every request too, where headers hold no `Authorization` of their own.

    Raises:
        UsageError: The URL is none, or the key cannot be sent.
    """

    url: str
    timeout_s: float
    retries: Retries
    headers: Mapping[str, str]
    api_key: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        try:
            parsed = httpx.URL(self.url)
        except httpx.InvalidURL as cause:
            raise UsageError(f"expected a URL, got one that is none: {cause}") from cause
        if parsed.scheme not in ("http", "https") or not parsed.host:
            raise UsageError(
                f"expected a URL that begins with http:// or https://, got '{self.url}'"
            )

    @property
    def timeout(self) -> httpx.Timeout:
        """The same for httpx; who does not take a connection soon does not take it at all."""
        return httpx.Timeout(self.timeout_s, connect=min(CONNECT_TIMEOUT_S, self.timeout_s))

    @property
    def all_headers(self) -> dict[str, str]:
        """The headers with the client's name, and with the key."""
        own = {"User-Agent": f"expofuse/{package_version()}"}
        is_named = "authorization" in (name.lower() for name in self.headers)
        if self.api_key is not None and not is_named:
            try:
                own["Authorization"] = write_authorization(self.api_key)
            except ValueError as cause:
                raise UsageError(str(cause)) from cause
        return own | dict(self.headers)

    @property
    def trusts_environment(self) -> bool:
        """A proxy that the environment names is used; not for this machine, which it cannot reach.

        Example:
            >>> [
            ...     Connection(f"http://{host}:8000", 1.0, Retries(), {}).trusts_environment
            ...     for host in ("localhost", "127.0.0.1", "[::1]", "fusion.example")
            ... ]
            [False, False, False, True]
        """
        host = httpx.URL(self.url).host
        try:
            return not ipaddress.ip_address(host).is_loopback
        except ValueError:
            return host != "localhost"

    def explain(self, cause: httpx.RequestError) -> ClientError:
        """The error of an exchange that was not completed."""
        place = httpx.URL(self.url).netloc.decode("ascii")
        error: ClientError
        if isinstance(cause, httpx.LocalProtocolError | httpx.UnsupportedProtocol):
            error = UsageError(f"the request to {place} cannot be sent: {cause}")
        elif isinstance(cause, httpx.TimeoutException):
            error = AnswerTimeoutError(f"no answer from {place} within {self.timeout_s:g} s")
        else:
            error = NoAnswerError(f"no answer from {place}: {cause or type(cause).__name__}")
        error.__cause__ = cause
        return error


def read_refusal(response: httpx.Response, body: bytes) -> ClientError:
    """The error of an answer that is none of success.

    Args:
        response: Its head.
        body: The beginning of its body; of what is no problem document nothing is told.
    """
    status = response.status_code
    if not response.is_error:
        return _unexpected(response)
    retry_after_s = read_retry_after(response.headers.get("retry-after"))
    if response.headers.get("content-type", "").partition(";")[0] == PROBLEM_MEDIA_TYPE:
        with suppress(ValidationError):
            said = Problem.model_validate_json(body)
            told = (said.type, said.title, status, said.detail, said.request_id)
            return make_error(ProblemDocument(*told, retry_after_s))
    request_id = response.headers.get("x-request-id")
    told = (UNNAMED_TYPE, response.reason_phrase, status, "", request_id)
    return make_error(ProblemDocument(*told, retry_after_s))


def check_success(response: httpx.Response) -> Report:
    """What the head of an answer says of the picture that follows.

    Raises:
        UnexpectedAnswerError: It is no answer of this service.
    """
    try:
        return read_report(response.headers)
    except (KeyError, ValueError) as cause:
        raise _unexpected(response) from cause


def read_fused(report: Report, response: httpx.Response) -> Fused:
    """The picture of an answer that was read to its end.

    Raises:
        UnexpectedAnswerError: Its body is no picture.
    """
    try:
        return Fused.of(report, response.content)
    except FileError as cause:
        raise _unexpected(response) from cause


def read_model(kind: type[ModelT], response: httpx.Response) -> ModelT:
    """A JSON answer that was read to its end.

    Raises:
        UnexpectedAnswerError: It is not of this form.
    """
    try:
        return kind.model_validate_json(response.content)
    except ValidationError as cause:
        raise _unexpected(response) from cause


def _unexpected(response: httpx.Response) -> UnexpectedAnswerError:
    kind = response.headers.get("content-type", "no media type")
    return UnexpectedAnswerError(
        f"expected an answer of expofuse from {response.url.path}, "
        f"got {response.status_code} with {kind}",
        response.status_code,
    )
