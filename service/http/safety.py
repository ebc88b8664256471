"""Headers that keep a browser from making more of an answer than it is."""

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.problems import SAFE_HEADERS

PAGE_POLICY = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
"""Lets a page load nothing and be part of none."""

PAGE_HEADERS = {
    "Content-Security-Policy": PAGE_POLICY,  # A page that needs more has its own.
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
}
"""Of every answer in HTML."""


class SafeAnswers:
    """Adds to every answer what it does not say by itself.

    Args:
        app: What answers.
        hsts_s: Seconds for which browsers are to use TLS alone, told where it is used; 0: not told.
    """

    def __init__(self, app: ASGIApp, *, hsts_s: int = 0) -> None:
        self._app = app
        self._hsts_s = hsts_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_safely(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._complete(MutableHeaders(scope=message), scope)
            await send(message)

        await self._app(scope, receive, send_safely)

    def _complete(self, headers: MutableHeaders, scope: Scope) -> None:
        for name, value in SAFE_HEADERS.items():
            headers.setdefault(name, value)
        if headers.get("content-type", "").startswith("text/html"):
            for name, value in PAGE_HEADERS.items():
                headers.setdefault(name, value)
        if self._hsts_s and scope["scheme"] == "https":
            headers["Strict-Transport-Security"] = f"max-age={self._hsts_s}"
