"""What a prepared data root knows of its past: its tree, its outcomes, what was set by hand."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from trainer.data.preparation.brackets import Bracket
from trainer.data.preparation.scenes import Outcome
from trainer.data.preparation.tables import MANIFEST_NAME, STACKS_NAME
from trainer.errors import DataError
from trainer.files import write_whole

OUTCOMES_NAME = "prepared.jsonl"
TREE_NAME = "tree.json"


class TreeRecord(BaseModel):
    """What tells whether a tree is the one that a root was prepared from, and what was chosen.

    Attributes:
        photographs: Of each file of the tree, by its path there: when it was taken, or its length
            where EXIF does not say; both outlive a copy of the tree, the first a new export too.
        uses: The use that was chosen for each scene; another one in the manifest was set by hand.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    photographs: dict[str, float]
    uses: dict[str, str] = {}


@dataclass(frozen=True, slots=True)
class Past:
    """What earlier calls left in a root.

    Attributes:
        outcomes: What became of each bracket, by its scene.
        chosen: The use that was chosen for each scene.
        by_hand: The uses that were set by hand in the manifest.
    """

    outcomes: Mapping[str, Outcome]
    chosen: Mapping[str, str]
    by_hand: Mapping[str, str]


def open_root(out: Path, tree: Path, brackets: Sequence[Bracket]) -> Past:
    """Open or make a root, and note which photographs it is prepared from.

    Args:
        out: The data root.
        tree: Top of the photographs.
        brackets: Every bracket of the tree.

    Returns:
        What earlier calls left.

    Raises:
        DataError: The folder holds something else, or stacks of another tree.
    """
    photographs = _photographs(tree, brackets)
    path = out / TREE_NAME
    if not path.exists():
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise DataError(f"expected an empty or a prepared folder, '{out.name}' is neither")
        write_whole(path, TreeRecord(photographs=photographs).model_dump_json())
        return Past({}, {}, {})
    try:
        record = TreeRecord.model_validate_json(path.read_text(encoding="utf-8"))
    except ValidationError as cause:
        raise DataError(f"expected {TREE_NAME} as `prepare` writes it, got another") from cause
    if not _is_same_tree(record.photographs, photographs):
        raise DataError(f"'{out.name}' was prepared from another tree; choose a new folder")
    by_hand = {
        scene: use
        for scene, use in _read_uses(out).items()
        if use and use != record.uses.get(scene, use)
    }
    return Past(_read_outcomes(out), record.uses, by_hand)


def close_root(
    out: Path,
    tree: Path,
    brackets: Sequence[Bracket],
    outcomes: Sequence[Outcome],
    chosen: Mapping[str, str],
) -> None:
    """Note what the root was prepared from and what was chosen, for the next call."""
    write_whole(
        out / OUTCOMES_NAME, "".join(f"{outcome.model_dump_json()}\n" for outcome in outcomes)
    )
    record = TreeRecord(photographs=_photographs(tree, brackets), uses=dict(chosen))
    write_whole(out / TREE_NAME, record.model_dump_json())


def _photographs(tree: Path, brackets: Sequence[Bracket]) -> dict[str, float]:
    return {
        photo.path.relative_to(tree).as_posix(): float(
            photo.size_bytes if photo.taken_s is None else photo.taken_s
        )
        for bracket in brackets
        for photo in bracket.photos
    }


def _is_same_tree(before: Mapping[str, float], now: Mapping[str, float]) -> bool:
    """Whether one tree became the other: the smaller one's photographs are mostly in both.

    Names alone do not tell: cameras count their files alike, and folders are named alike.
    """
    return 2 * len(before.items() & now.items()) >= min(len(before), len(now))


def _read_outcomes(out: Path) -> dict[str, Outcome]:
    path = out / OUTCOMES_NAME
    outcomes: dict[str, Outcome] = {}
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        try:
            outcome = Outcome.model_validate_json(line)
        except ValidationError:
            continue  # a line that a kill cut short, or of an older format: the scene is redone
        outcomes[outcome.scene] = outcome
    return outcomes


def _read_uses(out: Path) -> dict[str, str]:
    """The use of each scene as the manifest has it now."""
    path = out / MANIFEST_NAME
    if not path.exists():
        return {}
    with path.open(newline="", encoding="utf-8-sig") as file:
        return {
            (row.get("path") or "").removeprefix(f"{STACKS_NAME}/"): (row.get("use") or "").strip()
            for row in csv.DictReader(file)
        }
