"""Lets in who has a key, before anything of the body is read."""

from collections.abc import Collection
from contextlib import ExitStack
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from model.errors import FusionError
from service.keys.ring import KeyRing
from service.keys.use import KeyUse
from service.problems import answer_error
from service.request_record import RequestRecord
from service.settings import Doors

PATHS: dict[Doors, tuple[str, ...]] = {
    "health": ("/healthz", "/readyz"),
    "metrics": ("/metrics",),
    "docs": ("/docs", "/redoc", "/reference/", "/openapi.json", "/problems", "/problems/"),
    "page": ("/", "/page/"),
}
"""What lies behind each door: paths, and with a slash at their end all those below. What lies
behind none, which nobody has thought of among it, is never open."""

SCHEME = "bearer"


class KeyCheck:
    """Answers 401 to whoever has no key that is in force, and 429 above the limits of a key.

    `OPTIONS` needs none: browsers ask by it, without the key, whether they may send the request.

    Args:
        app: What answers those who are let in.
        keys: That are in force.
        open_doors: What needs no key.
    """

    def __init__(self, app: ASGIApp, *, keys: KeyRing, open_doors: Collection[str]) -> None:
        self._app = app
        self._keys = keys
        self._open = [path for door, paths in PATHS.items() if door in open_doors for path in paths]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run one request."""
        if scope["type"] != "http" or scope["method"] == "OPTIONS" or self._is_open(scope["path"]):
            await self._app(scope, receive, send)
            return
        record = RequestRecord.of(scope)
        given = Headers(scope=scope).getlist("authorization")
        try:
            use = await self._keys.recognise(given, record)
        except FusionError as error:
            await answer_error(record, error)(scope, receive, send)
            return
        await self._let_in(use, scope, receive, send)

    async def _let_in(self, use: KeyUse, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_limits(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(use.describe())
            await send(message)

        if scope["method"] != "POST":  # Looking how something fares costs next to nothing.
            await self._app(scope, receive, send_with_limits)
            return
        record = RequestRecord.of(scope)
        with ExitStack() as counted:
            try:
                counted.enter_context(use.counting(record))
            except FusionError as error:
                await answer_error(record, error)(scope, receive, send_with_limits)
                return
            await self._app(scope, receive, send_with_limits)

    def _is_open(self, path: str) -> bool:
        return any(
            path == one or (one != "/" and one.endswith("/") and path.startswith(one))
            for one in self._open
        )


def describe_keys(description: dict[str, Any]) -> None:
    """Say in the OpenAPI description that a key may be needed: it depends on the settings.

    Args:
        description: Of the service, which is completed.
    """
    description["components"]["securitySchemes"] = {
        SCHEME: {
            "type": "http",
            "scheme": "bearer",
            "bearerFormat": "xpf_ID_SECRET",
            "description": "An API key, where the service is set up to ask for one.",
        }
    }
    description["security"] = [{}, {SCHEME: []}]
