"""Writes the dashboard of Grafana, with Grafana's own builders.

python -m deploy.grafana.dashboard  # a test compares dashboards/expofuse.json with what this writes
"""

from collections.abc import Iterator
from itertools import count
from pathlib import Path

from grafana_foundation_sdk.builders import common, prometheus, stat, timeseries
from grafana_foundation_sdk.builders.dashboard import (
    Dashboard,
    DatasourceVariable,
    QueryVariable,
    Row,
)
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.common import (
    LegendDisplayMode,
    LegendPlacement,
    StackingMode,
    TooltipDisplayMode,
)
from grafana_foundation_sdk.models.dashboard import (
    DashboardCursorSync,
    DataSourceRef,
    VariableOption,
    VariableRefresh,
    VariableSort,
)

from deploy.grafana.panels import Section, Target
from deploy.grafana.sections import clients, device, fleet, fullness, pictures, stages

SECTIONS = tuple(one.SECTION for one in (clients, stages, fullness, device, pictures, fleet))
"""From the top to the bottom."""

PLACE = Path(__file__).parent / "dashboards" / "expofuse.json"
SOURCE = DataSourceRef(type_val="prometheus", uid="${datasource}")
OURS = 'job=~"$job", instance=~"$instance"'
"""Matches the chosen services; in an expression below it is written `OURS`."""

SPAN, HEIGHT = 8, 8
STAT_SPAN, STAT_HEIGHT = 4, 4


def build_dashboard() -> Dashboard:
    """The whole dashboard."""
    board = (
        Dashboard("expofuse")
        .uid("expofuse")
        .tags(["expofuse"])
        .description("Written by deploy/grafana/dashboard.py. What to do: docs/operations.md.")
        .readonly()
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .refresh("30s")
        .time("now-3h", "now")
        .with_variable(DatasourceVariable("datasource").label("Prometheus").type("prometheus"))
        .with_variable(_choose("job", "label_values(expofuse_ready, job)"))
        .with_variable(_choose("instance", 'label_values(expofuse_ready{job=~"$job"}, instance)'))
    )
    numbers = count(1)
    for section in SECTIONS:
        board = board.with_row(Row(section.question).id(next(numbers)))
        for panel in _make_panels(section):
            board = board.with_panel(panel.id(next(numbers)))
    return board


def _choose(name: str, query: str) -> QueryVariable:
    return (
        QueryVariable(name)
        .query(query)
        .datasource(SOURCE)
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(VariableSort.ALPHABETICAL_ASC)
        .multi(True)
        .include_all(True)
        .all_value(".*")
        .current(VariableOption(text=["All"], value=["$__all"]))
    )


def _make_panels(section: Section) -> Iterator[stat.Panel | timeseries.Panel]:
    for figure in section.figures:
        yield (
            stat.Panel()
            .title(figure.title)
            .description(figure.description)
            .unit(figure.unit)
            .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
            .datasource(SOURCE)
            .span(STAT_SPAN)
            .height(STAT_HEIGHT)
            .with_target(_query(Target(figure.expr, ""), "A"))
        )
    for graph in section.graphs:
        panel = (
            timeseries.Panel()
            .title(graph.title)
            .description(graph.description)
            .unit(graph.unit)
            .datasource(SOURCE)
            .min(0)
            .span(SPAN)
            .height(HEIGHT)
            .fill_opacity(20 if graph.is_stacked else 0)
            .stacking(
                common.StackingConfig().mode(
                    StackingMode.NORMAL if graph.is_stacked else StackingMode.NONE
                )
            )
            .legend(
                common.VizLegendOptions()
                .display_mode(LegendDisplayMode.LIST)
                .placement(LegendPlacement.BOTTOM)
                .show_legend(True)
            )
            .tooltip(common.VizTooltipOptions().mode(TooltipDisplayMode.MULTI))
        )
        for letter, target in zip("ABCDEFGH", graph.targets, strict=False):
            panel = panel.with_target(_query(target, letter))
        yield panel


def _query(target: Target, letter: str) -> prometheus.Dataquery:
    expr = target.expr.replace("OURS", OURS)
    return prometheus.Dataquery().expr(expr).legend_format(target.legend).ref_id(letter)


def write_dashboard() -> str:
    """The dashboard as Grafana reads it, in JSON."""
    return JSONEncoder(sort_keys=True, indent=2).encode(build_dashboard().build()) + "\n"


if __name__ == "__main__":
    PLACE.write_text(write_dashboard())
