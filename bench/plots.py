"""Draws the curves of a record, as SVG: the same record gives the same file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, StrMethodFormatter

from bench.scope import Curve

PANEL_INCHES = (4.8, 3.4)
COLUMNS = 2
SALT = "expofuse"
LINEAR = ("times capacity", "minutes")
"""Numbers along which a curve is drawn as it is, from zero; along all others, logarithmically."""

MARKED_POINTS = 40
"""A curve of more points is drawn without marks."""


def write_plot(path: Path, title: str, curves: Sequence[Curve]) -> None:
    """Draw every curve in a panel of its own, logarithmic either way but along `LINEAR`.

    Args:
        path: The SVG file.
        title: Above all panels.
        curves: At least one.
    """
    rows = -(-len(curves) // COLUMNS)
    columns = min(COLUMNS, len(curves))
    size = (PANEL_INCHES[0] * columns, PANEL_INCHES[1] * rows + 0.4)
    with mpl.rc_context({"svg.hashsalt": SALT, "font.size": 8}):
        figure = Figure(figsize=size, layout="constrained")
        figure.suptitle(title)
        panels = figure.subplots(rows, columns, squeeze=False).ravel()
        for panel, curve in zip(panels, curves, strict=False):
            for way, points in curve.points.items():
                mark = "o" if len(points) <= MARKED_POINTS else ""
                panel.plot(*zip(*points, strict=True), marker=mark, markersize=3, label=way)
            if curve.along in LINEAR:
                panel.set_ylim(bottom=0)
            else:
                _scale_logarithmically(panel, curve)
            panel.set(xlabel=curve.along, ylabel=f"{curve.name}, {curve.unit}")
            panel.grid(alpha=0.3)
            panel.legend(fontsize=6)
        for panel in panels[len(curves) :]:
            panel.remove()
        figure.savefig(path, metadata={"Date": None})


def _scale_logarithmically(panel: Axes, curve: Curve) -> None:
    ticks = sorted({number for points in curve.points.values() for number, _ in points})
    panel.set_xscale("log")
    panel.set_yscale("log")
    panel.set_xticks(ticks, [f"{number:.2g}" for number in ticks])
    panel.minorticks_off()
    panel.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    panel.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
