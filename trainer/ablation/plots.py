"""The plots of an ablation: differences with their intervals, loss curves, loss per epoch."""

import math
from pathlib import Path

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from trainer.ablation.results import StudyResult
from trainer.ablation.table import (
    BETTER,
    LOSS_COLUMNS,
    WORSE,
    judge_difference,
    list_metrics,
)
from trainer.metrics import METRICS

EPOCH_STEPS = 460
"""The paper's epoch: 460 triples, one in a step."""

PANEL_COLUMNS = 4
LOSS_COLUMNS_WIDE = 6
COLOURS = {BETTER: "#1b7837", WORSE: "#b2182b", "": "#777777"}


def plot_study(result: StudyResult, folder: Path) -> list[tuple[str, str]]:
    """Draw what there is to draw of one study.

    Args:
        result: The study.
        folder: Where the SVG files go, named after the study.

    Returns:
        Title and file name of each plot.
    """
    folder.mkdir(parents=True, exist_ok=True)
    drawn: list[tuple[str, str]] = []
    with matplotlib.rc_context(
        {
            "svg.fonttype": "none",  # text stays text: smaller, and searchable
            "svg.hashsalt": "expofuse",  # the same figure gives the same file
            "font.size": 8,
            "axes.spines.top": False,
            "axes.spines.right": False,
        }
    ):
        for kind, title, figure in (
            ("scores", "Difference to the first arm, with its 95 % interval", _scores(result)),
            ("losses", "Losses in the course of training", _losses(result)),
            ("epochs", "Total loss per epoch of 460 steps", _epochs(result)),
        ):
            if figure is not None:
                name = f"{result.study.name}-{kind}.svg"
                figure.savefig(folder / name, format="svg", metadata={"Date": None})
                drawn.append((title, name))
    return drawn


def _scores(result: StudyResult) -> Figure | None:
    """A panel per metric, a row per arm; better lies to the right."""
    arms = [arm for arm in result.arms if arm.differences]
    if not arms:
        return None
    metrics = list_metrics(result)
    rows = math.ceil(len(metrics) / PANEL_COLUMNS)
    size = (2.4 * PANEL_COLUMNS, rows * (0.75 + 0.17 * len(arms)))
    figure = Figure(figsize=size, layout="constrained")
    panels = figure.subplots(rows, PANEL_COLUMNS, squeeze=False, sharey=True)
    for metric, axes in zip(metrics, panels.flat, strict=False):
        for height, arm in enumerate(arms):
            interval = arm.differences.get(metric)
            if interval is None:
                continue
            axes.errorbar(
                interval.difference,
                height,
                xerr=[
                    [max(0.0, interval.difference - interval.low)],
                    [max(0.0, interval.high - interval.difference)],
                ],
                fmt="o",
                markersize=3.5,
                color=COLOURS[judge_difference(metric, interval)],
            )
        axes.axvline(0, color="black", linewidth=0.6)
        axes.set_title(
            metric if METRICS[metric].higher_is_better else f"{metric} (lower is better)"
        )
        axes.set_yticks(range(len(arms)), [arm.name for arm in arms])
        axes.tick_params(axis="x", labelsize=6)
        axes.tick_params(axis="y", length=0)
        axes.locator_params(axis="x", nbins=4)
        if not METRICS[metric].higher_is_better:
            axes.invert_xaxis()
    panels[0, 0].set_ylim(len(arms) - 0.5, -0.5)
    for axes in panels.flat[len(metrics) :]:
        axes.set_visible(False)
    return figure


def _losses(result: StudyResult) -> Figure | None:
    """A panel per loss, a line per training; nothing where all arms share one."""
    if len(result.curves) < 2:
        return None
    curves = result.curves.values()
    columns = [name for name in LOSS_COLUMNS if any(any(one.get(name, ())) for one in curves)]
    rows, wide = math.ceil(len(columns) / LOSS_COLUMNS_WIDE), min(len(columns), LOSS_COLUMNS_WIDE)
    figure = Figure(figsize=(2.9 * wide + 1.2, 2.6 * rows), layout="constrained")
    panels = figure.subplots(rows, wide, squeeze=False)
    for axes in panels.flat[len(columns) :]:
        axes.set_visible(False)
    for name, axes in zip(columns, panels.flat, strict=False):
        is_positive = all(value >= 0 for curve in curves for value in curve.get(name, ()))
        for label, curve in _labelled_curves(result):
            values = curve.get(name, [])
            steps = curve["step"] if any(values) else []  # an unused term is no line of zeros
            axes.plot(steps, values[: len(steps)], label=label, linewidth=1)
        axes.set_title(LOSS_COLUMNS[name])
        axes.set_xlabel("step")
        axes.set_yscale("log" if is_positive else "linear")
    _add_legend(figure, panels[0, 0])
    return figure


def _epochs(result: StudyResult) -> Figure | None:
    """The total loss over epochs: thin as logged, a dot amid each whole epoch for its mean."""
    if not result.study.plot_epochs or not result.curves:
        return None
    figure = Figure(figsize=(5.5, 3.0), layout="constrained")
    axes = figure.subplots()
    for label, curve in _labelled_curves(result):
        epochs = [step / EPOCH_STEPS for step in curve["step"]]
        (line,) = axes.plot(epochs, curve["total"], linewidth=0.8, alpha=0.6, label=label)
        means = average_epochs(curve["step"], curve["total"])
        middles = [epoch - 0.5 for epoch in means]
        axes.plot(middles, list(means.values()), "o-", color=line.get_color(), markersize=4)
    axes.set_xlabel("epoch (460 steps)")
    axes.set_ylabel("total loss")
    axes.set_yscale("log")
    _add_legend(figure, axes)
    return figure


def average_epochs(steps: list[float], values: list[float]) -> dict[int, float]:
    """Mean of the logged values of each whole epoch, by the number of the epoch from 1.

    Example:
        >>> average_epochs([230, 460, 690], [4.0, 2.0, 1.0])
        {1: 3.0}
    """
    gathered: dict[int, list[float]] = {}
    for step, value in zip(steps, values, strict=True):
        gathered.setdefault(math.ceil(step / EPOCH_STEPS), []).append(value)
    last = int(steps[-1] // EPOCH_STEPS) if steps else 0
    return {epoch: sum(one) / len(one) for epoch, one in gathered.items() if epoch <= last}


def _labelled_curves(result: StudyResult) -> list[tuple[str, dict[str, list[float]]]]:
    """Each training's curve once, under the names of all the arms that share it."""
    labels: dict[str, list[str]] = {}
    for arm in result.arms:
        labels.setdefault(arm.run, []).append(arm.name)
    return [(", ".join(labels[run]), dict(curve)) for run, curve in result.curves.items()]


def _add_legend(figure: Figure, axes: Axes) -> None:
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right center", frameon=False)
