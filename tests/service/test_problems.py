import asyncio
import errno
import json
import logging

import httpx
import pytest
from fastapi import FastAPI

import service.errors
from expofuse.errors import (
    ImageDecodeError,
    MediaTypeError,
    OptionError,
    PixelLimitError,
    UnsupportedImageError,
)
from model.errors import (
    AlignmentError,
    DeviceError,
    ExposureError,
    FusionError,
    InferenceError,
    WeightsError,
)
from service.errors import (
    AddressError,
    BodyTooLargeError,
    ChildStartError,
    CodecCrashError,
    CodecMemoryError,
    CodecTimeoutError,
    CodingError,
    DeadlineError,
    DisconnectedError,
    ExpectationError,
    HeadTooLargeError,
    HttpVersionError,
    IdempotencyKeyError,
    JobGoneError,
    JobLostError,
    JobNotFoundError,
    JobsOffError,
    JobsSetupError,
    JobUnfinishedError,
    KeyFileError,
    KeyReusedError,
    LengthRequiredError,
    MultipartError,
    NotAcceptableError,
    OpenFilesError,
    OriginError,
    QueueFullError,
    RateLimitError,
    ReloadError,
    RequestHeadError,
    RequestTimeoutError,
    ScarcityError,
    ServiceError,
    SharedMemoryError,
    StorageFullError,
    TargetTooLongError,
    TlsError,
    TooManyConcurrentError,
    TransferCodingError,
    UnauthorizedError,
    WorkerStoppedError,
)
from service.http.app import add_problem_handlers
from service.http.middleware import RequestContext
from service.http.running import RunningRequests
from service.metrics import Metrics
from service.problem_types import OUTCOMES, PROBLEM_TYPES, PROBLEMS, START_ONLY, find_row
from service.problems import INTERNAL_DETAIL, LastHandler, answer_error
from service.request_record import RequestRecord

STATUSES = {
    RequestHeadError: 400,
    UnauthorizedError: 401,
    RateLimitError: 429,
    TooManyConcurrentError: 429,
    OriginError: 403,
    NotAcceptableError: 406,
    RequestTimeoutError: 408,
    ExpectationError: 417,
    TargetTooLongError: 414,
    CodingError: 415,
    HeadTooLargeError: 431,
    TransferCodingError: 501,
    HttpVersionError: 505,
    JobsOffError: 404,
    JobNotFoundError: 404,
    JobUnfinishedError: 409,
    JobGoneError: 410,
    JobLostError: 500,
    StorageFullError: 507,
    MultipartError: 400,
    IdempotencyKeyError: 400,
    KeyReusedError: 422,
    ReloadError: 409,
    LengthRequiredError: 411,
    BodyTooLargeError: 413,
    PixelLimitError: 413,
    CodecMemoryError: 413,
    MediaTypeError: 415,
    ImageDecodeError: 422,
    UnsupportedImageError: 422,
    ExposureError: 422,
    OptionError: 422,
    AlignmentError: 422,
    DisconnectedError: 499,
    InferenceError: 500,
    CodecCrashError: 500,
    QueueFullError: 503,
    ScarcityError: 503,
    SharedMemoryError: 503,
    WorkerStoppedError: 503,
    DeadlineError: 504,
    CodecTimeoutError: 504,
}
ENDING_THE_START = (
    WeightsError,
    DeviceError,
    ChildStartError,
    AddressError,
    OpenFilesError,
    TlsError,
    KeyFileError,
    JobsSetupError,
)


def every_error(root=FusionError):
    """The errors that a request can meet; the trainer's branch never gets near one."""
    for child in root.__subclasses__():
        if child.__module__.split(".")[0] in {"model", "service"}:
            yield child
            yield from every_error(child)


def answer(error):
    record = RequestRecord("id-1", retry_after_s=9)
    return record, answer_error(record, error)


@pytest.mark.parametrize("kind", STATUSES, ids=lambda kind: kind.__name__)
def test_an_error_becomes_its_row_of_the_table(kind):
    record, response = answer(kind("expected this, got that"))
    problem = json.loads(bytes(response.body))
    assert response.status_code == problem["status"] == STATUSES[kind]
    assert response.media_type == "application/problem+json"
    assert problem["type"] == f"/problems/{kind.code}"
    assert kind.code in PROBLEM_TYPES
    assert problem["request_id"] == "id-1"
    assert record.outcome == kind.code
    is_ours = PROBLEMS[kind].is_internal
    assert problem["detail"] == (INTERNAL_DETAIL if is_ours else "expected this, got that")
    is_retried = STATUSES[kind] in (429, 503, 507)
    assert response.headers.get("retry-after") == ("9" if is_retried else None)


def test_every_error_has_a_row_or_ends_the_start():
    assert service.errors is not None
    for kind in every_error():
        if kind is ServiceError or kind.code in START_ONLY:
            continue
        assert kind in PROBLEMS, kind
        assert kind.code in OUTCOMES
    assert {kind.code for kind in ENDING_THE_START} == set(START_ONLY)


def test_every_row_says_what_it_means_and_what_to_do():
    for code, row in PROBLEM_TYPES.items():
        for text in (row.title, row.meaning, row.remedy):
            assert text.strip() == text != "", code
            assert text.count("`") % 2 == 0, code
        assert row.meaning.endswith("."), code
        assert row.remedy.endswith("."), code
    assert set(OUTCOMES) - {"fused", "reused", "not-modified", "unsettled"} <= set(PROBLEM_TYPES)


def test_codes_are_unique():
    codes = [kind.code for kind in every_error()]
    assert len(codes) == len(set(codes))


def test_a_new_child_has_the_row_of_its_parent_and_an_unknown_error_is_ours():
    class NewDeadlineError(DeadlineError):
        code = "new"

    class StrangeError(FusionError):
        code = "strange"

    assert find_row(NewDeadlineError("")).status == 504
    assert find_row(StrangeError("")).status == 500


def make_client(metrics, **options):
    app = FastAPI()
    add_problem_handlers(app)

    @app.get("/boom")
    async def boom():
        raise ZeroDivisionError("a secret")

    @app.get("/inference")
    async def inference():
        raise InferenceError("a detail for the log")

    @app.get("/files")
    async def files():
        raise OSError(errno.EMFILE, "a secret")

    app.add_middleware(LastHandler)
    app.add_middleware(RequestContext, metrics=metrics, running=RunningRequests(), retry_after_s=3)
    transport = httpx.ASGITransport(app, **options)
    return httpx.AsyncClient(transport=transport, base_url="http://x")


async def test_an_unexpected_error_is_a_fixed_500_with_its_trace_in_the_log(metrics, caplog):
    with caplog.at_level(logging.ERROR):
        async with make_client(metrics) as client:
            response = await client.get("/boom", headers={"X-Request-Id": "boom-1"})
    assert response.status_code == 500
    assert response.json() == {
        "type": "/problems/internal-error",
        "title": "Internal error",
        "status": 500,
        "detail": INTERNAL_DETAIL,
        "request_id": "boom-1",
    }
    assert response.headers["x-request-id"] == "boom-1"
    assert "a secret" in caplog.text
    assert "a secret" not in response.text


async def test_a_system_that_has_nothing_left_asks_to_come_back(metrics, caplog):
    with caplog.at_level(logging.ERROR):
        async with make_client(metrics) as client:
            response = await client.get("/files")
    assert (response.status_code, response.headers["retry-after"]) == (503, "3")
    assert response.json()["type"] == "/problems/scarcity"
    assert "open files" in response.json()["detail"]
    assert "a secret" in caplog.text
    assert "a secret" not in response.text


async def test_our_own_failure_tells_the_log_and_not_the_client(metrics, caplog):
    with caplog.at_level(logging.ERROR):
        async with make_client(metrics) as client:
            response = await client.get("/inference")
    assert response.status_code == 500
    assert "a detail for the log" not in response.text
    assert "a detail for the log" in caplog.text


def test_an_error_after_the_answer_began_ends_the_connection():
    async def half_an_answer(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise ZeroDivisionError

    sent = []

    async def send(message):
        sent.append(message["type"])

    async def scenario():
        scope = {"type": "http", "path": "/", "method": "GET", "headers": []}
        app = RequestContext(
            LastHandler(half_an_answer),
            metrics=Metrics(),
            running=RunningRequests(),
            retry_after_s=1,
        )
        with pytest.raises(ZeroDivisionError):
            await app(scope, None, send)

    asyncio.run(scenario())
    assert sent == ["http.response.start"]


async def test_middleware_leaves_other_protocols_alone(metrics):
    seen = []

    async def app(scope, receive, send):
        seen.append(scope["type"])

    context = RequestContext(app, metrics=metrics, running=RunningRequests(), retry_after_s=1)
    for wrapped in (LastHandler(app), context):
        await wrapped({"type": "lifespan"}, None, None)
    assert seen == ["lifespan", "lifespan"]
