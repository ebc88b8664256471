"""The tables of an ablation, as Markdown."""

from collections.abc import Mapping, Sequence

from trainer.ablation.results import ArmResult, StudyResult
from trainer.evaluation.report.statistics import PairedInterval, order_of_merit
from trainer.metrics import METRICS

BETTER, WORSE = "▲", "▼"
LOSS_COLUMNS = {
    "total": "total loss",
    "square_error": "square error",
    "dissimilarity": "1 - MS-SSIM",
    "infidelity": "1 - MEF-SSIM",
    "lost_detail": "lost gradient",
    "excursion": "tones out of bounds",
    "unlikeness": "1 - MS-SSIM with the exposures",
    "lost_edges": "1 - Qabf",
    "lost_information": "1 - VIFF",
    "haze": "haze",
    "disorder": "disorder",
    "rims": "rims",
    "lost_colour": "lost colour",
    "foreign_hue": "foreign hue",
    "variation": "total variation",
}
NOTHING = "-"


def format_scores(result: StudyResult) -> str:
    """Mean scores, a row per arm: the best in bold, a mark where the first arm is left for sure."""
    metrics = list_metrics(result)
    best = {metric: _best_arms(result.arms, metric) for metric in metrics}
    rows = []
    for arm in result.arms:
        cells = []
        for metric in metrics:
            if metric not in arm.scores:
                cells.append(NOTHING)
                continue
            text = format_value(arm.scores[metric])
            text = f"**{text}**" if arm.name in best[metric] else text
            cells.append(text + judge_difference(metric, arm.differences.get(metric)))
        rank = NOTHING if arm.mean_rank is None else f"{arm.mean_rank:.2f}"
        chroma = NOTHING if arm.chroma is None else format_value(arm.chroma)
        rows.append([arm.name, *cells, rank, chroma])
    header = [f"{name} {'↑' if METRICS[name].higher_is_better else '↓'}" for name in metrics]
    return format_table(["arm", *header, "mean rank", "chroma"], rows)


def format_arms(result: StudyResult) -> str:
    """What each arm is, how long it took and where its losses ended."""
    columns = [name for name in LOSS_COLUMNS if any(arm.losses.get(name) for arm in result.arms)]
    rows = []
    for arm in result.arms:
        options = [f"`{item}`" for item in arm.set]
        options += [f"{key} {value}" for key, value in arm.evaluation.items()]
        losses = (
            format_value(arm.losses[name]) if arm.losses.get(name) else NOTHING for name in columns
        )
        state = arm.failure or ("" if arm.scores else "not scored")
        difference = ", ".join(options) or "nothing"
        taken = [str(arm.steps), f"{arm.seconds:.0f}"]
        rows.append([arm.name, difference, *taken, *losses, state])
    header = ["arm", "differs from the base in", "steps", "seconds"]
    header += [*(LOSS_COLUMNS[name] for name in columns), "state"]
    if not any(row[-1] for row in rows):
        header, rows = header[:-1], [row[:-1] for row in rows]
    return format_table(header, rows)


def list_metrics(result: StudyResult) -> list[str]:
    """Metrics of which at least one arm has a score, in the order of the tables."""
    return [name for name in METRICS if any(name in arm.scores for arm in result.arms)]


def judge_difference(metric: str, interval: PairedInterval | None) -> str:
    """A mark where the interval of a difference excludes zero: better or worse."""
    if interval is None or interval.low <= 0 <= interval.high:
        return ""
    return BETTER if (interval.low > 0) == METRICS[metric].higher_is_better else WORSE


def format_value(value: float) -> str:
    """Three digits or more, without an exponent.

    Example:
        >>> format_value(0.91234), format_value(5.1503), format_value(51.93), format_value(1703.4)
        ('0.912', '5.15', '51.9', '1703')
    """
    size = abs(value)
    digits = 0 if size >= 1000 else 1 if size >= 10 else 2 if size >= 1 else 3
    return f"{value:.{digits}f}"


def format_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table, its first column to the left and the others to the right."""
    lines = [list(header), ["---", *["---:"] * (len(header) - 1)], *map(list, rows)]
    return "\n".join(
        "| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines
    )


def _best_arms(arms: Sequence[ArmResult], metric: str) -> set[str]:
    values: Mapping[str, float] = {
        arm.name: arm.scores[metric] for arm in arms if metric in arm.scores
    }
    if len(set(values.values())) < 2:
        return set()
    best = values[order_of_merit(values, metric)[0]]
    return {name for name, value in values.items() if value == best}
