"""Tells of a batch while it runs: a line of JSON for each bracket, and a progress bar."""

import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import click

from service.console.batch.run import Outcome
from service.console.output import write_json


def name_report(shard: tuple[int, int]) -> str:
    """File name of the report; each of several machines writes one of its own.

    Example:
        >>> name_report((1, 1)), name_report((2, 4))
        ('report.jsonl', 'report-2-of-4.jsonl')
    """
    first, count = shard
    return "report.jsonl" if count == 1 else f"report-{first}-of-{count}.jsonl"


def tell_outcomes(
    outcomes: Iterable[Outcome], *, count: int, report: Path, as_json: bool
) -> Iterator[Outcome]:
    """Pass outcomes on, and tell of each when it comes.

    Args:
        outcomes: Of a batch.
        count: How many there will be.
        report: File that gets a line for each; an older one is replaced.
        as_json: The same lines go to standard output.

    Yields:
        Each outcome, once it was told.
    """
    bar = click.progressbar(
        outcomes,
        length=count,
        label="fusing",
        file=sys.stderr,
        show_pos=True,
        show_eta=True,
        hidden=not sys.stderr.isatty(),
    )
    with report.open("w", encoding="utf-8") as file, bar as told:
        for outcome in told:
            described = outcome.describe()
            file.write(json.dumps(described, ensure_ascii=False) + "\n")
            file.flush()
            if as_json:
                write_json(described)
                sys.stdout.flush()
            elif outcome.message:
                click.echo(f"{outcome.task.name}: {outcome.message}", err=True)
            yield outcome
