"""Fuses and scores one scene by all methods, as far as it is not known; in a worker process."""

import math
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

from expofuse.files.pixels import to_8_bit
from model.errors import FusionError
from trainer.evaluation.cache import (
    MethodRecord,
    SceneRecord,
    Score,
    hash_code,
    hash_parts,
    read_record,
    write_record,
)
from trainer.evaluation.methods.method import Method
from trainer.evaluation.pictures import read_picture, write_png
from trainer.evaluation.report.sheets import sheet_path, write_sheet
from trainer.evaluation.report.summary import Failure
from trainer.evaluation.scenes import EvaluationScene, ExposureChoice, Sources, to_grey
from trainer.metrics import MEASURES

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
class SceneJob:
    """The evaluation of one scene, as it crosses to a worker.

    Attributes:
        scene: The scene.
        out: The output folder.
        methods: What to fuse it with.
        metrics: Fingerprint of the definition by metric and guard, see `fingerprint_metric`.
        choice: See `read_exposures`.
        max_side_px: See there.
        has_sheet: The report shows the scene.
    """

    scene: EvaluationScene
    out: Path
    methods: tuple[Method, ...]
    metrics: Mapping[str, str]
    choice: ExposureChoice = "all"
    max_side_px: int | None = None
    has_sheet: bool = False


@dataclass(slots=True)
class SceneOutcome:
    """What is known of one scene after its evaluation.

    Attributes:
        name: Name of the scene.
        exposures: How many of its exposures were fused; 0 when they could not be read.
        scores: Value by method and metric, of guards too; those that do not apply have none.
        failures: What could not be had.
    """

    name: str
    exposures: int = 0
    scores: dict[str, dict[str, float]] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)


def fused_path(out: Path, method: str, scene: str) -> Path:
    """Where a method's picture of a scene is kept."""
    return out / FUSED_FOLDER / method / f"{scene}.png"


def record_path(out: Path, scene: str) -> Path:
    """Where what is known of a scene is kept."""
    return out / RECORDS_FOLDER / f"{scene}.json"


def evaluate_scene(job: SceneJob) -> SceneOutcome:
    """Fuse and score one scene by every method; what an earlier run found is taken as it is.

    The record is written after each method, so that a run that is stopped loses one picture.
    """
    outcome = SceneOutcome(job.scene.name)
    sources = Sources(job.scene, choice=job.choice, max_side_px=job.max_side_px)
    try:
        outcome.exposures = len(sources.exposures)
    except FAILURES as error:
        outcome.failures.append(describe_failure(error, job.scene.name))
        return outcome
    path = record_path(job.out, job.scene.name)
    record = read_record(path)
    for method in job.methods:
        if not method.applies_to(job.scene):
            continue
        try:
            picture = _update_picture(job, method, sources, record)
            record.methods[method.label] = picture
            failures = _update_scores(job, method, sources, picture)
        except FAILURES as error:
            record.methods.pop(method.label, None)
            outcome.failures.append(describe_failure(error, job.scene.name, method.label))
            continue
        write_record(path, record)
        outcome.failures += failures
        known = [(name, picture.scores[name]) for name in job.metrics if name in picture.scores]
        outcome.scores[method.label] = {
            name: score.value for name, score in known if score.value is not None
        }
    if job.has_sheet and outcome.scores:
        _update_sheet(job, sources, record, list(outcome.scores))
        write_record(path, record)
    return outcome


def _update_sheet(
    job: SceneJob, sources: Sources, record: SceneRecord, methods: Sequence[str]
) -> None:
    """Draw the scene's contact sheet, unless the one of these very pictures is there."""
    pictures = [part for label in methods for part in (label, record.methods[label].picture)]
    fingerprint = hash_parts(sources.fingerprint, hash_code(), *pictures)
    if record.sheet == fingerprint and sheet_path(job.out, job.scene.name).exists():
        return
    if record.sheet is not None:  # forgotten before its files change, as a picture is
        record.sheet = None
        write_record(record_path(job.out, job.scene.name), record)
    fused = {label: fused_path(job.out, label, job.scene.name) for label in methods}
    write_sheet(job.out, job.scene.name, sources.exposures, fused)
    record.sheet = fingerprint


def describe_failure(
    error: BaseException, scene: str, method: str | None = None, metric: str | None = None
) -> Failure:
    """Put an error into the form of the summary, without paths of this machine.

    Messages of OpenCV name its source files, those of `subprocess` the command line.
    """
    if isinstance(error, FusionError):
        code, message = error.code, error.message
    elif isinstance(error, OSError):
        code, message = "unreadable", error.strerror or type(error).__name__
    elif isinstance(error, cv2.error | subprocess.SubprocessError):
        said = " ".join(str(getattr(error, "err", "")).split())
        code, message = type(error).__name__, said or "expected a result, got an error"
    else:
        code, message = type(error).__name__, str(error)
    return Failure(scene=scene, method=method, metric=metric, code=code, message=message)


def _update_picture(
    job: SceneJob, method: Method, sources: Sources, record: SceneRecord
) -> MethodRecord:
    """What is known of a method's picture; fuses unless this very picture is there.

    Scores stay when the picture that is fused again is the one they were computed of.
    """
    path = fused_path(job.out, method.label, job.scene.name)
    fingerprint = hash_parts(sources.fingerprint, method.fingerprint(job.scene))
    known = record.methods.get(method.label) if path.exists() else None
    if known is not None and (known.picture, known.code) == (fingerprint, hash_code()):
        return known
    fused = method.fuse(sources)
    if fused.shape != sources.exposures.darkest.shape:
        raise ValueError(f"expected a picture {sources.exposures.darkest.shape}, got {fused.shape}")
    made = MethodRecord(picture=fingerprint, code=hash_code(), greys=sources.greys_hash)
    if (
        known is not None
        and _has_same_exposures(known, made)
        and np.array_equal(read_picture(path), fused)
    ):
        made.scores = known.scores
        return made
    # Forgotten on disk before the picture changes: a run that is killed now leaves no picture
    # under the scores of another one.
    if record.methods.pop(method.label, None) is not None:
        write_record(record_path(job.out, job.scene.name), record)
    write_png(path, fused)
    return made


def _has_same_exposures(known: MethodRecord, made: MethodRecord) -> bool:
    if known.greys is None:
        return known.picture == made.picture
    return known.greys == made.greys


def _update_scores(
    job: SceneJob, method: Method, sources: Sources, record: MethodRecord
) -> list[Failure]:
    """Compute the metrics that the record lacks; one that fails stays absent and is reported."""
    missing = [
        name
        for name, definition in job.metrics.items()
        if name not in record.scores or record.scores[name].metric != definition
    ]
    if not missing:
        return []
    fused = read_picture(fused_path(job.out, method.label, job.scene.name))
    pictures = {
        "grey": (sources.greys, to_grey(fused)),
        "rgb": (sources.pictures, to_8_bit(fused)),
    }
    failures: list[Failure] = []
    for name in missing:
        record.scores.pop(name, None)
        try:
            measure = MEASURES[name]
            value = measure.compute(*pictures[measure.reads])
            if value is not None and not math.isfinite(value):
                raise ValueError(f"expected a finite value of {name}, got {value}")
        except FAILURES as error:
            failures.append(describe_failure(error, job.scene.name, method.label, name))
            continue
        record.scores[name] = Score(metric=job.metrics[name], value=value)
    return failures
