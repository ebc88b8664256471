"""Draws the distributions of the scores over the scenes, a picture for each metric."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from trainer.evaluation.report.statistics import Scores, gather
from trainer.files import write_whole
from trainer.metrics import MEASURES

PLOTS_FOLDER = "plots"
WIDTH_IN, ROW_IN, MARGIN_IN, DPI = 6.0, 0.3, 1.0, 110
OURS_COLOUR, OTHER_COLOUR = "#0b6e4f", "#6b7280"
JITTER = 0.16


def plot_distributions(
    out: Path, scores: Scores, methods: Sequence[str], metrics: Sequence[str], ours: str | None
) -> dict[str, str]:
    """Draw each metric's values as boxes and points, a row for each method.

    Args:
        out: Output folder of the evaluation.
        scores: Value by scene, method and metric.
        methods: Rows, from top to bottom.
        metrics: Which metrics and guards; one without any value is left out.
        ours: The row in colour.

    Returns:
        Path of the picture, relative to the output folder, by metric.
    """
    paths: dict[str, str] = {}
    for metric in metrics:
        rows = {method: gather(scores, method, metric) for method in methods}
        rows = {method: values for method, values in rows.items() if values}
        if rows:
            paths[metric] = f"{PLOTS_FOLDER}/{metric}.png"
            write_whole(out / paths[metric], _draw(metric, rows, ours))
    return paths


def _draw(metric: str, rows: Mapping[str, Mapping[str, float]], ours: str | None) -> bytes:
    figure = Figure(figsize=(WIDTH_IN, MARGIN_IN + ROW_IN * len(rows)), dpi=DPI)
    figure.set_layout_engine("constrained")
    axes = figure.add_subplot()
    spread = np.random.default_rng(0)
    positions = range(len(rows), 0, -1)
    for position, (method, values) in zip(positions, rows.items(), strict=True):
        colour = OURS_COLOUR if method == ours else OTHER_COLOUR
        line = {"color": colour}
        points = np.fromiter(values.values(), np.float64)
        axes.boxplot(
            points,
            positions=[position],
            widths=0.6,
            orientation="horizontal",
            showfliers=False,
            boxprops=line,
            whiskerprops=line,
            capprops=line,
            medianprops={"color": colour, "linewidth": 2},
        )
        heights = position + spread.uniform(-JITTER, JITTER, len(points))
        axes.scatter(points, heights, s=14, color=colour, alpha=0.55, linewidths=0, zorder=3)
        axes.scatter([points.mean()], [position], s=26, marker="D", color=colour, zorder=4)
    axes.set_yticks(list(positions), labels=list(rows))
    better = "higher" if MEASURES[metric].higher_is_better else "lower"
    axes.set_xlabel(f"{metric} ({better} is better); diamond: mean, line: median", fontsize=8)
    axes.tick_params(labelsize=8)
    axes.grid(axis="x", color="#e5e7eb", zorder=0)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    file = io.BytesIO()
    FigureCanvasAgg(figure)
    figure.savefig(file, format="png")
    return file.getvalue()
