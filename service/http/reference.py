"""Serves the API reference: Swagger UI at `/docs`, ReDoc at `/redoc`, and their files.

The files lie in `service/reference`, those of others as their makers publish them. A policy keeps
the pages from asking any other host for anything.
"""

import secrets
from collections.abc import Awaitable, Callable
from pathlib import Path

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route
from starlette.staticfiles import StaticFiles

FOLDER = Path(__file__).parents[1] / "reference"
PREFIX = "/reference/"
SWAGGER_UI, REDOC, PAGES = "swagger-ui-dist-5.35.0", "redoc-2.5.4", "pages"
ASSETS = (
    f"{SWAGGER_UI}/swagger-ui-bundle.js",
    f"{SWAGGER_UI}/swagger-ui.css",
    f"{SWAGGER_UI}/favicon-32x32.png",
    f"{REDOC}/redoc.standalone.js",
    f"{PAGES}/docs.js",
    f"{PAGES}/redoc.js",
    f"{PAGES}/pages.css",
)
NONCE_MARK = "NONCE"
"""Where the page of ReDoc has the nonce of its answer."""

_POLICY = (
    "default-src 'none'; script-src 'self'; connect-src 'self'; img-src 'self' blob: data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
SWAGGER_UI_POLICY = f"{_POLICY}; style-src 'self'"
REDOC_POLICY = (
    f"{_POLICY}; style-src 'self' 'nonce-{NONCE_MARK}' "
    "'sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=' "
    "'sha256-QMIg+bpjm3JdElJ388KYke01izlUW0UoNOeKjpMxdgc='; worker-src blob:"
)
"""ReDoc makes its styles itself, two of them before it is told the nonce: an empty one, which it
fills, and that of its scroll bars, of this version. It searches in a worker that it makes itself.
Its own mark it would load from another host, which this keeps it from."""

Answer = Callable[[Request], Awaitable[Response]]


def create_reference_routes() -> list[Route]:
    """The routes of both pages, and one for each of their files."""
    pages = {
        "/docs": _answer_with_page("docs.html", SWAGGER_UI_POLICY),
        "/redoc": _answer_with_page("redoc.html", REDOC_POLICY),
    }
    assets = {PREFIX + Path(name).name: _answer_with_asset(name) for name in ASSETS}
    return [
        Route(path, answer, methods=["GET"], include_in_schema=False)
        for path, answer in (pages | assets).items()
    ]


def _answer_with_page(name: str, policy: str) -> Answer:
    text = (FOLDER / PAGES / name).read_text(encoding="utf-8")

    async def answer(request: Request) -> Response:
        nonce = secrets.token_urlsafe(16)
        headers = {
            "Cache-Control": "no-store",
            "Content-Security-Policy": policy.replace(NONCE_MARK, nonce),
        }
        return HTMLResponse(text.replace(NONCE_MARK, nonce), headers=headers)

    return answer


def _answer_with_asset(name: str) -> Answer:
    files = StaticFiles(directory=FOLDER)

    async def answer(request: Request) -> Response:
        response = await files.get_response(name, request.scope)
        # Asked for again each time, and answered by 304, so that no old file meets a new page.
        response.headers["Cache-Control"] = "no-cache"
        return response

    return answer
