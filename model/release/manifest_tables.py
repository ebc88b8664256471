"""Puts what a manifest says into tables, for a terminal and for the model card."""

from collections.abc import Iterable
from typing import NamedTuple

from model.manifest import DataSource, Evaluation, Manifest


class DataGroup(NamedTuple):
    """The training data of one kind under one licence."""

    kind: str
    licence: str
    sources: tuple[DataSource, ...]

    @property
    def origins(self) -> list[str]:
        """Where its items come from, each place once."""
        return sorted({source.source for source in self.sources})


class ScoreTable(NamedTuple):
    """An evaluation as text.

    Attributes:
        header: Names of the columns.
        rows: One row for each method, these weights first.
        best: Row and column of every best value.
    """

    header: list[str]
    rows: list[list[str]]
    best: set[tuple[int, int]]


def group_data(data: Iterable[DataSource]) -> list[DataGroup]:
    """Gather data sources by kind and licence, largest group first."""
    groups: dict[tuple[str, str], list[DataSource]] = {}
    for source in data:
        groups.setdefault((source.kind, source.licence), []).append(source)
    ordered = sorted(groups.items(), key=lambda item: (-len(item[1]), item[0]))
    return [
        DataGroup(kind, licence, tuple(sorted(sources, key=lambda one: one.name)))
        for (kind, licence), sources in ordered
    ]


def tabulate_scores(manifest: Manifest, evaluation: Evaluation) -> ScoreTable:
    """The means of these weights and of the other methods, best mean rank first where known."""
    ranks = evaluation.ranks
    peers = sorted(evaluation.methods, key=lambda name: ranks.get(name, float("inf")))
    means = [evaluation.scores, *(evaluation.methods[name] for name in peers)]
    names = [manifest.label, *peers]
    header, best = ["method"], set()
    rows = [[name] for name in names]
    for column, metric in enumerate(evaluation.scores, start=1):
        is_lower_better = metric in evaluation.lower_is_better
        header.append(f"{metric} (lower)" if is_lower_better else metric)
        known = [scores[metric] for scores in means if metric in scores]
        top = min(known) if is_lower_better else max(known)
        for number, scores in enumerate(means):
            rows[number].append(format_score(scores.get(metric)))
            if len(means) > 1 and scores.get(metric) == top:
                best.add((number, column))
    if ranks:
        header.append("mean rank (lower)")
        for row, name in zip(rows, names, strict=True):
            row.append(format_score(ranks.get(name)))
    return ScoreTable(header, rows, best)


def format_score(value: float | None) -> str:
    """A score with three significant digits; empty where there is none.

    Example:
        >>> [format_score(value) for value in (0.67551, 4.9712, 54.883, None)]
        ['0.676', '4.97', '54.9', '']
    """
    if value is None:
        return ""
    digits = 3 if abs(value) < 1 else 2 if abs(value) < 10 else 1
    return f"{value:.{digits}f}"
