"""Builds the summary of an evaluation from the outcomes of its scenes."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict

from trainer.evaluation.report.statistics import (
    MARGIN_PEERS,
    QUALITY_METRICS,
    SHARPNESS_METRICS,
    Scores,
    average_ranks,
    average_scores,
    bootstrap_difference,
    gather,
    relative_margin,
    select_common,
    select_whole,
)
from trainer.evaluation.report.summary import Interval, Margins, MethodSummary, Summary
from trainer.evaluation.scenes import ExposureChoice
from trainer.evaluation.scoring import SceneOutcome
from trainer.metrics import GUARDS, PAPER_METRICS, RANKED_METRICS

OURS = ("weights", "run")
"""Kinds of which the first method is compared with all others: what is served goes first."""


def summarise(
    outcomes: Sequence[SceneOutcome],
    *,
    dataset: str,
    exposures: ExposureChoice,
    max_side_px: int | None,
    metrics: Sequence[str],
    methods: Mapping[str, MethodSummary],
    missing_methods: Sequence[str],
) -> Summary:
    """Gather what the scenes gave into the summary.

    Args:
        outcomes: Of every scene, failed ones too.
        dataset: Name of the evaluation set.
        exposures: Which exposures of each scene were taken.
        max_side_px: Side to which the exposures were reduced.
        metrics: Names, in the order of the tables.
        methods: What each method is, by label, in the order of the tables.
        missing_methods: Those that this machine has not.

    Returns:
        The summary.
    """
    scores = collect_scores(outcomes)
    labels = list(methods)
    kinds = [methods[label].kind for label in labels]
    ours = next((labels[kinds.index(kind)] for kind in OURS if kind in kinds), None)
    others = [label for label in labels if label != ours]
    lacking = {
        label: tuple(scene for scene, of_scene in scores.items() if label not in of_scene)
        for label in labels
    }
    whole = select_whole(scores, labels)
    ranked = tuple(name for name in RANKED_METRICS if name in metrics)
    return Summary(
        dataset=dataset,
        exposures=exposures,
        max_side_px=max_side_px,
        scenes=tuple(scores),
        exposure_counts={one.name: one.exposures for one in outcomes if one.name in scores},
        metrics=tuple(metrics),
        ours=ours,
        methods=dict(methods),
        counts={label: len(scores) - len(scenes) for label, scenes in lacking.items()},
        lacking={label: scenes for label, scenes in lacking.items() if scenes},
        means=average_scores(scores, labels, metrics),
        guards=average_scores(scores, labels, tuple(GUARDS)),
        guard_scenes={
            label: {
                guard: len(column) for guard in GUARDS if (column := gather(scores, label, guard))
            }
            for label in labels
        },
        ranked=ranked,
        mean_rank=average_ranks(scores, whole, ranked),
        mean_rank_paper=average_ranks(
            scores, whole, [name for name in PAPER_METRICS if name in metrics]
        ),
        intervals={} if ours is None else _compare(scores, ours, others, (*metrics, *GUARDS)),
        margins=None if ours is None else _margins(scores, ours, metrics),
        missing_methods=tuple(missing_methods),
        failures=tuple(failure for outcome in outcomes for failure in outcome.failures),
    )


def collect_scores(outcomes: Sequence[SceneOutcome]) -> Scores:
    """Value by scene, method and metric or guard, without the scenes that have none."""
    return {outcome.name: outcome.scores for outcome in outcomes if any(outcome.scores.values())}


def _compare(
    scores: Scores, ours: str, others: Sequence[str], metrics: Sequence[str]
) -> dict[str, dict[str, Interval]]:
    compared: dict[str, dict[str, Interval]] = {}
    for other in others:
        compared[other] = {}
        for metric in metrics:
            interval = bootstrap_difference(
                gather(scores, ours, metric), gather(scores, other, metric)
            )
            if interval is not None:
                compared[other][metric] = Interval(**asdict(interval))
    return compared


def _margins(scores: Scores, ours: str, metrics: Sequence[str]) -> Margins | None:
    """Margins over the peers that are there, all averaged over the same scenes."""
    peers = tuple(
        peer for peer in MARGIN_PEERS if any(of_scene.get(peer) for of_scene in scores.values())
    )
    if not peers:
        return None
    needed = [name for name in (*SHARPNESS_METRICS, *QUALITY_METRICS) if name in metrics]
    common = select_common(scores, (ours, *peers), needed)
    means = average_scores(common, (ours, *peers), needed)
    of_peers = [means[peer] for peer in peers]
    return Margins(
        peers=peers,
        scenes=len(common),
        sharpness=relative_margin(means[ours], of_peers, SHARPNESS_METRICS),
        quality=relative_margin(means[ours], of_peers, QUALITY_METRICS),
    )
