"""Computes means, ranks, intervals and margins of methods from their scores on the scenes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from trainer.metrics import MEASURES, METRICS

CONFIDENCE = 0.95
RESAMPLES = 10_000
BOOTSTRAP_SEED = 20_260

SHARPNESS_METRICS = ("AG", "EI", "LPC-SI", "S3", "SF")
QUALITY_METRICS = ("PIQE", "Qabf", "VIFF")
MARGIN_PEERS = ("densefuse", "u2fusion")
"""The peers of the paper whose pictures are to be had; of TransMEF there are none."""

PAPER_PEERS = (*MARGIN_PEERS, "transmef")
PAPER_PAIRS = 14
PAPER_METHOD = "hyperp_mb"
_PAPER_COLUMNS = (*SHARPNESS_METRICS, *QUALITY_METRICS)
_PAPER_ROWS = {
    "densefuse": (4.1796, 41.3714, 0.9369, 0.1830, 13.7378, 26.0896, 0.4208, 0.4285),
    "u2fusion": (4.7719, 48.9770, 0.9438, 0.1798, 15.3116, 35.4318, 0.3898, 0.4181),
    "transmef": (3.9983, 40.3294, 0.9360, 0.1627, 13.1360, 37.8373, 0.3520, 0.4084),
    PAPER_METHOD: (6.1319, 61.6277, 0.9543, 0.2369, 19.7974, 25.8651, 0.5059, 0.5477),
}
PAPER_MEANS = {
    method: dict(zip(_PAPER_COLUMNS, row, strict=True)) for method, row in _PAPER_ROWS.items()
}
"""Means over the paper's own pairs by method and metric: its Table 1, as far as margins need it."""

Scores = Mapping[str, Mapping[str, Mapping[str, float]]]
"""Value by scene, method and metric, of guards too; a value that could not be had is absent."""

Means = dict[str, dict[str, float]]
"""Value by method and metric."""


@dataclass(frozen=True, slots=True)
class PairedInterval:
    """How far our method is from another one on the scenes that both have.

    Attributes:
        difference: Mean of ours minus the other's, in the metric's unit.
        low: Lower end of the 95 % confidence interval.
        high: Upper end.
        scenes: Scenes that both have; two at least.
        higher: On so many of them ours is higher.
        lower: On so many ours is lower.
    """

    difference: float
    low: float
    high: float
    scenes: int
    higher: int
    lower: int


def average_scores(scores: Scores, methods: Sequence[str], metrics: Sequence[str]) -> Means:
    """Average each method over the scenes for which it has a value; nothing where it has none."""
    means: Means = {}
    for method in methods:
        columns = {metric: gather(scores, method, metric) for metric in metrics}
        means[method] = {
            metric: float(np.mean(list(column.values())))
            for metric, column in columns.items()
            if column
        }
    return means


def gather(scores: Scores, method: str, metric: str) -> dict[str, float]:
    """One method's values of one metric, by scene."""
    return {
        scene: of_scene[method][metric]
        for scene, of_scene in scores.items()
        if metric in of_scene.get(method, {})
    }


def select_whole(scores: Scores, methods: Sequence[str], metric: str | None = None) -> list[str]:
    """The methods that have a picture of every scene or, of a metric, a value for every scene.

    Example:
        >>> select_whole({"one": {"a": {"AG": 2.0}, "b": {}}, "two": {"a": {}}}, ["a", "b"])
        ['a']
    """
    return [
        method
        for method in methods
        if all(
            method in of_scene and (metric is None or metric in of_scene[method])
            for of_scene in scores.values()
        )
    ]


def select_common(
    scores: Scores, methods: Sequence[str], metrics: Sequence[str]
) -> dict[str, Mapping[str, Mapping[str, float]]]:
    """Scores of the scenes for which every one of the methods has every one of the metrics."""
    return {
        scene: of_scene
        for scene, of_scene in scores.items()
        if all(metric in of_scene.get(method, {}) for method in methods for metric in metrics)
    }


def average_ranks(
    scores: Scores, methods: Sequence[str], metrics: Sequence[str]
) -> dict[str, float]:
    """Mean rank of each method over scenes and metrics; 1 is the best, ties share their mean.

    Only a scene and metric for which every method has a value counts.

    Example:
        >>> scores = {"one": {"a": {"AG": 2.0}, "b": {"AG": 1.0}}}
        >>> average_ranks(scores, ["a", "b"], ["AG"])
        {'a': 1.0, 'b': 2.0}
    """
    ranks: list[NDArray[np.float64]] = []
    for of_scene in scores.values():
        for metric in metrics:
            values = [of_scene.get(method, {}).get(metric) for method in methods]
            known = [value for value in values if value is not None]
            if len(known) == len(methods):
                sign = -1.0 if METRICS[metric].higher_is_better else 1.0
                ranks.append(rankdata(sign * np.array(known)))
    if not ranks:
        return {}
    return dict(zip(methods, np.mean(ranks, axis=0).tolist(), strict=True))


def bootstrap_difference(
    ours: Mapping[str, float], other: Mapping[str, float]
) -> PairedInterval | None:
    """Interval of the mean paired difference, by resampling scenes.

    The percentile interval of `RESAMPLES` resamples with replacement of the scenes' differences;
    the same scenes give the same interval.

    Args:
        ours: Our values of one metric by scene.
        other: The other method's.

    Returns:
        The interval, None where fewer than two scenes have both values.

    Reference:
        Efron and Tibshirani, "An introduction to the bootstrap", 1993, chapter 13.
    """
    common = [scene for scene in ours if scene in other]
    if len(common) < 2:
        return None
    differences = np.array([ours[scene] - other[scene] for scene in common])
    generator = np.random.default_rng(BOOTSTRAP_SEED)
    chosen = generator.integers(0, len(common), (RESAMPLES, len(common)))
    tail = (1.0 - CONFIDENCE) / 2.0
    low, high = np.quantile(differences[chosen].mean(axis=1), [tail, 1.0 - tail]).tolist()
    return PairedInterval(
        difference=float(differences.mean()),
        low=low,
        high=high,
        scenes=len(common),
        higher=int(np.count_nonzero(differences > 0)),
        lower=int(np.count_nonzero(differences < 0)),
    )


def relative_margin(
    ours: Mapping[str, float], peers: Sequence[Mapping[str, float]], metrics: Sequence[str]
) -> float | None:
    r"""The paper's margin: mean relative improvement over each peer and each metric.

    .. math::
        \frac{1}{|M||P|} \sum_{m \in M} \sum_{p \in P} s_m \frac{x_m - p_m}{p_m},
        \qquad s_m = \pm 1

    with s = -1 where lower is better. Averaging the quotients, and not dividing by the peers'
    mean, is the reading that gives the paper's 32.8 % and 27.35 % from its Table 1.

    Args:
        ours: Our means by metric.
        peers: Each peer's means.
        metrics: Metrics of the margin.

    Returns:
        The margin as a share, 0.328 for 32.8 %; None where a value is missing or a peer's is 0.
    """
    quotients: list[float] = []
    for metric in metrics:
        for peer in peers:
            if metric not in METRICS or metric not in ours or not peer.get(metric):
                return None
            sign = 1.0 if METRICS[metric].higher_is_better else -1.0
            quotients.append(sign * (ours[metric] - peer[metric]) / peer[metric])
    return float(np.mean(quotients)) if quotients else None


def paper_margin(peers: Sequence[str], metrics: Sequence[str]) -> float:
    """The margin of the paper's own means over some of its peers, by the same formula.

    Args:
        peers: Of `PAPER_PEERS`.
        metrics: `SHARPNESS_METRICS` or `QUALITY_METRICS`.

    Returns:
        The margin as a share.

    Example:
        >>> f"{paper_margin(PAPER_PEERS, SHARPNESS_METRICS):.3f}"
        '0.328'
    """
    ours = PAPER_MEANS[PAPER_METHOD]
    margin = relative_margin(ours, [PAPER_MEANS[peer] for peer in peers], metrics)
    if margin is None:
        raise ValueError(f"expected peers of {', '.join(PAPER_PEERS)}, got none")
    return margin


def order_of_merit(values: Mapping[str, float], metric: str) -> list[str]:
    """Methods from the best value of a metric or guard to the worst."""
    return sorted(values, key=values.__getitem__, reverse=MEASURES[metric].higher_is_better)
