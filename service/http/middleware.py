"""Pure ASGI middleware: keeps each request's record, and closes so that answers are read."""

import asyncio
import logging
import time
from contextlib import suppress

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.logs import request_id_of_context
from service.metrics import Metrics
from service.problems import FUSED_OUTCOME
from service.request_record import RequestRecord, choose_request_id

REQUEST_ID_HEADER = b"x-request-id"
FUSE_PATH = "/fuse"
LINGER_S = 5.0
"""How long the rest of a refused body is read and thrown away, so that the answer arrives."""

logger = logging.getLogger(__name__)


class RequestContext:
    """Gives each request its record and its id; writes its one log line and its metrics."""

    def __init__(self, app: ASGIApp, *, metrics: Metrics, retry_after_s: int) -> None:
        self._app = app
        self._metrics = metrics
        self._retry_after_s = retry_after_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = dict(scope["headers"]).get(REQUEST_ID_HEADER)
        record = RequestRecord(choose_request_id(given), self._retry_after_s)
        record.attach(scope)
        token = request_id_of_context.set(record.request_id)
        status = 0

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [
                    *message.get("headers", []),
                    (REQUEST_ID_HEADER, record.request_id.encode("ascii")),
                ]
            await send(message)

        try:
            await self._app(scope, receive, send_with_id)
        finally:
            self._settle(scope, record, status)
            request_id_of_context.reset(token)

    def _settle(self, scope: Scope, record: RequestRecord, status: int) -> None:
        # How long a client takes to read its picture is the client's affair.
        seconds = (record.end or time.monotonic()) - record.begin
        is_fuse = scope["path"] == FUSE_PATH and scope["method"] == "POST"
        if is_fuse:
            self._metrics.requests.labels(record.outcome).inc()
            self._metrics.request_seconds.observe(seconds)
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
                "seconds": round(seconds, 4),
                "weights": record.weights,
                "megapixels": round(record.megapixels, 3),
                "stages": {name: round(value, 4) for name, value in record.stages.seconds.items()},
            },
        )


class LingeringClose:
    """Closes a connection whose body was not read to its end, but not before the client could.

    A refusal that is sent while the client still uploads is lost when the connection is closed
    under it: the reset overtakes the answer. So the answer goes out whole, marked as the last of
    its connection, and for a bounded time the rest of the body is read and thrown away.
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

        async def send_lingering(message: Message) -> None:
            if not has_rest:
                await send(message)
            elif message["type"] == "http.response.start":
                close = (b"connection", b"close")
                await send({**message, "headers": [*message.get("headers", []), close]})
            elif message.get("more_body", False):
                await send(message)
            else:
                await send({**message, "more_body": True})
                with suppress(TimeoutError):
                    async with asyncio.timeout(LINGER_S):
                        while has_rest:
                            await receive_noting_end()
                await send({"type": "http.response.body", "body": b"", "more_body": False})

        await self._app(scope, receive_noting_end, send_lingering)


def _declares_body(scope: Scope) -> bool:
    headers = dict(scope["headers"])
    if headers.get(b"expect", b"").lower() == b"100-continue":
        return False  # Such a client sends its body only when asked, and a refusal does not ask.
    return headers.get(b"content-length", b"0") != b"0" or b"transfer-encoding" in headers
