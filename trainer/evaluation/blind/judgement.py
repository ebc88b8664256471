"""Reads what a person prefers on the sheets of a blind comparison, and counts it by method."""

import csv
import io
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from scipy.stats import binomtest

from trainer.errors import DataError
from trainer.files import write_whole
from trainer.markdown import draw_table

JUDGEMENT_NAME = "judgement.csv"
COLUMNS = ("scene", "preferred", "better", "worse")
NO_PREFERENCE = "="


@dataclass(frozen=True, slots=True)
class Judgement:
    """What is thought of one scene.

    Attributes:
        scene: Name of the scene.
        preferred: Letter of the preferred picture, or letters from the best picture on, those left
            out being alike; `=` for none of them, empty when not judged.
        better: What is better in it, in words; a capital letter by itself is a picture.
        worse: What is worse.
    """

    scene: str
    preferred: str
    better: str
    worse: str

    @property
    def order(self) -> str:
        """The letters from the best on; empty without a preference."""
        return self.preferred.upper().replace(NO_PREFERENCE, "")


def write_template(folder: Path, scenes: Sequence[str]) -> None:
    """Write an empty `judgement.csv`, a line for each scene."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows((scene, "", "", "") for scene in scenes)
    write_whole(folder / JUDGEMENT_NAME, text.getvalue())


def read_judgements(folder: Path) -> list[Judgement]:
    """Read `judgement.csv`, filled in or not.

    Raises:
        DataError: There is none, or it has other columns.
    """
    try:
        text = (folder / JUDGEMENT_NAME).read_text(encoding="utf-8-sig")
    except OSError as cause:
        raise DataError(f"expected {JUDGEMENT_NAME} in '{folder.name}', found none") from cause
    rows = list(csv.reader(io.StringIO(text, newline="")))
    if not rows or tuple(rows[0]) != COLUMNS:
        found = ", ".join(rows[0]) if rows else "none"
        raise DataError(f"expected the columns {', '.join(COLUMNS)}, got {found}")
    judgements: list[Judgement] = []
    for number, row in enumerate(rows[1:], start=2):
        if len(row) != len(COLUMNS):
            raise DataError(
                f"expected {len(COLUMNS)} values in line {number} of {JUDGEMENT_NAME}, got "
                f"{len(row)}; a text with a comma stands in quotation marks"
            )
        judgements.append(Judgement(*(" ".join(value.split()) for value in row)))
    return judgements


def check_unjudged(folder: Path) -> None:
    """Refuse to write over a judgement that somebody has begun.

    Raises:
        DataError: One line at least is filled in.
    """
    if (folder / JUDGEMENT_NAME).exists():
        filled = [
            one for one in read_judgements(folder) if one.preferred or one.better or one.worse
        ]
        if filled:
            raise DataError(
                f"expected no judgement in '{folder.name}', got {len(filled)} lines that are filled"
            )


def reveal(judgements: Sequence[Judgement], letters: Mapping[str, Mapping[str, str]]) -> str:
    """Say in Markdown which methods were preferred, with names in the place of letters.

    Args:
        judgements: The filled template.
        letters: Method by letter, by scene, see `trainer.evaluation.blind.comparison.Key`.

    Returns:
        Two tables: how often each method was preferred, and what was written of each scene. Of two
        methods also the two-sided sign test over the scenes with a preference; and the letters that
        were preferred, which tell a habit of the eye. Where pictures were put in order, a third
        table between them: in how many scenes the method of a row was preferred to that of a
        column.

    Raises:
        DataError: A scene or a letter is not in the key, a scene comes twice, or nothing is judged.
    """
    _check(judgements, letters)
    judged = [one for one in judgements if one.preferred]
    if not judged:
        raise DataError("expected a preference in one line at least, got none")
    names = sorted({name for of_scene in letters.values() for name in of_scene.values()})
    wins = dict.fromkeys(names, 0)
    for one in judged:
        if one.order:
            wins[letters[one.scene][one.order[0]]] += 1
    decided = sum(wins.values())
    said = (
        f"{len(judged)} of {len(letters)} scenes judged, {len(judged) - decided} without preference"
    )
    if len(names) == 2 and decided:
        probability = binomtest(max(wins.values()), decided).pvalue
        said += f"; sign test p = {probability:.2g}"
    by_letter = Counter(one.order[0] for one in judged if one.order)
    counts = [f"{letter} {count}" for letter, count in sorted(by_letter.items())]
    said += f"; by letter: {', '.join(counts)}" if counts else ""
    ordered = sorted(names, key=lambda name: -wins[name])
    totals = draw_table(("method", "preferred"), [(name, str(wins[name])) for name in ordered])
    rows = [
        (
            one.scene,
            _name_preferred(one, letters[one.scene]),
            *(_name_pictures(text, letters[one.scene]) for text in (one.better, one.worse)),
        )
        for one in judged
    ]
    duels = (
        _count_duels(judged, letters, ordered) if any(len(one.order) > 1 for one in judged) else []
    )
    return "\n".join([*totals, "", f"{said}.", "", *duels, *draw_table(COLUMNS, rows)]) + "\n"


def _count_duels(
    judged: Sequence[Judgement], letters: Mapping[str, Mapping[str, str]], names: Sequence[str]
) -> list[str]:
    """The table of who was preferred to whom, and an empty line."""
    duels = Counter(
        (of_scene[better], of_scene[worse])
        for one in judged
        for of_scene in [letters[one.scene]]
        for place, better in enumerate(one.order)
        for worse in of_scene
        if worse not in one.order[: place + 1]
    )
    rows = [(row, *("" if row == one else str(duels[row, one]) for one in names)) for row in names]
    return [*draw_table(("preferred to", *names), rows), ""]


def _check(judgements: Sequence[Judgement], letters: Mapping[str, Mapping[str, str]]) -> None:
    seen: set[str] = set()
    for one in judgements:
        if one.scene not in letters or one.scene in seen:
            raise DataError(f"expected each scene of the key once, got '{one.scene}'")
        seen.add(one.scene)
        is_order = len(set(one.order)) == len(one.order) and set(one.order) <= set(
            letters[one.scene]
        )
        if not is_order or (NO_PREFERENCE in one.preferred and one.preferred != NO_PREFERENCE):
            raise DataError(
                f"expected {', '.join(letters[one.scene])}, some of them from the best on, or "
                f"{NO_PREFERENCE} as preferred of '{one.scene}', got '{one.preferred}'"
            )


def _name_preferred(one: Judgement, letters: Mapping[str, str]) -> str:
    return letters[one.order[0]] if one.order else NO_PREFERENCE


def _name_pictures(text: str, letters: Mapping[str, str]) -> str:
    return re.sub(rf"\b[{''.join(letters)}]\b", lambda found: letters[found[0]], text)
