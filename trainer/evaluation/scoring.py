"""One pair, all methods: what is not known yet is fused and scored. Runs in a worker process."""

import math
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2

from model.errors import FusionError
from trainer.evaluation.methods import Method
from trainer.evaluation.pairs import EvaluationPair, Sources, to_grey
from trainer.evaluation.pictures import mean_chroma, read_picture, to_8_bit, write_png
from trainer.evaluation.records import (
    MethodRecord,
    PairRecord,
    Score,
    hash_parts,
    read_record,
    write_record,
)
from trainer.evaluation.sheets import sheet_path, write_sheet
from trainer.evaluation.summary import Failure
from trainer.metrics import METRICS

FUSED_FOLDER = "fused"
RECORDS_FOLDER = "records"

FAILURES = (
    FusionError,
    OSError,
    ValueError,
    ArithmeticError,
    MemoryError,
    cv2.error,
    subprocess.SubprocessError,
)
"""What a bad file or an odd picture can cause; anything else is our fault and ends the run."""


@dataclass(frozen=True, slots=True)
class PairTask:
    """The evaluation of one pair, as it crosses to a worker.

    Attributes:
        pair: The scene.
        out: The output folder.
        methods: What to fuse it with.
        metrics: Fingerprint of the definition by metric, see `fingerprint_metric`.
        max_side_px: See `read_exposures`.
        has_sheet: The report shows the pair.
    """

    pair: EvaluationPair
    out: Path
    methods: tuple[Method, ...]
    metrics: Mapping[str, str]
    max_side_px: int | None = None
    has_sheet: bool = False


@dataclass(slots=True)
class PairOutcome:
    """What is known of one pair after its evaluation.

    Attributes:
        name: Name of the pair.
        scores: Value by method and metric.
        chroma: Mean chroma by method.
        failures: What could not be had.
    """

    name: str
    scores: dict[str, dict[str, float]] = field(default_factory=dict)
    chroma: dict[str, float] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)


def fused_path(out: Path, method: str, pair: str) -> Path:
    """Where a method's picture of a pair is kept."""
    return out / FUSED_FOLDER / method / f"{pair}.png"


def evaluate_pair(task: PairTask) -> PairOutcome:
    """Fuse and score one pair by every method; what an earlier run found is taken as it is.

    The record is written after each method, so that a run that is stopped loses one picture.
    """
    outcome = PairOutcome(task.pair.name)
    sources = Sources(task.pair, max_side_px=task.max_side_px)
    try:
        sources.load()
    except FAILURES as error:
        outcome.failures.append(describe_failure(error, task.pair.name))
        return outcome
    path = task.out / RECORDS_FOLDER / f"{task.pair.name}.json"
    record = read_record(path)
    for method in task.methods:
        if not method.applies_to(task.pair):
            continue
        try:
            picture = _update_picture(task, method, sources, record.methods.get(method.label))
            record.methods[method.label] = picture
            failures = _update_scores(task, method, sources, picture)
        except FAILURES as error:
            record.methods.pop(method.label, None)
            outcome.failures.append(describe_failure(error, task.pair.name, method.label))
            continue
        write_record(path, record)
        outcome.failures += failures
        if picture.chroma is not None:
            outcome.chroma[method.label] = picture.chroma
        outcome.scores[method.label] = {
            name: picture.scores[name].value for name in task.metrics if name in picture.scores
        }
    if task.has_sheet and outcome.scores:
        _update_sheet(task, sources, record, list(outcome.scores))
        write_record(path, record)
    return outcome


def _update_sheet(
    task: PairTask, sources: Sources, record: PairRecord, methods: Sequence[str]
) -> None:
    """Draw the pair's contact sheet, unless the one of these very pictures is there."""
    pictures = [part for label in methods for part in (label, record.methods[label].picture)]
    fingerprint = hash_parts(sources.fingerprint, *pictures)
    if record.sheet == fingerprint and sheet_path(task.out, task.pair.name).exists():
        return
    fused = {label: fused_path(task.out, label, task.pair.name) for label in methods}
    write_sheet(task.out, task.pair.name, sources.exposures, fused)
    record.sheet = fingerprint


def describe_failure(
    error: BaseException, pair: str, method: str | None = None, metric: str | None = None
) -> Failure:
    """Put an error into the form of the summary; only our own messages are free of paths."""
    if isinstance(error, FusionError):
        code, message = error.code, error.message
    elif isinstance(error, OSError):
        code, message = "unreadable", error.strerror or type(error).__name__
    else:
        code, message = type(error).__name__, str(error)
    return Failure(pair=pair, method=method, metric=metric, code=code, message=message)


def _update_picture(
    task: PairTask, method: Method, sources: Sources, known: MethodRecord | None
) -> MethodRecord:
    """The record of a method's picture; fuses unless this very picture is there."""
    path = fused_path(task.out, method.label, task.pair.name)
    fingerprint = hash_parts(sources.fingerprint, method.fingerprint(task.pair))
    if known is not None and known.picture == fingerprint and path.exists():
        return known
    fused = method.fuse(sources)
    if fused.shape != sources.exposures.under.shape:
        raise ValueError(f"expected a picture {sources.exposures.under.shape}, got {fused.shape}")
    write_png(path, fused)
    return MethodRecord(picture=fingerprint)


def _update_scores(
    task: PairTask, method: Method, sources: Sources, record: MethodRecord
) -> list[Failure]:
    """Compute the metrics that the record lacks; one that fails stays absent and is reported."""
    missing = [
        name
        for name, definition in task.metrics.items()
        if name not in record.scores or record.scores[name].metric != definition
    ]
    if not missing and record.chroma is not None:
        return []
    fused = read_picture(fused_path(task.out, method.label, task.pair.name))
    record.chroma = mean_chroma(to_8_bit(fused))
    grey = to_grey(fused)
    failures: list[Failure] = []
    for name in missing:
        record.scores.pop(name, None)
        try:
            value = METRICS[name].compute(*sources.greys, grey)
            if not math.isfinite(value):
                raise ValueError(f"expected a finite value of {name}, got {value}")
        except FAILURES as error:
            failures.append(describe_failure(error, task.pair.name, method.label, name))
            continue
        record.scores[name] = Score(metric=task.metrics[name], value=float(value))
    return failures
