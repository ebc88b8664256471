"""What an ablation found, read from its folder: scores, differences, losses, and what failed."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from trainer.ablation.folders import Curve, Folders
from trainer.ablation.plan import PlannedArm
from trainer.ablation.studies import Study
from trainer.evaluation.statistics import (
    PairedInterval,
    Scores,
    average_ranks,
    average_scores,
    bootstrap_difference,
    gather,
)
from trainer.metrics import METRICS

RESULTS_NAME = "results.json"
FINAL_SHARE = 0.1
"""The final losses are means over this last part of a run; a batch of one says little."""


@dataclass(frozen=True, slots=True)
class ArmResult:
    """What is known of one arm.

    Attributes:
        name: Its name in the study.
        run: Name of its training.
        set: Its overrides of the base config.
        evaluation: Its options of the evaluation, where they are not the usual ones.
        steps: Steps taken.
        seconds: Seconds of the training.
        losses: Final losses.
        scores: Mean scores by metric; empty before its evaluation.
        chroma: Mean CIELAB chroma of its pictures.
        mean_rank: Mean rank among the study's arms, 1 the best; None before all are scored.
        differences: This arm minus the first one by metric, with its interval.
        failure: What went wrong, None when nothing did.
    """

    name: str
    run: str
    set: tuple[str, ...]
    evaluation: Mapping[str, str]
    steps: int
    seconds: float
    losses: Mapping[str, float]
    scores: Mapping[str, float]
    chroma: float | None
    mean_rank: float | None
    differences: Mapping[str, PairedInterval]
    failure: str | None


@dataclass(frozen=True, slots=True)
class StudyResult:
    """What is known of one question.

    Attributes:
        study: The question.
        arms: Its arms, the first one being what the others are compared with.
        curves: Loss curves by name of the training.
        pairs: Pairs for which every scored arm has scores.
    """

    study: Study
    arms: tuple[ArmResult, ...]
    curves: Mapping[str, Curve]
    pairs: int


def collect_results(
    planned: Sequence[PlannedArm], folders: Folders, failures: Mapping[str, str]
) -> tuple[StudyResult, ...]:
    """Read what there is of every study of which at least one arm has been begun.

    Args:
        planned: All arms of the file.
        folders: Folder of the ablation.
        failures: What went wrong now, by the name of the training.

    Returns:
        The studies in the file's order.
    """
    studies: dict[str, list[PlannedArm]] = {}
    for one in planned:
        studies.setdefault(one.study.name, []).append(one)
    results = [_collect_study(arms, folders, failures) for arms in studies.values()]
    return tuple(
        result for result in results if any(arm.steps or arm.failure for arm in result.arms)
    )


def write_results(
    folders: Folders, results: Sequence[StudyResult], facts: Mapping[str, str]
) -> None:
    """Write `results.json`: the facts of the ablation, and of every study all but its curves."""
    studies = {
        result.study.name: {
            "title": result.study.title,
            "question": result.study.question,
            "pairs": result.pairs,
            "arms": [asdict(arm) for arm in result.arms],
        }
        for result in results
    }
    document = json.dumps({"facts": dict(facts), "studies": studies}, indent=1)
    folders.root.mkdir(parents=True, exist_ok=True)
    partial = folders.root / f"{RESULTS_NAME}.partial"
    partial.write_text(document + "\n", encoding="utf-8")
    partial.replace(folders.root / RESULTS_NAME)


def _collect_study(
    arms: Sequence[PlannedArm], folders: Folders, failures: Mapping[str, str]
) -> StudyResult:
    scores: dict[str, dict[str, Mapping[str, float]]] = {}
    for one in arms:
        for pair, values in folders.read_scores(one.trial).items():
            scores.setdefault(pair, {})[one.arm.name] = values
    names = [one.arm.name for one in arms]
    scored = [name for name in names if any(name in of_pair for of_pair in scores.values())]
    present = {name for of_pair in scores.values() for one in of_pair.values() for name in one}
    metrics = [name for name in METRICS if name in present]
    means = average_scores(scores, scored, metrics)
    ranks = average_ranks(scores, scored, metrics) if len(scored) == len(names) > 1 else {}
    curves = {one.config.name: folders.read_curve(one.config.name) for one in arms}
    results: list[ArmResult] = []
    for one in arms:
        name, run = one.arm.name, one.config.name
        record = folders.read_record(run)
        sessions = read_sessions(record)
        results.append(
            ArmResult(
                name=name,
                run=run,
                set=one.arm.set,
                evaluation=one.arm.evaluation.model_dump(exclude_defaults=True),
                steps=count_steps(record),
                seconds=sum(float(session["elapsed_s"]) for session in sessions),
                losses=_final_losses(curves[run]),
                scores=means.get(name, {}),
                chroma=folders.read_chroma(one.trial),
                mean_rank=ranks.get(name),
                differences=_compare(scores, name, names[0], metrics),
                failure=failures.get(run),
            )
        )
    complete = [of_pair for of_pair in scores.values() if len(of_pair) == len(scored)]
    return StudyResult(
        arms[0].study,
        tuple(results),
        {run: curve for run, curve in curves.items() if curve},
        len(complete),
    )


def _compare(
    scores: Scores, name: str, first: str, metrics: Sequence[str]
) -> dict[str, PairedInterval]:
    """How far an arm is from the study's first one; empty for that one itself."""
    if name == first:
        return {}
    intervals = {
        metric: bootstrap_difference(gather(scores, name, metric), gather(scores, first, metric))
        for metric in metrics
    }
    return {metric: interval for metric, interval in intervals.items() if interval is not None}


def read_sessions(record: Mapping[str, object] | None) -> list[dict[str, str]]:
    """The stretches in which a training ran, their facts as text."""
    sessions = (record or {}).get("sessions", [])
    if not isinstance(sessions, list):
        return []
    return [{key: str(value) for key, value in session.items()} for session in sessions]


def count_steps(record: Mapping[str, object] | None) -> int:
    """Steps that a training has taken; 0 before its first checkpoint."""
    return int(str((record or {}).get("steps", 0)))


def _final_losses(curve: Curve) -> dict[str, float]:
    rows = len(curve.get("step", []))
    last = max(1, round(FINAL_SHARE * rows))
    return {
        name: sum(values[-last:]) / last
        for name, values in curve.items()
        if name != "step" and values
    }
