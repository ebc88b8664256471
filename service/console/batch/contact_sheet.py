"""Draws a page of everything that a batch did: each bracket beside its picture."""

import html
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from urllib.parse import quote

from expofuse.errors import FileError
from expofuse.files.writing.destination import open_destination
from expofuse.grouping import Single
from service.console.batch.run import Outcome
from service.console.batch.sidecar import read_sidecar
from service.console.batch.tasks import Task
from service.console.thumbnails import read_small, write_data_url

NAME = "contact-sheet.html"
EXPOSURE_SIDE_PX, PICTURE_SIDE_PX = 240, 480

STYLE = """
:root { color-scheme: light dark; --edge: #8884; --quiet: #777; --bad: #c22; }
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 90rem; }
body { padding: 0 1rem; }
h1 { font-size: 1.4rem; } h2 { font-size: 1rem; margin: 0 0 .5rem; }
section { border-top: 1px solid var(--edge); padding: 1rem 0; }
.row { align-items: end; display: flex; flex-wrap: wrap; gap: .75rem; }
figure { margin: 0; } figcaption { color: var(--quiet); font-size: .8rem; overflow-wrap: anywhere; }
figure img { display: block; border-radius: 3px; height: auto; width: auto; }
.exposure { width: 10rem; } .exposure img { max-width: 10rem; max-height: 10rem; }
.picture img { max-width: min(30rem, 100%); max-height: 24rem; }
.missing { border: 1px dashed var(--edge); padding: 2rem 1rem; color: var(--quiet); }
.failed { color: var(--bad); } .told { color: var(--quiet); font-size: .85rem; }
"""


def write_contact_sheet(
    target: Path, tasks: Sequence[Task], outcomes: Mapping[int, Outcome], singles: Sequence[Single]
) -> Path:
    """Write the page into the folder of the results; it needs no other file but for its links.

    Args:
        target: Folder of the results.
        tasks: All brackets of the shoot; those that another run did are shown too.
        outcomes: What this run did, by the number of the bracket.
        singles: What is in no bracket.

    Returns:
        The page.

    Raises:
        OSError: It cannot be written.
    """
    page = target / NAME
    body = "".join(_draw_page(tasks, outcomes, singles))
    with open_destination(page) as file:
        file.write(body.encode())
    return page


def _draw_page(
    tasks: Sequence[Task], outcomes: Mapping[int, Outcome], singles: Sequence[Single]
) -> Iterator[str]:
    done = sum(task.out.exists() for task in tasks)
    failed = sum(one.status == "failed" for one in outcomes.values())
    said = f"{len(tasks)} brackets, {done} with a picture"
    said += f", {failed} failed" if failed else ""
    yield (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" '
        'content="width=device-width, initial-scale=1"><title>Contact sheet</title>'
        f"<style>{STYLE}</style></head><body><h1>Contact sheet</h1><p>{said}.</p>\n"
    )
    for task in tasks:
        yield from _draw_bracket(task, outcomes.get(task.number))
    if singles:
        yield f"<section><h2>{len(singles)} files in no bracket</h2><ul>\n"
        for single in singles:
            said = f"{single.name}: {single.reason}" if single.reason else single.name
            yield f"<li>{html.escape(said)}</li>\n"
        yield "</ul></section>\n"
    yield "</body></html>\n"


def _draw_bracket(task: Task, outcome: Outcome | None) -> Iterator[str]:
    status = outcome.status if outcome else "not part of this run"
    name = html.escape(task.name)
    yield f'<section><h2>{task.number}. {name}</h2><div class="row">\n'
    for given, path in zip(task.bracket.names, task.inputs, strict=True):
        yield f'<figure class="exposure">{_draw(path, EXPOSURE_SIDE_PX, given)}'
        yield f"<figcaption>{html.escape(given.rpartition('/')[2])}</figcaption></figure>\n"
    yield '<figure class="picture">'
    if task.out.exists():
        picture = _draw(task.out, PICTURE_SIDE_PX, f"fused: {task.name}")
        yield f'<a href="{quote(task.name)}">{picture}</a>'
    else:
        yield '<div class="missing">no picture</div>'
    yield f"<figcaption>{name}</figcaption></figure></div>\n"
    if outcome and outcome.message:
        yield f'<p class="failed">Failed: {html.escape(outcome.message)}</p>'
    yield f'<p class="told">{html.escape("; ".join(_tell(task, status)))}</p></section>\n'


def _tell(task: Task, status: str) -> Iterator[str]:
    yield status
    if task.bracket.reason:
        yield task.bracket.reason
    sidecar = read_sidecar(task)
    if sidecar is not None and task.out.exists():
        for key in ("weights", "alignment", "reference"):
            yield f"{key} {sidecar.report.get(key)}"


def _draw(path: Path, side_px: int, said: str) -> str:
    try:
        image = read_small(path, side_px)
    except (FileError, OSError):
        return f'<div class="missing">{html.escape(said)} cannot be shown</div>'
    return (
        f'<img src="{write_data_url(image)}" width="{image.width}" height="{image.height}" '
        f'alt="{html.escape(said)}">'
    )
