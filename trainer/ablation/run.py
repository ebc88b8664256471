"""Train, export and score the arms: a process for each training, several at a time."""

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import wait
from multiprocessing.context import SpawnProcess
from pathlib import Path
from types import FrameType

from tqdm import tqdm

from model.errors import FusionError
from model.manifest import MANIFEST_NAME
from trainer.ablation.folders import Folders
from trainer.ablation.plan import Job, Trial
from trainer.ablation.results import is_complete
from trainer.errors import RunError
from trainer.evaluation import WeightsMethod, evaluate
from trainer.evaluation.report.summary import Failure
from trainer.pool import count_cores, limit_threads
from trainer.release.export import export
from trainer.run.train import train

POLL_S = 2.0
STOP_S = 120.0
"""What a stopped training has to finish its step and write its checkpoint."""


@dataclass(frozen=True, slots=True)
class Request:
    """What is the same for every arm.

    Attributes:
        data_root: Training data.
        pairs: Folders of evaluation pairs, by the name that studies call them.
        folders: Where everything goes.
        metrics: Metrics to compute; all where it is None.
        names: Pairs to take; all where it is None.
        max_side_px: Reduce longer pictures to this side; None leaves them.
    """

    data_root: Path
    pairs: Mapping[str, Path]
    folders: Folders
    metrics: tuple[str, ...] | None = None
    names: tuple[str, ...] | None = None
    max_side_px: int | None = None

    def limit_side(self, trial: Trial) -> int | None:
        """The side to which a trial's pairs are reduced; the tighter limit wins."""
        limits = [side for side in (self.max_side_px, trial.max_side_px) if side is not None]
        return min(limits, default=None)


def train_jobs(jobs: Sequence[Job], request: Request, *, workers: int) -> dict[str, str]:
    """Train and score every job as far as that is not done; one that fails leaves the rest alone.

    Args:
        jobs: The trainings with their evaluations.
        request: Data, pairs and folders.
        workers: Processes at a time; the cores are shared evenly among them.

    Returns:
        What went wrong, by the name of the job.
    """
    context = multiprocessing.get_context("spawn")
    threads = max(1, count_cores() // workers)
    folders = request.folders
    waiting = list(jobs)
    running: dict[SpawnProcess, Job] = {}
    failures: dict[str, str] = {}
    steps = {job.name: job.config.optim.steps for job in jobs}
    bar = tqdm(total=sum(steps.values()), unit="step", desc="ablation", mininterval=5)
    previous = signal.signal(signal.SIGTERM, _stop)
    try:
        while waiting or running:
            while waiting and len(running) < workers:
                job = waiting.pop(0)
                process = context.Process(target=run_job, args=(job, request, threads))
                process.start()
                running[process] = job
            wait([process.sentinel for process in running], timeout=POLL_S)
            for process in [one for one in running if one.exitcode is not None]:
                job = running.pop(process)
                process.join()
                if process.exitcode:
                    failures[job.name] = _last_line(folders.log(job.name))
                    bar.write(f"{job.name}: {failures[job.name]}", file=sys.stderr)
            taken = sum(min(steps[job.name], _count_steps(folders, job.name)) for job in jobs)
            counts = {"running": len(running), "waiting": len(waiting), "failed": len(failures)}
            bar.set_postfix(counts, refresh=False)
            bar.update(taken - bar.n)
    finally:
        _end(running)
        signal.signal(signal.SIGTERM, previous)
        bar.close()
    return failures


def run_job(job: Job, request: Request, threads: int) -> None:
    """Do one job in a process of its own; everything it says goes to its log."""
    log = request.folders.log(job.name)
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w", encoding="utf-8") as file:
        for stream in (1, 2):
            os.dup2(file.fileno(), stream)
    limit_threads(threads)
    threading.Thread(target=_follow_parent, daemon=True).start()
    try:
        train_and_score(job, request)
    except FusionError as error:
        sys.stderr.write(f"{error.code}: {error.message}\n")
        sys.exit(2)


def train_and_score(job: Job, request: Request) -> None:
    """Train, export and score one job; whatever is done already is left as it is.

    The evaluation is asked each time: what it knows of pairs, weights, code and metrics tells it
    what to compute again.

    Raises:
        RunError: The training was stopped before its last step, or a pair could not be scored.
    """
    folders, steps = request.folders, job.config.optim.steps
    weights = folders.weights(job.name)
    if not (weights / MANIFEST_NAME).is_file():
        taken = train(job.config, request.data_root, folders.run(job.name))
        if not is_complete(folders.read_record(job.name)):
            raise RunError(f"stopped after {taken} of {steps} steps; the next start goes on")
        export(folders.run(job.name), weights)
    failures = [
        failure
        for trial in job.trials
        if trial.pairs in request.pairs
        for failure in _score(trial, weights, request)
    ]
    if failures:
        raise RunError(f"expected scores of every pair, {len(failures)} failed: {failures[0]}")


def _score(trial: Trial, weights: Path, request: Request) -> tuple[Failure, ...]:
    options = trial.options
    method = WeightsMethod(
        weights,
        label=trial.label,
        align=options.align,
        chroma=options.chroma,
        reference=options.reference,
    )
    summary = evaluate(
        request.pairs[trial.pairs],
        request.folders.scores(trial),
        weights=[method],
        metrics=request.metrics,
        max_side_px=request.limit_side(trial),
        pairs=request.names,
        workers=1,
        report=False,
    )
    return summary.failures


def _count_steps(folders: Folders, name: str) -> int:
    steps = folders.read_curve(name).get("step")
    return int(steps[-1]) if steps else 0


def _last_line(log: Path) -> str:
    """The last thing that a process said; what it could not say is told by its exit code."""
    text = log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""
    said = [line.strip() for line in text.splitlines() if line.strip()]
    return said[-1] if said else "ended without a word"


def _follow_parent() -> None:
    """End politely when the parent was killed: a second start would train in the same folder."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os.kill(os.getpid(), signal.SIGTERM)


def _stop(signum: int, frame: FrameType | None) -> None:
    sys.exit(128 + signum)


def _end(running: Mapping[SpawnProcess, Job]) -> None:
    """Let every process write its checkpoint, then see that it is gone."""
    for process in running:
        process.terminate()
    for process in running:
        process.join(STOP_S)
        if process.is_alive():
            process.kill()
            process.join()
