"""Runs an evaluation: fuses and scores every scene by every method, and writes the documents."""

import sys
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from model.manifest import PARAMETERS_NAME
from model.release.weights import load_weights
from trainer.errors import DataError
from trainer.evaluation.cache import fingerprint_metric
from trainer.evaluation.methods.computed import make_methods
from trainer.evaluation.methods.method import Method
from trainer.evaluation.methods.peers import PeerMethod, list_peers
from trainer.evaluation.methods.runs import RunMethod
from trainer.evaluation.methods.weights import WeightsMethod
from trainer.evaluation.report.page import write_report
from trainer.evaluation.report.sheets import EXPOSURE_NAMES
from trainer.evaluation.report.summarise import collect_scores, summarise
from trainer.evaluation.report.summary import (
    Failure,
    MethodSummary,
    Summary,
    write_scores,
    write_summary,
)
from trainer.evaluation.scenes import EvaluationScene, ExposureChoice, list_scenes
from trainer.evaluation.scoring import SceneJob, SceneOutcome, evaluate_scene
from trainer.metrics import GUARDS, METRICS
from trainer.pool import count_cores, run_jobs


def evaluate(
    scenes_dir: Path,
    out: Path,
    *,
    weights: Sequence[WeightsMethod | RunMethod],
    methods: Sequence[str] = (),
    use_peers: bool = False,
    metrics: Sequence[str] | None = None,
    exposures: ExposureChoice = "all",
    max_side_px: int | None = None,
    scenes: Sequence[str] | None = None,
    workers: int | None = None,
    report: bool = True,
) -> Summary:
    """Fuse and score scenes, and write `scores.csv`, `summary.json` and the report.

    A second call with the same output folder computes only what is missing: pictures are kept
    under `fused/`, values under `records/`, keyed on the content of exposures, weights, options
    and code. A scene that fails is reported in the summary and does not end the run.

    Args:
        scenes_dir: See `list_scenes`.
        out: Output folder.
        weights: Weights versions, and trainings of networks that are not served; the first one is
            `ours` in the summary.
        methods: Of those of `make_methods`.
        use_peers: Score the published pictures beside the scenes.
        metrics: Names of the quality metrics, all of them by default; guards are always taken.
        exposures: Which exposures of a scene are fused and compared with.
        max_side_px: Reduce the exposures by area averaging first: quick, and no longer the
            full-resolution evaluation.
        scenes: Names of the scenes, all of them by default.
        workers: Processes; None takes one for each core, 1 computes in this process.
        report: Write `report.html` too.

    Returns:
        The summary, also when nothing could be scored.

    Raises:
        DataError: There is nothing to evaluate, or a name is unknown or given twice.
        WeightsError: A weights version does not pass its checks.
    """
    chosen = _select_scenes(list_scenes(scenes_dir), scenes)
    names = _select_metrics(metrics)
    computed, missing_methods = make_methods(methods)
    for name in missing_methods:
        sys.stderr.write(f"{name}: not installed on this machine, left out\n")
    peers = list_peers(chosen) if use_peers else []
    columns: list[Method] = [*weights, *peers, *computed]
    _check_columns(columns)
    described = {method.label: _describe(method) for method in columns}
    definitions = {name: fingerprint_metric(name) for name in (*names, *GUARDS)}
    jobs = [
        SceneJob(scene, out, tuple(columns), definitions, exposures, max_side_px, report)
        for scene in chosen
    ]
    outcomes = evaluate_scenes(jobs, workers)
    summary = summarise(
        outcomes,
        dataset=scenes_dir.resolve().name,
        exposures=exposures,
        max_side_px=max_side_px,
        metrics=names,
        methods=described,
        missing_methods=missing_methods,
    )
    for failure in summary.failures:
        sys.stderr.write(f"{failure}\n")
    scores = collect_scores(outcomes)
    write_scores(out, scores)
    write_summary(out, summary)
    if report:
        write_report(out, summary, scores)
    return summary


def evaluate_scenes(jobs: Sequence[SceneJob], workers: int | None) -> list[SceneOutcome]:
    """Evaluate scenes under a progress bar; a process that dies costs one scene and not the run.

    Args:
        jobs: One for each scene.
        workers: Processes; None takes one for each core, 1 computes in this process.

    Returns:
        The outcomes, in the order of the jobs.
    """
    cores = count_cores()
    count = min(workers or cores, len(jobs))
    threads = max(1, cores // count)
    outcomes: dict[str, SceneOutcome] = {}
    done = run_jobs(evaluate_scene, jobs, 0 if count == 1 else count, threads=threads)
    for job, outcome in tqdm(done, total=len(jobs), unit="scene", desc="evaluate"):
        name = job.scene.name
        outcomes[name] = outcome or SceneOutcome(name, failures=[_report_death(name)])
    return [outcomes[job.scene.name] for job in jobs]


def _report_death(name: str) -> Failure:
    return Failure(scene=name, code="died", message="expected a result, got a process that died")


def _select_scenes(
    scenes: Sequence[EvaluationScene], names: Sequence[str] | None
) -> list[EvaluationScene]:
    if names is None:
        return list(scenes)
    unknown = sorted(set(names) - {scene.name for scene in scenes})
    if unknown:
        raise DataError(f"expected names of scenes in the folder, got {', '.join(unknown)}")
    return [scene for scene in scenes if scene.name in names]


def _select_metrics(names: Sequence[str] | None) -> list[str]:
    unknown = sorted(set(names or ()) - METRICS.keys())
    if unknown:
        raise DataError(f"expected metrics of {', '.join(METRICS)}, got {', '.join(unknown)}")
    return [name for name in METRICS if names is None or name in names]


def _check_columns(columns: Sequence[Method]) -> None:
    labels = [method.label for method in columns]
    if not labels:
        raise DataError("expected weights, methods or peers to evaluate, got none")
    twice = sorted({label for label in labels if labels.count(label) > 1})
    if twice:
        raise DataError(f"expected a label for each method, got {', '.join(twice)} twice")
    odd = [label for label in labels if "/" in label or label.startswith(".") or not label]
    odd += [label for label in labels if label in EXPOSURE_NAMES]
    if odd:
        raise DataError(f"expected labels that can name a folder of pictures, got '{odd[0]}'")


def _describe(method: Method) -> MethodSummary:
    """What a column is; weights are verified here, before anything is computed."""
    if isinstance(method, PeerMethod):
        return MethodSummary(kind="peer")
    if isinstance(method, RunMethod):
        return MethodSummary(kind="run", align="off")
    if not isinstance(method, WeightsMethod):
        return MethodSummary(kind="computed")
    manifest = load_weights(method.directory).manifest
    return MethodSummary(
        kind="weights",
        weights=manifest.label,
        parameters_sha256=manifest.files[PARAMETERS_NAME].sha256,
        exposures=manifest.accepted_exposures,
        align=method.align,
        ghosts=method.ghosts,
        chroma=method.chroma or manifest.chroma,
        reference=method.reference or manifest.reference,
    )
