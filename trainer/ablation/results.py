"""What an ablation found, read from its folder: scores, differences, losses, and what failed."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass

from trainer.ablation.folders import Curve, Folders
from trainer.ablation.plan import PlannedArm
from trainer.ablation.studies import Study
from trainer.evaluation.report.statistics import (
    PairedInterval,
    Scores,
    average_ranks,
    average_scores,
    bootstrap_difference,
    gather,
)
from trainer.evaluation.report.summary import Summary
from trainer.files import write_whole
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
        is_complete: Its training is over.
        failure: What went wrong, None when nothing did.
        unscored: What its evaluation could not score, a line each.
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
    is_complete: bool
    failure: str | None
    unscored: tuple[str, ...]

    @property
    def is_done(self) -> bool:
        """It is trained and scored."""
        return self.is_complete and bool(self.scores)


@dataclass(frozen=True, slots=True)
class StudyResult:
    """What is known of one question.

    Attributes:
        study: The question.
        arms: Its arms, the first one being what the others are compared with.
        curves: Loss curves by name of the training.
        pairs: Pairs for which every scored arm has scores.
        datasets: What the arms were scored on: folders of pairs, reduced or not.
    """

    study: Study
    arms: tuple[ArmResult, ...]
    curves: Mapping[str, Curve]
    pairs: int
    datasets: tuple[str, ...]


def collect_results(
    planned: Sequence[PlannedArm],
    folders: Folders,
    failures: Mapping[str, str],
    *,
    asked: Collection[str],
) -> tuple[StudyResult, ...]:
    """Read what there is of the studies that were asked for, and of all that are done.

    A study that was not asked for may have begun with a training that it shares with one that was.

    Args:
        planned: All arms of the file.
        folders: Folder of the ablation.
        failures: What went wrong now, by the name of the training.
        asked: Names of the studies that were asked for; of these, those that have been begun.

    Returns:
        The studies in the file's order.
    """
    studies: dict[str, list[PlannedArm]] = {}
    for one in planned:
        studies.setdefault(one.study.name, []).append(one)
    results = [_collect_study(arms, folders, failures) for arms in studies.values()]
    return tuple(
        result
        for result in results
        if all(arm.is_done for arm in result.arms)
        or (result.study.name in asked and any(arm.steps or arm.failure for arm in result.arms))
    )


def read_commands(folders: Folders) -> list[str]:
    """Commands that have trained or scored what lies in the folder, the oldest first."""
    try:
        text = (folders.root / RESULTS_NAME).read_text(encoding="utf-8")
    except OSError:
        return []
    document = json.loads(text)
    # Earlier versions kept the last one alone, among the facts.
    earlier = document["facts"].get("Command", "").strip("`")
    commands: list[str] = document.get("commands", [earlier] if earlier else [])
    return commands


def write_results(
    folders: Folders,
    results: Sequence[StudyResult],
    facts: Mapping[str, str],
    commands: Sequence[str],
) -> None:
    """Write `results.json`: commands, facts, and of every study all but its curves."""
    studies = {
        result.study.name: {
            "title": result.study.title,
            "question": result.study.question,
            "pairs": result.pairs,
            "datasets": result.datasets,
            "arms": [asdict(arm) for arm in result.arms],
        }
        for result in results
    }
    document = {"commands": list(commands), "facts": dict(facts), "studies": studies}
    write_whole(folders.root / RESULTS_NAME, json.dumps(document, indent=1) + "\n")


def _collect_study(
    arms: Sequence[PlannedArm], folders: Folders, failures: Mapping[str, str]
) -> StudyResult:
    scores: dict[str, dict[str, Mapping[str, float]]] = {}
    for one in arms:
        for pair, values in folders.read_scores(one.trial).items():
            scores.setdefault(pair, {})[one.arm.name] = values
    names = [one.arm.name for one in arms]
    summaries = {one.arm.name: folders.read_summary(one.trial) for one in arms}
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
        summary = summaries[name]
        unscored = () if summary is None else tuple(str(failure) for failure in summary.failures)
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
                chroma=None if summary is None else summary.chroma.get(one.trial.label),
                mean_rank=ranks.get(name),
                differences=_compare(scores, name, names[0], metrics),
                is_complete=is_complete(record),
                failure=failures.get(run) or _count_failures(unscored),
                unscored=unscored,
            )
        )
    complete = [of_pair for of_pair in scores.values() if len(of_pair) == len(scored)]
    return StudyResult(
        arms[0].study,
        tuple(results),
        {run: curve for run, curve in curves.items() if curve},
        len(complete),
        tuple(dict.fromkeys(_name_dataset(one) for one in summaries.values() if one is not None)),
    )


def _count_failures(unscored: Sequence[str]) -> str | None:
    return f"{len(unscored)} not scored" if unscored else None


def _name_dataset(summary: Summary) -> str:
    size = f", reduced to {summary.max_side_px} pixels" if summary.max_side_px else ""
    return f"`{summary.dataset}`{size}"


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


def is_complete(record: Mapping[str, object] | None) -> bool:
    """Whether a training is over; one that stopped early is."""
    return bool((record or {}).get("is_complete"))


def _final_losses(curve: Curve) -> dict[str, float]:
    rows = len(curve.get("step", []))
    last = max(1, round(FINAL_SHARE * rows))
    return {
        name: sum(values[-last:]) / last
        for name, values in curve.items()
        if name != "step" and values
    }
