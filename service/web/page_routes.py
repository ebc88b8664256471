"""Serves the page at `/`: its files from memory, with headers that let it reach nothing else."""

import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

FOLDER = Path(__file__).parent / "static"
INDEX = "index.html"
PREFIX = "/page/"
"""Of the paths of everything but the page itself, which is at `/`."""

MEDIA_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".jpg": "image/jpeg",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
}
"""Of what is served, by the ending of its name; other files are for those who work on the page."""

CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' blob: data:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
HEADERS = {
    # Asked for again each time, and answered by 304: a new version is never mixed with an old one.
    "Cache-Control": "no-cache",
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
}


@dataclass(frozen=True, slots=True)
class StaticFile:
    """One file of the page.

    Attributes:
        content: Its bytes.
        media_type: As in `Content-Type`.
        etag: Its tag, quotes included.
    """

    content: bytes
    media_type: str
    etag: str


def create_page_routes(folder: Path = FOLDER) -> list[Route]:
    """One route for each file of the page, so that no path is ever made of what a client sends.

    Args:
        folder: Where the files lie; they are read here and now.
    """
    return [
        Route(path, _answer_with(file), methods=["GET"], include_in_schema=False)
        for path, file in read_files(folder).items()
    ]


def read_files(folder: Path = FOLDER) -> dict[str, StaticFile]:
    """Read every file that is served, by its path.

    Args:
        folder: Where they lie.
    """
    files: dict[str, StaticFile] = {}
    for place in sorted(folder.rglob("*")):
        media_type = MEDIA_TYPES.get(place.suffix)
        if media_type is None or not place.is_file():
            continue
        name = place.relative_to(folder).as_posix()
        content = place.read_bytes()
        etag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
        files["/" if name == INDEX else PREFIX + name] = StaticFile(content, media_type, etag)
    return files


def _answer_with(file: StaticFile) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        headers = {**HEADERS, "ETag": file.etag}
        if is_known(file.etag, request.headers.getlist("if-none-match")):
            return Response(status_code=304, headers=headers)
        return Response(file.content, media_type=file.media_type, headers=headers)

    return answer


def is_known(etag: str, given: list[str]) -> bool:
    """Whether a client has a file already (RFC 9110, section 13.1.2).

    Args:
        etag: Of the file.
        given: Every `If-None-Match` of the request.

    Example:
        >>> is_known('"a"', ['"b", W/"a"']), is_known('"a"', ["*"]), is_known('"a"', ['"b"'])
        (True, True, False)
    """
    tags = [tag.strip().removeprefix("W/") for line in given for tag in line.split(",")]
    return etag in tags or "*" in tags
