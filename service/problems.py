"""Turns errors into RFC 9457 problem documents, by the table of `service/problem_types.py`."""

import http
import logging
from collections.abc import Iterable
from email.utils import formatdate
from typing import Any

from fastapi import FastAPI, Request
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from expofuse.answers import PROBLEM_MEDIA_TYPE, Problem
from model.errors import FusionError
from service.errors import (
    CodingError,
    ExpectationError,
    HeadTooLargeError,
    HttpVersionError,
    QueueFullError,
    RateLimitError,
    RequestHeadError,
    RequestTimeoutError,
    ScarcityError,
    TargetTooLongError,
    TransferCodingError,
    UnauthorizedError,
    WorkerStoppedError,
)
from service.problem_types import (
    CLIENT_LEFT_STATUS,
    HTTP_PROBLEMS,
    INTERNAL_CODE,
    INTERNAL_ROW,
    PROBLEMS,
    Row,
    find_row,
    http_code,
    type_of,
)
from service.request_record import RequestRecord, choose_request_id
from service.scarcity import find_scarcity

INTERNAL_DETAIL = "the service failed at this request; its log says why, under this request id"

logger = logging.getLogger(__name__)


PROBLEM_SCHEMA = Problem.model_json_schema()
PROBLEM_SCHEMA_NAME = Problem.__name__
"""Of the component of the OpenAPI description that `describe_problems` refers to."""

SAFE_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
}
"""Of every answer: it is of the type that it names, and no part of another origin's page."""

REQUEST_ID_DESCRIPTION = "the client's own where it is short and harmless, else a new one"
ANYWHERE = (
    RequestHeadError,
    RequestTimeoutError,
    ExpectationError,
    UnauthorizedError,
    TargetTooLongError,
    HeadTooLargeError,
    RateLimitError,
    TransferCodingError,
    QueueFullError,
    WorkerStoppedError,
    ScarcityError,
    HttpVersionError,
)
"""What every route may answer with, for the request's head or for how the service fares."""


def describe_problems(kinds: Iterable[type[FusionError]]) -> dict[int | str, dict[str, Any]]:
    """Problem documents by status, for the OpenAPI description of a route.

    Args:
        kinds: Errors that it answers with, beside an internal one.
    """
    by_status: dict[int, list[Row]] = {}
    for row in (*(PROBLEMS[kind] for kind in kinds), INTERNAL_ROW):
        by_status.setdefault(row.status, []).append(row)
    schema = {"$ref": f"#/components/schemas/{PROBLEM_SCHEMA_NAME}"}
    return {
        status: {
            "description": "; ".join(dict.fromkeys(row.title for row in rows)),
            "headers": _describe_headers(status, may_retry=all(row.may_retry for row in rows)),
            "content": {PROBLEM_MEDIA_TYPE: {"schema": schema}},
        }
        for status, rows in sorted(by_status.items())
        if status != CLIENT_LEFT_STATUS
    }


def _describe_headers(status: int, *, may_retry: bool) -> dict[str, object]:
    headers: dict[str, object] = {"X-Request-Id": describe_header(REQUEST_ID_DESCRIPTION)}
    if status == PROBLEMS[UnauthorizedError].status:
        headers["WWW-Authenticate"] = describe_header("`Bearer`: how a key is sent")
    if may_retry:
        headers["Retry-After"] = describe_header("seconds to wait before trying again", "integer")
    return headers


def describe_header(description: str, kind: str = "string") -> dict[str, object]:
    """A header that an answer always has, for the OpenAPI description.

    Args:
        description: What it says.
        kind: Its type, as JSON Schema names it.
    """
    return {"description": description, "required": True, "schema": {"type": kind}}


def answer_problem(record: RequestRecord, *, code: str, row: Row, detail: str) -> Response:
    """Make the problem document of one request and note its outcome."""
    record.outcome = code
    problem = Problem(
        type=type_of(code),
        title=row.title,
        status=row.status,
        detail=INTERNAL_DETAIL if row.is_internal else detail,
        request_id=record.request_id,
    )
    headers = {"Retry-After": str(record.retry_after_s)} if row.may_retry else {}
    return Response(
        problem.model_dump_json(),
        status_code=row.status,
        headers=headers,
        media_type=PROBLEM_MEDIA_TYPE,
    )


def write_refusal(
    error: FusionError, *, retry_after_s: int, record: RequestRecord | None = None
) -> bytes:
    """A whole HTTP/1.1 answer from below the application, the last one of its connection.

    Args:
        error: Why.
        retry_after_s: How long the client is asked to wait, where it may try again.
        record: Of the request that the application works at and will not answer; None: there is
            none, as its head is not read.
    """
    if record is None:
        record = RequestRecord(choose_request_id(None), retry_after_s)
    record.cut = error
    response = answer_problem(record, code=error.code, row=find_row(error), detail=error.message)
    response.headers["X-Request-Id"] = record.request_id
    response.headers.update(SAFE_HEADERS)
    status = http.HTTPStatus(response.status_code)
    lines = [
        f"HTTP/1.1 {status.value} {status.phrase}".encode(),
        f"date: {formatdate(usegmt=True)}".encode(),
        b"connection: close",
    ]
    lines += [name + b": " + value for name, value in response.raw_headers]
    return b"\r\n".join([*lines, b"", bytes(response.body)])


def answer_error(record: RequestRecord, error: FusionError) -> Response:
    """Make the problem document of one of our own errors."""
    row = find_row(error)
    if row.is_internal:
        logger.error("request failed", exc_info=error, extra={"code": error.code})
    if isinstance(error, QueueFullError) and error.retry_after_s is not None:
        record.retry_after_s = error.retry_after_s
    response = answer_problem(record, code=error.code, row=row, detail=error.message)
    if isinstance(error, UnauthorizedError):
        response.headers["WWW-Authenticate"] = error.challenge
    if isinstance(error, CodingError):
        response.headers["Accept-Encoding"] = "identity"  # RFC 9110, section 12.5.3
    return response


def add_problem_handlers(app: FastAPI) -> None:
    """Let every error that a route raises become a problem document."""

    def on_fusion_error(request: Request, error: Exception) -> Response:
        assert isinstance(error, FusionError)
        return answer_error(RequestRecord.of(request.scope), error)

    def on_http_error(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        phrase = http.HTTPStatus(error.status_code).phrase
        row = HTTP_PROBLEMS.get(error.status_code, Row(error.status_code, phrase, "", ""))
        response = answer_problem(
            RequestRecord.of(request.scope),
            code=http_code(error.status_code),
            row=row,
            detail=f"{phrase.lower()}: see /openapi.json for the routes and their methods",
        )
        response.headers.update(error.headers or {})
        return response

    app.add_exception_handler(FusionError, on_fusion_error)
    app.add_exception_handler(HTTPException, on_http_error)


class LastHandler:
    """Outermost of the error handlers: whatever nobody expected becomes a fixed 500.

    But where the system has nothing left, the client is asked to come back.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the application; answer for it when it raises before it has begun to answer."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        has_started = False

        async def send_noting_start(message: Message) -> None:
            nonlocal has_started
            has_started = has_started or message["type"] == "http.response.start"
            await send(message)

        try:
            await self._app(scope, receive, send_noting_start)
        except Exception as error:
            scarcity = find_scarcity(error)
            code = INTERNAL_CODE if scarcity is None else scarcity.code
            logger.error("unexpected error", exc_info=error, extra={"code": code})
            if has_started:
                raise  # The status line is out: only the connection's end can tell the client.
            record = RequestRecord.of(scope)
            if scarcity is not None:
                response = answer_error(record, scarcity)
            else:
                response = answer_problem(record, code=code, row=INTERNAL_ROW, detail="")
            await response(scope, receive, send)
