"""Says what a dashboard shows, in values: sections, their panels, and the queries of these."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Target:
    """One query of a panel.

    Attributes:
        expr: In PromQL; `OURS` stands for the matchers of the chosen services.
        legend: Of each of its series.
    """

    expr: str
    legend: str


@dataclass(frozen=True, slots=True)
class Graph:
    """One panel over time.

    Attributes:
        title: What it shows.
        unit: One of Grafana's.
        targets: Its queries.
        description: What to read from it, where the title does not tell.
        is_stacked: Series add up to a whole.
    """

    title: str
    unit: str
    targets: Sequence[Target]
    description: str = ""
    is_stacked: bool = False


@dataclass(frozen=True, slots=True)
class Figure:
    """One number of the moment."""

    title: str
    unit: str
    expr: str
    description: str = ""


@dataclass(frozen=True, slots=True)
class Section:
    """One row of the dashboard: a question, and the panels that answer it."""

    question: str
    figures: Sequence[Figure]
    graphs: Sequence[Graph]


def quantiles(metric: str, by: str, *shares: float, legend: str = "") -> list[Target]:
    """Quantiles of a histogram.

    Args:
        metric: Its name, without `_bucket`, with its matchers.
        by: Labels that are kept, each with a comma behind it; empty: none.
        shares: Which quantiles, 0..1.
        legend: What stands before the quantile.
    """
    name, _, matchers = metric.partition("{")
    series = f"{name}_bucket{{{matchers}"
    return [
        Target(
            f"histogram_quantile({share}, sum by ({by}le) (rate({series}[$__rate_interval])))",
            f"{legend} p{share * 100:g}".strip(),
        )
        for share in shares
    ]


def rate_by(label: str, series: str, *, legend: str = "") -> Target:
    """How fast the counters of each value of a label grow, a second.

    Args:
        label: Whose values are told apart.
        series: The counter, with its matchers.
        legend: What stands before the value.
    """
    expr = f"sum by ({label}) (rate({series}[$__rate_interval]))"
    return Target(expr, f"{legend} {{{{{label}}}}}".strip())


def beside_limit(metric: str, name: str) -> list[Target]:
    """A gauge of each replica, and the bound that is in force for it."""
    return [
        Target(f"{metric}{{OURS}}", "{{instance}}"),
        Target(f'min(expofuse_limit{{OURS, name="{name}"}})', "limit"),
    ]


def count_recent(metric: str, legend: str) -> Target:
    """By how much a counter grew within five minutes, over all replicas."""
    return Target(f"sum(increase({metric}{{OURS}}[5m]))", legend)
