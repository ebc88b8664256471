"""Writes `report.html`: the tables, plots and contact sheets; it opens without a network."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Literal
from urllib.parse import quote

from jinja2 import Environment, StrictUndefined

from trainer.evaluation.report.plots import plot_distributions
from trainer.evaluation.report.sheets import (
    name_exposures,
    sheet_path,
    source_path,
    thumbnail_path,
)
from trainer.evaluation.report.statistics import (
    CONFIDENCE,
    PAPER_PAIRS,
    PAPER_PEERS,
    QUALITY_METRICS,
    RESAMPLES,
    SHARPNESS_METRICS,
    Scores,
    order_of_merit,
    paper_margin,
    select_whole,
)
from trainer.evaluation.report.summary import Interval, Summary
from trainer.evaluation.scoring import fused_path
from trainer.files import write_whole
from trainer.metrics import GUARDS, MEASURES, METRICS

REPORT_NAME = "report.html"
TEMPLATE_NAME, STYLE_NAME, SCRIPT_NAME = "report.html.jinja", "report.css", "report.js"
SIGNIFICANT_DIGITS = 4
GUARD_DECIMALS = 2

Verdict = Literal["better", "worse", "open", ""]


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell of a table: its text, what the eye is to be drawn to, and smaller text below."""

    text: str
    kind: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """One method's row of a table."""

    label: str
    is_ours: bool
    cells: tuple[Cell, ...]


def write_report(out: Path, summary: Summary, scores: Scores) -> None:
    """Write `report.html` and its plots; thumbnails and pictures lie beside it already.

    Args:
        out: Output folder of the evaluation.
        summary: What it found.
        scores: Value by scene, method and metric.
    """
    labels = list(summary.methods)
    shown = (*summary.metrics, *_list_guards(summary))
    plots = plot_distributions(out, scores, labels, shown, summary.ours)
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    document = environment.from_string(_read_asset(TEMPLATE_NAME)).render(
        summary=summary,
        exposures=_describe_exposures(summary),
        metrics=[METRICS[name] for name in summary.metrics],
        guards=[GUARDS[name] for name in _list_guards(summary)],
        means=_tabulate_means(summary, scores),
        intervals=_tabulate_intervals(summary),
        plots={metric: quote(path) for metric, path in plots.items()},
        paper=_describe_paper(summary),
        bootstrap={"resamples": RESAMPLES, "percent": 100 * CONFIDENCE},
        style=_read_asset(STYLE_NAME),
        script=_read_asset(SCRIPT_NAME),
        sheets=_list_sheets(out, summary, scores),
    )
    write_whole(out / REPORT_NAME, document)


def count_decimals(values: Mapping[str, float]) -> int:
    """Decimals that show the largest value of a column with four significant digits.

    Example:
        >>> count_decimals({"a": 52.31, "b": 3.7}), count_decimals({"a": 0.61})
        (2, 4)
    """
    largest = max((abs(value) for value in values.values()), default=0.0)
    before_point = len(str(int(largest))) if largest >= 1.0 else 0
    return max(0, SIGNIFICANT_DIGITS - before_point)


def judge(interval: Interval, metric: str) -> Verdict:
    """Whether our value is better than the other with confidence; `open` where 0 is inside."""
    if interval.low <= 0.0 <= interval.high:
        return "open"
    return "better" if (interval.low > 0.0) == MEASURES[metric].higher_is_better else "worse"


def _describe_exposures(summary: Summary) -> str:
    """How many exposures the scenes have, and which of them were taken."""
    counts = sorted({summary.count_exposures(scene) for scene in summary.scenes})
    if not counts:
        return ""
    many = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    which = ", the darkest and the brightest of each" if summary.exposures == "ends" else ""
    return f" of {many} exposures{which}"


def _tabulate_means(summary: Summary, scores: Scores) -> list[Row]:
    """Means with the best and second best marked among methods that have every scene."""
    columns = {metric: _mark_column(summary, scores, metric) for metric in summary.metrics}
    rows: list[Row] = []
    for label in summary.methods:
        cells = [columns[metric].get(label, Cell("")) for metric in summary.metrics]
        for ranks in (summary.mean_rank, summary.mean_rank_paper):
            cells.append(Cell(f"{ranks[label]:.2f}" if label in ranks else ""))
        cells.append(Cell(str(summary.counts[label])))
        cells += [_describe_guard(summary, label, guard) for guard in _list_guards(summary)]
        rows.append(Row(label, label == summary.ours, tuple(cells)))
    return rows


def _list_guards(summary: Summary) -> list[str]:
    """The guards that the evaluation has; one of an earlier version has fewer."""
    return [name for name in GUARDS if any(name in values for values in summary.guards.values())]


def _describe_guard(summary: Summary, label: str, guard: str) -> Cell:
    """The mean of a guard; none is marked, as the plain mean of the exposures would be the best.

    Where it does not apply to every scene that the method has, the number of those it is over.
    """
    value = summary.guards.get(label, {}).get(guard)
    if value is None:
        return Cell("", "guard")
    count = summary.count_guarded(label, guard)
    note = f"{count} scenes" if count < summary.counts[label] else ""
    return Cell(f"{value:.{GUARD_DECIMALS}f}", "guard", note)


def _mark_column(summary: Summary, scores: Scores, metric: str) -> dict[str, Cell]:
    values = {label: means[metric] for label, means in summary.means.items() if metric in means}
    whole = {label: values[label] for label in select_whole(scores, list(values), metric)}
    decimals = count_decimals(values)
    marks = dict(zip(order_of_merit(whole, metric), ("best", "second"), strict=False))
    return {
        label: Cell(f"{value:.{decimals}f}", marks.get(label, ""))
        for label, value in values.items()
    }


def _describe_paper(summary: Summary) -> dict[str, object]:
    """The paper's own margins, over the peers of ours and over all of its peers."""
    peers = {"same": summary.margins.peers if summary.margins else (), "all": PAPER_PEERS}
    return {"pairs": PAPER_PAIRS, "peers": PAPER_PEERS} | {
        which: {
            "sharpness": paper_margin(names, SHARPNESS_METRICS),
            "quality": paper_margin(names, QUALITY_METRICS),
        }
        for which, names in peers.items()
        if names
    }


def _tabulate_intervals(summary: Summary) -> list[Row]:
    """Ours minus each method with its interval, coloured by the verdict."""
    rows: list[Row] = []
    for label, intervals in summary.intervals.items():
        shown = (*summary.metrics, *_list_guards(summary))
        cells = (_describe_interval(summary, intervals, name) for name in shown)
        rows.append(Row(label, False, tuple(cells)))
    return rows


def _describe_interval(summary: Summary, intervals: Mapping[str, Interval], metric: str) -> Cell:
    if metric not in intervals:
        return Cell("")
    one = intervals[metric]
    decimals = GUARD_DECIMALS
    if metric in METRICS:
        decimals = count_decimals(
            {label: means[metric] for label, means in summary.means.items() if metric in means}
        )
    difference, low, high = (
        f"{value:+.{decimals}f}" for value in (one.difference, one.low, one.high)
    )
    wins = one.higher if MEASURES[metric].higher_is_better else one.lower
    counted = "" if wins is None else f"; {wins} of {one.scenes}"
    return Cell(difference, judge(one, metric), f"{low} to {high}{counted}")


def _list_sheets(out: Path, summary: Summary, scores: Scores) -> str:
    """The contact sheets as JSON for the page's script: names, thumbnails, pictures, values."""
    sheets = []
    for scene in summary.scenes:
        names = name_exposures(summary.count_exposures(scene))
        columns = [(name, source_path(out, name, scene)) for name in names]
        columns += [(label, fused_path(out, label, scene)) for label in scores[scene]]
        cells = [
            {
                "label": label,
                "isExposure": label in names,
                "full": _link(out, path),
                "thumbnail": _link(out, thumbnail_path(out, label, scene)),
                "scores": scores[scene].get(label, {}),
            }
            for label, path in columns
        ]
        sheets.append({"scene": scene, "sheet": _link(out, sheet_path(out, scene)), "cells": cells})
    # A name must not be able to end the script element that holds this.
    return json.dumps(sheets).replace("<", "\\u003c")


def _link(out: Path, path: Path) -> str:
    return quote(path.relative_to(out).as_posix())


def _read_asset(name: str) -> str:
    return files(__package__).joinpath(name).read_text(encoding="utf-8")
