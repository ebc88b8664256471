"""Runs an evaluation: fuses and scores every pair by every method, and writes the documents."""

import sys
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from model.manifest import PARAMETERS_NAME
from model.release.weights import load_weights
from trainer.errors import DataError
from trainer.evaluation.cache import fingerprint_metric
from trainer.evaluation.methods.others import Method, PeerMethod, list_peers, make_methods
from trainer.evaluation.methods.weights import WeightsMethod
from trainer.evaluation.pairs import EvaluationPair, list_pairs
from trainer.evaluation.report.page import write_report
from trainer.evaluation.report.sheets import EXPOSURES
from trainer.evaluation.report.summarise import collect_scores, summarise
from trainer.evaluation.report.summary import (
    Failure,
    MethodSummary,
    Summary,
    write_scores,
    write_summary,
)
from trainer.evaluation.scoring import PairJob, PairOutcome, evaluate_pair
from trainer.metrics import GUARDS, METRICS
from trainer.pool import count_cores, run_jobs


def evaluate(
    pairs_dir: Path,
    out: Path,
    *,
    weights: Sequence[WeightsMethod],
    methods: Sequence[str] = (),
    use_peers: bool = False,
    metrics: Sequence[str] | None = None,
    max_side_px: int | None = None,
    pairs: Sequence[str] | None = None,
    workers: int | None = None,
    report: bool = True,
) -> Summary:
    """Fuse and score pairs, and write `scores.csv`, `summary.json` and the report.

    A second call with the same output folder computes only what is missing: pictures are kept
    under `fused/`, values under `records/`, keyed on the content of exposures, weights, options
    and code. A pair that fails is reported in the summary and does not end the run.

    Args:
        pairs_dir: See `list_pairs`.
        out: Output folder.
        weights: Weights versions; the first one is `ours` in the summary.
        methods: Of `mertens`, `mean` and `enfuse`.
        use_peers: Score the published pictures beside the pairs.
        metrics: Names of the quality metrics, all of them by default; guards are always taken.
        max_side_px: Reduce the exposures by area averaging first: quick, and no longer the
            full-resolution evaluation.
        pairs: Names of the pairs, all of them by default.
        workers: Processes; None takes one for each core, 1 computes in this process.
        report: Write `report.html` too.

    Returns:
        The summary, also when nothing could be scored.

    Raises:
        DataError: There is nothing to evaluate, or a name is unknown or given twice.
        WeightsError: A weights version does not pass its checks.
    """
    scenes = _select_pairs(list_pairs(pairs_dir), pairs)
    names = _select_metrics(metrics)
    computed, missing_methods = make_methods(methods)
    for name in missing_methods:
        sys.stderr.write(f"{name}: not installed on this machine, left out\n")
    peers = list_peers(scenes) if use_peers else []
    columns: list[Method] = [*weights, *peers, *computed]
    _check_columns(columns)
    described = {method.label: _describe(method) for method in columns}
    definitions = {name: fingerprint_metric(name) for name in (*names, *GUARDS)}
    jobs = [
        PairJob(pair, out, tuple(columns), definitions, max_side_px, has_sheet=report)
        for pair in scenes
    ]
    outcomes = evaluate_pairs(jobs, workers)
    summary = summarise(
        outcomes,
        dataset=pairs_dir.resolve().name,
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


def evaluate_pairs(jobs: Sequence[PairJob], workers: int | None) -> list[PairOutcome]:
    """Evaluate pairs under a progress bar; a process that dies costs one pair and not the run.

    Args:
        jobs: One for each pair.
        workers: Processes; None takes one for each core, 1 computes in this process.

    Returns:
        The outcomes, in the order of the jobs.
    """
    cores = count_cores()
    count = min(workers or cores, len(jobs))
    outcomes: dict[str, PairOutcome] = {}
    done = run_jobs(evaluate_pair, jobs, 0 if count == 1 else count, threads=max(1, cores // count))
    for job, outcome in tqdm(done, total=len(jobs), unit="pair", desc="evaluate"):
        name = job.pair.name
        outcomes[name] = outcome or PairOutcome(name, failures=[_report_death(name)])
    return [outcomes[job.pair.name] for job in jobs]


def _report_death(name: str) -> Failure:
    return Failure(pair=name, code="died", message="expected a result, got a process that died")


def _select_pairs(
    scenes: Sequence[EvaluationPair], names: Sequence[str] | None
) -> list[EvaluationPair]:
    if names is None:
        return list(scenes)
    unknown = sorted(set(names) - {scene.name for scene in scenes})
    if unknown:
        raise DataError(f"expected names of pairs in the folder, got {', '.join(unknown)}")
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
    odd += [label for label in labels if label in EXPOSURES]
    if odd:
        raise DataError(f"expected labels that can name a folder of pictures, got '{odd[0]}'")


def _describe(method: Method) -> MethodSummary:
    """What a column is; weights are verified here, before anything is computed."""
    if isinstance(method, PeerMethod):
        return MethodSummary(kind="peer")
    if not isinstance(method, WeightsMethod):
        return MethodSummary(kind="computed")
    manifest = load_weights(method.directory).manifest
    return MethodSummary(
        kind="weights",
        weights=manifest.label,
        parameters_sha256=manifest.files[PARAMETERS_NAME].sha256,
        align=method.align,
        chroma=method.chroma or manifest.chroma,
        reference=method.reference or manifest.reference,
    )
