"""Pure ASGI middleware: each request's record, and what HTTP asks of every route."""

import logging
import re
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import nullcontext
from itertools import chain
from typing import TYPE_CHECKING

from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.routing import compile_path
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.errors import OriginError
from service.http.running import RunningRequests
from service.logs import request_id_of_context
from service.metrics import Metrics
from service.problem_types import FUSED_OUTCOME, kind_of
from service.problems import answer_error
from service.request_record import RequestRecord, choose_request_id

if TYPE_CHECKING:
    from service.tracing import Tracing

REQUEST_ID_HEADER = b"x-request-id"
FUSE_PATH = "/fuse"
JOBS_PATH = "/jobs"
EVERY_PATH = "*"
"""The target of an `OPTIONS` that asks about the whole service."""

CROSS_ORIGIN_METHODS = ("DELETE", "GET", "HEAD", "POST")
_SCHEME_AND_HOST = re.compile(r"^https?://[^/]*", re.IGNORECASE)

logger = logging.getLogger(__name__)


class RequestContext:
    """Gives each request its record and its id; writes its log line, its metrics and its span.

    Args:
        app: What answers.
        metrics: Where it is counted.
        running: Knows the requests that are being answered.
        retry_after_s: What a refused client is told.
        tracing: Makes the spans of what fuses; None: nobody asked for any.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        metrics: Metrics,
        running: RunningRequests,
        retry_after_s: int,
        tracing: "Tracing | None" = None,
    ) -> None:
        self._app = app
        self._metrics = metrics
        self._running = running
        self._retry_after_s = retry_after_s
        self._tracing = tracing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = dict(scope["headers"]).get(REQUEST_ID_HEADER)
        host, _ = scope.get("client") or ("", 0)
        record = RequestRecord(choose_request_id(given), self._retry_after_s, caller=host)
        record.attach(scope)
        token = request_id_of_context.set(record.request_id)
        status = 0
        is_negotiated = _is_fuse(scope)
        span = None
        if self._tracing is not None and (is_negotiated or _is_submission(scope)):
            headers = Headers(scope=scope)
            span = self._tracing.begin_request(scope["method"], scope["path"], headers, record)

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [
                    *message.get("headers", []),
                    (REQUEST_ID_HEADER, record.request_id.encode("ascii")),
                ]
                if span is not None:
                    MutableHeaders(scope=message).update(_name_trace(record))
                if record.preference_applied:
                    MutableHeaders(scope=message)["Preference-Applied"] = record.preference_applied
                if is_negotiated:
                    MutableHeaders(scope=message).add_vary_header("Accept")
            await send(message)

        try:
            with self._running.showing(record) if is_negotiated else nullcontext():
                await self._app(scope, receive, send_with_id)
        finally:
            self._settle(scope, record, status)
            if self._tracing is not None and span is not None:
                self._tracing.end_request(span, record, status=status)
            request_id_of_context.reset(token)

    def _settle(self, scope: Scope, record: RequestRecord, status: int) -> None:
        # How long a client takes to read its picture is the client's affair.
        seconds = (record.end or time.monotonic()) - record.begin
        is_fuse = _is_fuse(scope)
        if record.cut is not None:
            record.outcome = record.cut.code
        if is_fuse:
            self._metrics.requests.labels(record.outcome).inc()
            self._metrics.request_seconds.labels(kind_of(record.outcome)).observe(seconds)
        elif _is_submission(scope):
            self._metrics.job_submissions.labels(kind_of(record.outcome)).inc()
        if record.outcome == FUSED_OUTCOME:
            for stage, stage_s in record.stages.seconds.items():
                self._metrics.stage_seconds.labels(stage).observe(stage_s)
            self._metrics.fuse_seconds.labels(record.weights).observe(record.stages.seconds["fuse"])
        # The route's template and not the path, which the client chose.
        route = getattr(scope.get("route"), "path", None)
        logger.log(
            logging.INFO if is_fuse else logging.DEBUG,
            "request",
            extra={
                "route": route,
                "status": status,
                "outcome": record.outcome,
                "key": record.key,
                "seconds": round(seconds, 4),
                "weights": record.weights,
                "megapixels": round(record.megapixels, 3),
                "stages": {name: round(value, 4) for name, value in record.stages.seconds.items()},
                **record.trace_headers,
            },
        )


def _is_fuse(scope: Scope) -> bool:
    return bool(scope["path"] == FUSE_PATH and scope["method"] == "POST")


def _name_trace(record: RequestRecord) -> Mapping[str, str]:
    """The header by which a client finds the trace of its request: W3C Trace Context, level 2."""
    parent = record.trace_headers.get("traceparent")
    return {} if parent is None else {"traceresponse": parent}


def _is_submission(scope: Scope) -> bool:
    return bool(scope["path"] == JOBS_PATH and scope["method"] == "POST")


class PlainTarget:
    """Lets routes see one spelling of each path: no host, no doubled and no last slash.

    A target may be a whole URL (RFC 9112, section 3.2.2), and a redirect to the other spelling
    would lose bodies and name an address that the client may not reach.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run one request."""
        if scope["type"] == "http":
            scope = {**scope, "path": simplify_path(scope["path"])}
        await self._app(scope, receive, send)


def simplify_path(path: str) -> str:
    """The path as routes spell it.

    Example:
        >>> [simplify_path(path) for path in ("/fuse/", "//fuse", "http://host:8000/fuse", "/")]
        ['/fuse', '/fuse', '/fuse', '/']
    """
    path = _SCHEME_AND_HOST.sub("", path)
    if path == EVERY_PATH:
        return path
    return "/" + "/".join(part for part in path.split("/") if part)


class EveryMethod:
    """Answers HEAD wherever GET is, OPTIONS everywhere, and says in `Allow` what there is.

    Args:
        app: What answers the other methods.
        methods: Of each path, those that its routes name.
    """

    def __init__(self, app: ASGIApp, *, methods: Mapping[str, Collection[str]]) -> None:
        self._app = app
        allowed = {path: _complete_methods(named) for path, named in methods.items()}
        allowed[EVERY_PATH] = _complete_methods(chain.from_iterable(methods.values()))
        self._allowed = allowed
        self._templates = [
            (compile_path(path)[0], allowed[path]) for path in methods if "{" in path
        ]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run one request."""
        allowed = self._find_allowed(scope["path"]) if scope["type"] == "http" else None
        if allowed is None:
            await self._app(scope, receive, send)
            return
        allow = ", ".join(allowed)
        is_head = scope["method"] == "HEAD" and "HEAD" in allowed
        if scope["method"] == "OPTIONS":
            await Response(status_code=204, headers={"Allow": allow})(scope, receive, send)
            return

        async def send_with_allow(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] == 405:
                MutableHeaders(scope=message)["Allow"] = allow
            if message["type"] == "http.response.body" and is_head:
                message = {**message, "body": b""}
            await send(message)

        if is_head:
            scope["method"] = "GET"
        await self._app(scope, receive, send_with_allow)

    def _find_allowed(self, path: str) -> list[str] | None:
        if path in self._allowed:
            return self._allowed[path]
        return next((named for form, named in self._templates if form.match(path)), None)


def _complete_methods(named: Iterable[str]) -> list[str]:
    methods = {"OPTIONS", *named}
    return sorted(methods | {"HEAD"} if "GET" in methods else methods)


class CrossOrigin(CORSMiddleware):
    """Lets pages of listed origins call the service; a refusal is a problem document."""

    def __init__(self, app: ASGIApp, *, origins: Sequence[str]) -> None:
        super().__init__(
            app,
            allow_origins=origins,
            allow_methods=CROSS_ORIGIN_METHODS,
            allow_headers=["*"],
            expose_headers=["*"],
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run one request."""
        headers = Headers(scope=scope) if scope["type"] == "http" else Headers()
        is_preflight = "origin" in headers and "access-control-request-method" in headers
        if is_preflight and scope["method"] == "OPTIONS":
            response = self.preflight_response(headers)
            if response.status_code != 200:
                error = OriginError(
                    "expected a listed origin, and one of the methods "
                    f"{', '.join(CROSS_ORIGIN_METHODS)}, got another"
                )
                response = answer_error(RequestRecord.of(scope), error)
                response.headers.add_vary_header("Origin")
            await response(scope, receive, send)
            return
        await super().__call__(scope, receive, send)


class CloseUnread:
    """Marks an answer as the last of its connection where the body was not read to its end.

    The connection then closes so that the answer is read: see `AnsweringTransport`.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        has_rest = _declares_body(scope)

        async def receive_noting_end() -> Message:
            nonlocal has_rest
            message = await receive()
            if message["type"] == "http.disconnect" or not message.get("more_body", False):
                has_rest = False
            return message

        async def send_closing(message: Message) -> None:
            if has_rest and message["type"] == "http.response.start":
                MutableHeaders(scope=message)["Connection"] = "close"
            await send(message)

        await self._app(scope, receive_noting_end, send_closing)


def _declares_body(scope: Scope) -> bool:
    headers = Headers(scope=scope)
    return headers.get("content-length", "0") != "0" or "transfer-encoding" in headers
