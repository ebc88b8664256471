"""The document of an ablation: a table and a plot for each study."""

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure

from model.release.manifest_tables import format_score
from trainer.ablation.studies import PlannedArm
from trainer.evaluation import Summary
from trainer.evaluation.report.statistics import order_of_merit
from trainer.files import write_whole
from trainer.markdown import draw_table
from trainer.metrics import GUARDS, MEASURES
from trainer.run_files import CURVE_NAME, RECORD_NAME

DOCUMENT_NAME = "ablation.md"
BETTER, WORSE = "▲", "▼"
LEGEND = f"""\
{BETTER} and {WORSE} mean better and worse than the study's first arm, the 95 % interval of the mean
paired difference (bootstrap over scenes) leaving zero out; bold is the best mean. Guards show what
spoils a picture for the eye; none is best by them. A plot shows the total loss in the course of
training."""


@dataclass(frozen=True, slots=True)
class StudyResult:
    """What is known of one study.

    Attributes:
        arms: Its arms.
        summary: What the evaluation found, None where nothing could be scored.
        failures: What went wrong, by the name of the training.
    """

    arms: tuple[PlannedArm, ...]
    summary: Summary | None
    failures: Mapping[str, str]


def write_document(out: Path, results: Sequence[StudyResult], *, studies: str) -> Path:
    """Write `ablation.md` and a plot for each study.

    Args:
        out: Folder of the ablation.
        results: The studies.
        studies: Name of the file of studies.

    Returns:
        The document's path.
    """
    runs = dict.fromkeys(out / "runs" / one.config.name for r in results for one in r.arms)
    sessions = [session for run in runs for session in _read_record(run).get("sessions", [])]
    lines = ["# Ablation", "", f"Written by `python -m trainer ablate {studies}`.", ""]
    for title, key in (("Code", "commit"), ("Hardware", "device"), ("torch", "torch")):
        lines += [f"- {title}: {', '.join(sorted({str(one[key]) for one in sessions}))}"]
    lines += ["", LEGEND]
    for result in results:
        study = result.arms[0].study
        lines += ["", f"## {study.title}", "", study.question, ""]
        if result.summary is None:
            lines += ["Not scored.", ""]
        else:
            count, dataset = len(result.summary.scenes), result.summary.dataset
            side_px = result.summary.max_side_px
            reduced = f", reduced to {side_px} pixels" if side_px else ""
            lines += [f"Means over {count} scenes of {dataset}{reduced}:", ""]
        lines += [*_draw_scores(result, out)]
        if result.summary is not None and result.summary.guards:
            lines += ["", *_draw_guards(result.summary, result.arms)]
        if study.intervals and result.summary is not None:
            lines += ["", f"From `{result.arms[0].arm.name}`, with the 95 % interval:", ""]
            lines += _draw_differences(result.summary, result.arms)
        if _plot_losses(result, out):
            lines += ["", f"![Total loss of each arm]({study.name}.svg)"]
    path = out / DOCUMENT_NAME
    write_whole(path, "\n".join(lines) + "\n")
    return path


def _draw_scores(result: StudyResult, out: Path) -> list[str]:
    """A row for each arm: what it differs in, its steps, its means and its state."""
    summary = result.summary
    metrics = summary.metrics if summary is not None else ()
    header = ["arm", "differs from the base in", "steps"]
    header += [_name_column(name) for name in metrics]
    rows: list[list[str]] = []
    for one in result.arms:
        options = [f"`{item}`" for item in one.arm.set]
        chosen = one.arm.evaluation.model_dump(exclude_defaults=True)
        options += [f"{key} {value}" for key, value in chosen.items()]
        steps = str(_read_record(out / "runs" / one.config.name).get("steps", 0))
        cells = [one.arm.name, ", ".join(options) or "nothing", steps]
        if summary is not None:
            cells += [_format_mean(summary, result.arms[0], one, name) for name in metrics]
            cells += [_format_rank(summary, one)]
            cells += [format_score(summary.chroma.get(one.label))]
        rows.append([*cells, result.failures.get(one.config.name, "")])
    header += ["mean rank", "chroma"] if summary is not None else []
    return draw_table([*header, "failure"], rows)


def _draw_guards(summary: Summary, arms: Sequence[PlannedArm]) -> list[str]:
    """A row for each arm: the mean of each guard, over the scenes that it applies to."""
    guards = _list_guards(summary)
    rows = [
        [
            one.arm.name,
            *(
                format_score(summary.guards.get(one.label, {}).get(name))
                + _mark(summary, arms[0], one, name)
                for name in guards
            ),
        ]
        for one in arms
    ]
    return draw_table(["arm", *map(_name_column, guards)], rows)


def _list_guards(summary: Summary) -> list[str]:
    return [name for name in GUARDS if any(name in one for one in summary.guards.values())]


def _name_column(measure: str) -> str:
    return f"{measure} {'↑' if MEASURES[measure].higher_is_better else '↓'}"


def _format_mean(summary: Summary, first: PlannedArm, one: PlannedArm, metric: str) -> str:
    means = {label: of_arm[metric] for label, of_arm in summary.means.items() if metric in of_arm}
    if one.label not in means:
        return ""
    text = format_score(means[one.label])
    if means[one.label] == means[order_of_merit(means, metric)[0]]:
        text = f"**{text}**"
    return text + _mark(summary, first, one, metric)


def _mark(summary: Summary, first: PlannedArm, one: PlannedArm, measure: str) -> str:
    """Better or worse than the first arm, where that is sure."""
    interval = summary.intervals.get(one.label, {}).get(measure)
    if summary.ours != first.label or interval is None or interval.low <= 0 <= interval.high:
        return ""
    # The interval is that of the first arm minus this one.
    is_better = (interval.high < 0) == MEASURES[measure].higher_is_better
    return BETTER if is_better else WORSE


def _draw_differences(summary: Summary, arms: Sequence[PlannedArm]) -> list[str]:
    """A row for each metric: how far each further arm is from the first."""
    first, *others = arms
    rows: list[list[str]] = []
    for metric in (*summary.metrics, *_list_guards(summary)):
        cells = [_name_column(metric)]
        for one in others:
            found = summary.intervals.get(one.label, {}).get(metric)
            if summary.ours != first.label or found is None:
                cells.append("")
                continue
            # The interval is that of the first arm minus this one.
            ends = (-found.difference, -found.high, -found.low)
            middle, low, high = (f"{end:+.4g}" for end in ends)
            cells.append(f"{middle} [{low}, {high}]")
        rows.append(cells)
    return draw_table(["metric", *(one.arm.name for one in others)], rows)


def _format_rank(summary: Summary, one: PlannedArm) -> str:
    rank = summary.mean_rank.get(one.label)
    return "" if rank is None else f"{rank:.2f}"


def _plot_losses(result: StudyResult, out: Path) -> bool:
    """Draw the total loss of each training, under the names of all the arms that share it."""
    names: dict[str, list[str]] = {}
    for one in result.arms:
        names.setdefault(one.config.name, []).append(one.arm.name)
    figure = Figure(figsize=(6.5, 3.2), layout="constrained")
    axes = figure.subplots()
    for run, arms in names.items():
        path = out / "runs" / run / CURVE_NAME
        if path.exists():
            rows = list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))
            steps = [int(row["step"]) for row in rows]
            axes.plot(steps, [float(row["total"]) for row in rows], label=", ".join(arms))
    if not axes.lines:
        return False
    axes.set_xlabel("step")
    axes.set_ylabel("total loss")
    axes.set_yscale("log")
    figure.legend(loc="outside right center", frameon=False)
    # The same figure gives the same file, in which text stays text.
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "expofuse"}):
        name = f"{result.arms[0].study.name}.svg"
        figure.savefig(out / name, format="svg", metadata={"Date": None})
    return True


def _read_record(run: Path) -> dict[str, list[dict[str, object]]]:
    """The record of a training; empty before its first checkpoint."""
    path = run / RECORD_NAME
    record: dict[str, list[dict[str, object]]] = {}
    if path.exists():
        record = json.loads(path.read_text(encoding="utf-8"))
    return record
