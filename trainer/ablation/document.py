"""The document of an ablation: what the command wrote, and between its marks what people wrote."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from trainer.ablation.plots import plot_study
from trainer.ablation.results import StudyResult
from trainer.ablation.table import BETTER, WORSE, format_arms, format_scores
from trainer.errors import RunError
from trainer.files import write_whole

DOCUMENT_NAME = "ablation.md"
PLOTS_FOLDER = "ablation"
SUMMARY_KEY = "summary"
OPENING, CLOSING = "<!-- prose: {} -->", "<!-- end of prose -->"
PROSE = re.compile(r"<!-- prose: ([a-z0-9-]+) -->(.*?)<!-- end of prose -->", re.DOTALL)

LEGEND = f"""\
In the tables {BETTER} and {WORSE} mean better and worse than the study's first arm, the 95 %
interval of the mean paired difference (bootstrap over pairs) leaving zero out; bold is the best
mean. Losses are means over the last tenth of the steps, square error and 1 - MS-SSIM summed over
the tasks. Plots of differences: green is better, red is worse, grey is undecided; better lies to
the right."""


def write_document(folder: Path, results: Sequence[StudyResult], facts: Mapping[str, str]) -> Path:
    """Write `ablation.md` and its plots; hand-written text between the marks is kept.

    Text under a study that has no results this time is kept too, at the end.

    Args:
        folder: Where the document goes, e.g. `docs/results`.
        results: The studies.
        facts: What holds for all of them, by title.

    Returns:
        The document's path.

    Raises:
        RunError: A mark of the present document is damaged, so that its text would be lost.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / DOCUMENT_NAME
    kept = read_prose(path.read_text(encoding="utf-8")) if path.exists() else {}
    lines = [
        "# Ablations",
        "",
        "Written by `python -m trainer ablate`; only the text between the `prose` marks is by",
        "hand, and it stays when the command writes again.",
        "",
        *(f"- {title}: {fact}" for title, fact in facts.items()),
        "",
        _mark_prose(SUMMARY_KEY, kept.pop(SUMMARY_KEY, "")),
        "",
        LEGEND,
    ]
    for result in results:
        lines += ["", *_write_study(result, folder, kept.pop(result.study.name, ""))]
    for key, text in kept.items():
        if text:
            lines += ["", f"## Of another run: {key}", "", _mark_prose(key, text)]
    write_whole(path, "\n".join(lines) + "\n")
    return path


def read_prose(document: str) -> dict[str, str]:
    r"""Hand-written text of a document by the name of its mark.

    Example:
        >>> read_prose("x <!-- prose: sigma -->\nTen it is.\n<!-- end of prose --> y")
        {'sigma': 'Ten it is.'}

    Raises:
        RunError: An opening mark has no closing one.
    """
    found = {matched[1]: matched[2].strip() for matched in PROSE.finditer(document)}
    opened = document.count(OPENING.partition("{")[0])
    if opened != len(found) or opened != document.count(CLOSING):
        raise RunError(
            f"expected a closing mark for each of {opened} texts, got {len(found)} texts"
        )
    return found


def _write_study(result: StudyResult, folder: Path, prose: str) -> list[str]:
    study = result.study
    lines = [f"## {study.title}", "", study.question, ""]
    if any(arm.scores for arm in result.arms):
        of = f" of {' and '.join(result.datasets)}" if result.datasets else ""
        lines += [f"Means over {result.pairs} pairs{of}:", "", format_scores(result), ""]
    lines += [format_arms(result), ""]
    unscored = [f"- {arm.name}: {failure}" for arm in result.arms for failure in arm.unscored]
    if unscored:
        lines += ["Not scored:", "", *unscored, ""]
    for title, name in plot_study(result, folder / PLOTS_FOLDER):
        lines += [f"![{study.title}: {title}]({PLOTS_FOLDER}/{name})", ""]
    return [*lines, _mark_prose(study.name, prose)]


def _mark_prose(key: str, text: str) -> str:
    return "\n".join([OPENING.format(key), *([text] if text else []), CLOSING])
