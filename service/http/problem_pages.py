"""Answers the path that a problem's `type` names with what it means and what to do."""

import base64
import hashlib
import html
import re
from collections.abc import Callable, Coroutine
from typing import Final, TypeVar

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field
from starlette.responses import Response

from service.fusing.accept import read_accept
from service.http.safety import PAGE_POLICY
from service.problem_types import CLIENT_LEFT_STATUS, PROBLEM_TYPES, TYPE_PREFIX, type_of

INDEX_PATH: Final = TYPE_PREFIX.rstrip("/")

_STYLE = (
    ":root{color-scheme:light dark}"
    "body{font:1rem/1.6 system-ui,sans-serif;max-width:42rem;margin:2rem auto;padding:0 1rem}"
)
_STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
PAGE_HEADERS: Final = {
    "Vary": "Accept",
    "Cache-Control": "max-age=3600",
    "Content-Security-Policy": f"{PAGE_POLICY}; style-src 'sha256-{_STYLE_HASH}'",
}
_CODE = re.compile(r"`([^`]*)`")
Shown = TypeVar("Shown", bound=BaseModel)


class ProblemType(BaseModel):
    """What one type of problem is."""

    type: str = Field(description="as in problem documents: the path of this page")
    title: str = Field(description="as in problem documents")
    status: int = Field(description="HTTP status of the answer; 499 is never sent")
    meaning: str = Field(description="what happened")
    remedy: str = Field(description="what the client, or the operator, can do")
    may_retry: bool = Field(description="the answer carries `Retry-After`")


class ProblemTypes(BaseModel):
    """Every type of problem."""

    problems: list[ProblemType]


def describe_type(code: str) -> ProblemType:
    """What the table says of a type of problem.

    Args:
        code: One of `PROBLEM_TYPES`.
    """
    row = PROBLEM_TYPES[code]
    return ProblemType(
        type=type_of(code),
        title=row.title,
        status=row.status,
        meaning=row.meaning,
        remedy=row.remedy,
        may_retry=row.may_retry,
    )


def describe_types() -> ProblemTypes:
    """All types of problem, in the order of their status."""
    return ProblemTypes(problems=[describe_type(code) for code in PROBLEM_TYPES])


def add_problem_pages(router: APIRouter) -> None:
    """Add a route for each type of problem, and one for their list.

    Each type has a path of its own rather than a parameter, so that `HEAD`, `OPTIONS` and the 404
    of an unknown one work as everywhere else.
    """

    @router.get(
        INDEX_PATH,
        summary="What each problem's `type` means; each has a page of its own below this path",
        response_model=ProblemTypes,
        responses={200: {"content": {"text/html": {}, "text/plain": {}}}},
    )
    async def problems(request: Request) -> Response:
        return _answer(request, describe_types(), as_text=write_list, as_html=write_list_html)

    for code in PROBLEM_TYPES:
        router.add_api_route(
            type_of(code),
            _create_page(code),
            methods=["GET"],
            include_in_schema=False,
        )


def choose_media_type(accept: str) -> str:
    """HTML for a browser, JSON for a programme that asks for it, plain text for everybody else.

    Example:
        >>> choose_media_type("text/html,application/xhtml+xml,*/*;q=0.8"), choose_media_type("")
        ('text/html', 'text/plain')
        >>> choose_media_type("application/problem+json, application/json;q=0.5")
        'application/json'
    """
    offered = ("text/html", "application/json", "text/plain")
    asked = [one for one in read_accept(accept) if one.media_type in offered and one.weight > 0]
    return max(asked, key=lambda one: one.weight).media_type if asked else "text/plain"


def write_text(problem: ProblemType) -> str:
    """The page of a type as plain text, with code in back-quotes."""
    return (
        f"{problem.title}\n"
        f"type {problem.type}, HTTP status {_tell_status(problem)}\n\n"
        f"What it means: {problem.meaning}\n\n"
        f"What to do: {problem.remedy}\n"
    )


def write_list(listed: ProblemTypes) -> str:
    """The list of types as plain text, a line each."""
    return "".join(f"{one.status} {one.type}: {one.title}\n" for one in listed.problems)


def write_html(problem: ProblemType) -> str:
    """The page of a type as HTML; it asks for nothing else."""
    body = (
        f"<h1>{html.escape(problem.title)}</h1>"
        f"<p><code>{problem.type}</code>, HTTP status {_tell_status(problem)}</p>"
        f"<h2>What it means</h2><p>{_mark_code(problem.meaning)}</p>"
        f"<h2>What to do</h2><p>{_mark_code(problem.remedy)}</p>"
        f'<p><a href="{INDEX_PATH}">All types of problem</a></p>'
    )
    return _write_document(problem.title, body)


def write_list_html(listed: ProblemTypes) -> str:
    """The list of types as HTML."""
    items = "".join(
        f'<li>{one.status} <a href="{one.type}">{html.escape(one.title)}</a></li>'
        for one in listed.problems
    )
    return _write_document("Types of problem", f"<h1>Types of problem</h1><ul>{items}</ul>")


def _create_page(code: str) -> Callable[[Request], Coroutine[None, None, Response]]:
    problem = describe_type(code)

    async def page(request: Request) -> Response:
        return _answer(request, problem, as_text=write_text, as_html=write_html)

    return page


def _answer(
    request: Request,
    shown: Shown,
    *,
    as_text: Callable[[Shown], str],
    as_html: Callable[[Shown], str],
) -> Response:
    media_type = choose_media_type(",".join(request.headers.getlist("accept")))
    if media_type == "application/json":
        content = shown.model_dump_json()
    else:
        content = as_html(shown) if media_type == "text/html" else as_text(shown)
    return Response(content, media_type=media_type, headers=PAGE_HEADERS)


def _tell_status(problem: ProblemType) -> str:
    never = ", never sent" if problem.status == CLIENT_LEFT_STATUS else ""
    return f"{problem.status}{never}"


def _mark_code(text: str) -> str:
    return _CODE.sub(r"<code>\1</code>", html.escape(text))


def _write_document(title: str, body: str) -> str:
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>{html.escape(title)} - expofuse</title><style>{_STYLE}</style></head>"
        f"<body><main>{body}</main></body></html>"
    )
