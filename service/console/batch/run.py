"""Runs a batch: several brackets at a time, and one that fails ends no other."""

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass, replace
from typing import Literal

from service.console.batch.sidecar import Recipe, judge_result, make_recipe, write_result
from service.console.batch.tasks import Task
from service.console.engines import Engine
from service.console.exits import FAILURES, name_failure, say_failure
from service.console.options import FuseChoices

Status = Literal["fused", "up to date", "failed"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one bracket.

    Attributes:
        task: The bracket.
        status: What was done.
        seconds: How long it took.
        report: How the picture came about; empty where there is none of this run.
        code: Kind of the failure; empty without.
        message: One sentence about it.
    """

    task: Task
    status: Status
    seconds: float
    report: dict[str, object]
    code: str = ""
    message: str = ""

    def describe(self) -> dict[str, object]:
        """One line of the report."""
        described: dict[str, object] = {
            "bracket": self.task.number,
            "status": self.status,
            "picture": self.task.name,
            "files": list(self.task.bracket.names),
            "grouped": self.task.bracket.reason,
            "seconds": round(self.seconds, 3),
            **self.report,
        }
        if self.message:
            described["error"] = {"code": self.code, "message": self.message}
        return described


@dataclass(frozen=True, slots=True)
class BatchOptions:
    """How a batch is run.

    Attributes:
        choices: What was chosen for all its fusions.
        weights: See `Engine.identify_weights`.
        overwrites: Files that this did not write, or that were changed since, are replaced too.
    """

    choices: FuseChoices
    weights: str
    overwrites: bool


def run_batch(
    tasks: Sequence[Task], engine: Engine, options: BatchOptions, *, jobs: int
) -> Iterator[Outcome]:
    """Do every task that is not done yet, in threads of this process.

    Args:
        tasks: The brackets.
        engine: Fuses them.
        options: How.
        jobs: Brackets at a time.

    Yields:
        What became of each, as soon as it is known. Where whoever asks stops asking, what runs is
        finished, and nothing more is begun.
    """
    pool = ThreadPoolExecutor(jobs, thread_name_prefix="bracket")
    try:
        running: list[Future[Outcome]] = [
            pool.submit(do_task, task, engine, options) for task in tasks
        ]
        for done in as_completed(running):
            yield done.result()
    finally:
        pool.shutdown(cancel_futures=True)


def do_task(task: Task, engine: Engine, options: BatchOptions) -> Outcome:
    """Fuse one bracket, or find that its picture is there already."""
    begin_s = time.monotonic()
    try:
        recipe = make_recipe(task, options.choices, options.weights)
        settled = settle_task(task, recipe, options)
        if settled is not None:
            return replace(settled, seconds=time.monotonic() - begin_s)
        picture = engine.fuse(task.inputs, options.choices.named_for(task.out))
        sidecar = write_result(task, recipe, picture)
    except FAILURES as error:
        return fail_task(task, error, seconds=time.monotonic() - begin_s)
    return Outcome(task, "fused", time.monotonic() - begin_s, sidecar.report)


def settle_task(task: Task, recipe: Recipe, options: BatchOptions) -> Outcome | None:
    """What becomes of a task without fusing anything; None where its bracket is to be fused.

    Raises:
        OSError: Its picture is there and cannot be read.
    """
    state = judge_result(task, recipe)
    if state == "up to date":
        return Outcome(task, "up to date", 0.0, {})
    if state == "changed" and not options.overwrites:
        return Outcome(task, "failed", 0.0, {}, "exists", _explain_change(task))
    return None


def fail_task(task: Task, error: BaseException, *, seconds: float) -> Outcome:
    """A task that ended with one of `FAILURES`."""
    return Outcome(task, "failed", seconds, {}, name_failure(error), say_failure(error))


def _explain_change(task: Task) -> str:
    return (
        f"'{task.name}' is there already and was not written by this command, or was changed "
        "since: --overwrite replaces it"
    )
