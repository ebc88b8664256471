"""The tables of a prepared data root: its manifest, and a report with a line for each bracket."""

import csv
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from trainer.data.preparation.scenes import Outcome
from trainer.files import replacing

MANIFEST_NAME = "manifest.csv"
REPORT_NAME = "report.csv"
STACKS_NAME = "stacks"
MANIFEST_COLUMNS = (
    "path",
    "kind",
    "use",
    "exposures",
    "width",
    "height",
    "licence",
    "source",
    "notes",
)
REPORT_COLUMNS = (
    "scene",
    "status",
    "reason",
    "detail",
    "use",
    "folder",
    "grouped_by",
    "photos",
    "exposures",
    "width",
    "height",
    "span_ev",
    "lightness",
    "shifts_px",
    "cropped_share",
    "notes",
)

Cell = str | int | float


def write_manifest(
    root: Path,
    outcomes: Iterable[Outcome],
    uses: Mapping[str, str],
    *,
    licence: str,
    source: str,
) -> None:
    """Write the manifest of a data root: a line for each accepted scene.

    Args:
        root: The data root.
        outcomes: What became of each bracket.
        uses: `train` or `validate` for each accepted scene.
        licence: Licence of the photographs.
        source: Where they come from.
    """
    rows: list[Sequence[Cell]] = []
    for one in outcomes:
        if one.reason is None:
            size = (len(one.kept), one.width, one.height)
            place = f"{STACKS_NAME}/{one.scene}"
            rows.append((place, "stack", uses[one.scene], *size, licence, source, _describe(one)))
    _write_table(root / MANIFEST_NAME, MANIFEST_COLUMNS, rows)


def write_report(root: Path, outcomes: Iterable[Outcome], uses: Mapping[str, str]) -> None:
    """Write the report of a data root: a line for each bracket, accepted or refused."""
    rows: list[Sequence[Cell]] = [
        (
            one.scene,
            "refused" if one.reason else "accepted",
            one.reason or "",
            one.detail,
            uses.get(one.scene, ""),
            one.folder,
            one.grouped_by,
            len(one.photos),
            len(one.kept),
            one.width,
            one.height,
            "" if one.span_ev is None else one.span_ev,
            " ".join(f"{value:.1f}" for value in one.lightness),
            " ".join(f"{value:.1f}" for value in one.shifts_px),
            one.cropped_share,
            "; ".join(one.notes),
        )
        for one in outcomes
    ]
    _write_table(root / REPORT_NAME, REPORT_COLUMNS, rows)


def _describe(outcome: Outcome) -> str:
    """An accepted scene in a few words."""
    span = "" if outcome.span_ev is None else f"{outcome.span_ev:.1f} EV; "
    moved = max(outcome.shifts_px)
    motion = f"aligned, {moved:.1f} px; " if moved else "nothing moved; "
    return f"{span}{motion}{outcome.cropped_share:.1%} cropped; grouped by {outcome.grouped_by}"


def _write_table(path: Path, columns: Sequence[str], rows: Iterable[Sequence[Cell]]) -> None:
    """Write a CSV file; a kill in the middle leaves the one before it whole."""
    with replacing(path) as partial, partial.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(columns)
        table.writerows(rows)
