"""`expofuse batch`: finds the brackets of a folder and fuses each of them."""

import os
import re
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

import click

from expofuse.grouping import Groups
from service.console.exits import (
    EXIT_FAILED,
    EXIT_MISUSED,
    EXIT_PARTLY,
    CommandError,
    explaining,
)
from service.console.options import (
    FuseChoices,
    OptionValue,
    fuse_options,
    make_choices,
    prefer_option,
    server_option,
)
from service.console.output import json_option, write_json

if TYPE_CHECKING:
    from service.console.batch.run import Outcome
    from service.console.batch.tasks import Task

WHOLE = (1, 1)


class ShardType(click.ParamType["tuple[int, int]"]):
    """i/n: the i-th of n parts; i+1/n where i comes from what counts from 0."""

    name = "i/n"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, int]:
        """The two numbers."""
        if value == WHOLE:
            return WHOLE
        found = re.fullmatch(r"(\d+)(\+1)?/(\d+)", str(value))
        if found is not None:
            shard = int(found[1]) + bool(found[2]), int(found[3])
            if 1 <= shard[0] <= shard[1]:
                return shard
        self.fail(f"expected i/n with i from 1 to n, or i+1/n, got '{value}'", param, ctx)


@click.command("batch")
@click.argument("folder", type=click.Path(path_type=Path), metavar="DIR")
@click.option(
    "-o", "--out", required=True, type=click.Path(path_type=Path), help="Folder of the pictures."
)
@click.option(
    "--groups",
    "groups_file",
    type=click.Path(path_type=Path),
    help="What `expofuse group` wrote, edited or not, instead of looking again.",
)
@click.option("--dry-run", is_flag=True, help="Print the brackets and end.")
@click.option(
    "--engine",
    "engine_name",
    type=click.Choice(["local", "ray"]),
    default="local",
    show_default=True,
    help="ray: on the cluster that RAY_ADDRESS names, else on all cores of this machine.",
)
@click.option(
    "--jobs",
    type=click.IntRange(1, 4096),
    help="Brackets at a time. Default: 1, 4 with --server; with --engine ray one to a core or GPU.",
)
@click.option(
    "--readers",
    type=click.IntRange(1, 4096),
    help="With --engine ray: processes that read and decode, at most. Default: one to a core.",
)
@click.option(
    "--shard", type=ShardType(), default=WHOLE, help="Only the i-th of n parts, for n machines."
)
@click.option("--overwrite", is_flag=True, help="Replace files that this did not write, too.")
@prefer_option
@click.option("--contact-sheet/--no-contact-sheet", "has_sheet", default=True, show_default=True)
@server_option
@fuse_options
@json_option
def command(
    folder: Path,
    out: Path,
    groups_file: Path | None,
    dry_run: bool,
    engine_name: Literal["local", "ray"],
    jobs: int | None,
    readers: int | None,
    shard: tuple[int, int],
    overwrite: bool,
    prefer: Literal["picture", "raw"],
    has_sheet: bool,
    server: str | None,
    as_json: bool,
    **values: OptionValue,
) -> int:
    """Find the brackets of a folder and fuse each of them into the folder --out.

    A run that was interrupted goes on where it ended: beside each picture lies a JSON that says of
    which files, options and weights it was made, and what is up to date is not made again. Report:
    report.jsonl in --out, a line for each bracket; contact-sheet.html shows everything.

    \b
    Examples:
      expofuse batch DCIM -o fused --dry-run
      expofuse batch DCIM -o fused --format jpeg --quality 95
      expofuse batch DCIM -o fused --groups groups.json
      expofuse batch DCIM -o fused --server http://127.0.0.1:8000 --jobs 8
      expofuse batch DCIM -o fused --shard 2/4 --json
      RAY_ADDRESS=10.0.0.1:6379 expofuse batch DCIM -o fused --engine ray

    Exit codes: 0 every bracket has its picture, 1 none of them could be fused, 2 misused, 3 some
    failed, 130 interrupted.
    """
    from service.console.shoot import describe_groups, find_groups, read_groups

    choices = make_choices(values)
    with explaining(as_json=as_json):
        if groups_file is not None:
            groups = read_groups(groups_file, folder)
        else:
            groups = find_groups(folder, prefer=prefer, without=out)
        if dry_run:
            lines = groups.to_json() if as_json else "\n".join([*describe_groups(groups), ""])
            sys.stdout.write(lines)
            return 0
        start = _choose_start(server, engine_name, jobs=jobs, readers=readers)
        out.mkdir(parents=True, exist_ok=True)
        work = _Work(folder, out, shard, overwrite, has_sheet)
        counts = work.run(groups, choices, start, as_json=as_json)
    return _choose_exit(counts)


class _Start(Protocol):
    """Begins a batch on what was chosen to fuse it."""

    def __call__(
        self, tasks: Sequence["Task"], choices: FuseChoices, *, overwrites: bool, target: Path
    ) -> Iterator["Outcome"]: ...


def _choose_start(
    server: str | None,
    engine_name: Literal["local", "ray"],
    *,
    jobs: int | None,
    readers: int | None,
) -> _Start:
    """What runs the brackets: threads of this process, or a cluster.

    Raises:
        CommandError: Options contradict each other, or Ray is not installed.
    """
    if engine_name == "ray":
        if server is not None:
            raise CommandError(
                "expected --engine ray or --server, got both", EXIT_MISUSED, code="bad-option"
            )
        return _start_on_ray(jobs, readers)
    if readers is not None:
        raise CommandError(
            "expected --readers with --engine ray only", EXIT_MISUSED, code="bad-option"
        )
    return _start_here(server, jobs or (4 if server else 1))


def _start_here(server: str | None, jobs: int) -> _Start:
    from service.console.batch.run import BatchOptions, run_batch
    from service.console.engines import open_engine

    def start(
        tasks: Sequence["Task"], choices: FuseChoices, *, overwrites: bool, target: Path
    ) -> Iterator["Outcome"]:
        with open_engine(server) as engine:
            options = BatchOptions(choices, engine.identify_weights(choices), overwrites)
            yield from run_batch(tasks, engine, options, jobs=jobs)

    return start


def _start_on_ray(fusers: int | None, readers: int | None) -> _Start:
    from service.console.batch.run import BatchOptions
    from service.console.engines import LocalEngine

    try:
        from service.console.batch.on_ray import RayOptions, run_on_ray
    except ImportError as cause:
        raise CommandError.of_missing("ray", "for --engine ray") from cause

    def start(
        tasks: Sequence["Task"], choices: FuseChoices, *, overwrites: bool, target: Path
    ) -> Iterator["Outcome"]:
        options = BatchOptions(choices, LocalEngine().identify_weights(choices), overwrites)
        yield from run_on_ray(tasks, options, RayOptions(readers, fusers), target=target)

    return start


class _Work:
    """What the command line said of how the work is done."""

    def __init__(
        self, source: Path, target: Path, shard: tuple[int, int], overwrites: bool, has_sheet: bool
    ) -> None:
        self.source, self.target, self.shard = source, target, shard
        self.overwrites, self.has_sheet = overwrites, has_sheet

    def run(
        self, groups: Groups, choices: FuseChoices, start: _Start, *, as_json: bool
    ) -> Counter[str]:
        """Fuse what is to be fused; returns how many brackets ended in which way."""
        from service.console.batch.contact_sheet import write_contact_sheet
        from service.console.batch.report import name_report, tell_outcomes
        from service.console.batch.tasks import plan_tasks

        every = plan_tasks(groups, source=self.source, target=self.target, choices=choices)
        first, parts = self.shard
        tasks = every[first - 1 :: parts]
        report = self.target / name_report(self.shard)
        running = start(tasks, choices, overwrites=self.overwrites, target=self.target)
        told = tell_outcomes(running, count=len(tasks), report=report, as_json=as_json)
        outcomes = {outcome.task.number: outcome for outcome in told}
        counts = Counter(str(one.status) for one in outcomes.values())
        page = None
        if self.has_sheet:
            page = write_contact_sheet(self.target, every, outcomes, groups.singles)
        self._sum_up(counts, page, as_json=as_json)
        return counts

    def _sum_up(self, counts: Counter[str], page: Path | None, *, as_json: bool) -> None:
        place = None if page is None else os.fspath(page)
        if as_json:
            write_json({"summary": dict(counts), "contact_sheet": place})
            return
        said = ", ".join(f"{count} {status}" for status, count in sorted(counts.items()))
        sys.stdout.write(f"{said or 'no brackets found'}\n")
        if place is not None:
            sys.stdout.write(f"{place}\n")


def _choose_exit(counts: Counter[str]) -> int:
    if not counts["failed"]:
        return 0
    return EXIT_PARTLY if counts.total() > counts["failed"] else EXIT_FAILED
