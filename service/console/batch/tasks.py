"""Says what a batch has to do: for each bracket its files, and where its picture goes."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from expofuse.grouping import Bracket, Groups
from service.console.options import FORMAT_BY_SUFFIX, SUFFIX_BY_FORMAT, FuseChoices

ENDING = "-fused"


@dataclass(frozen=True, slots=True)
class Task:
    """One bracket of a batch.

    Attributes:
        number: Of the bracket in the shoot, from 1.
        bracket: Names of its files, and why they belong together.
        inputs: The files.
        name: Of the picture, relative to the folder of the results.
        out: The picture.
    """

    number: int
    bracket: Bracket
    inputs: tuple[Path, ...]
    name: str
    out: Path

    @property
    def sidecar(self) -> Path:
        """The JSON beside the picture that says how it came about."""
        return self.out.with_name(self.out.name + ".json")


def plan_tasks(groups: Groups, *, source: Path, target: Path, choices: FuseChoices) -> list[Task]:
    """Decide where the picture of each bracket goes.

    It lies below `target` as the first file of its bracket does below `source`, and is named after
    that; where two brackets would come to one name, the suffix of the first file tells them apart.

    Args:
        groups: The brackets of the shoot.
        source: To which their names are relative.
        target: Folder of the results.
        choices: What was chosen for all of them; without a format the suffix of the first file
            decides, and PNG is written for one that names no format that is written.
    """
    stems = [_name_stem(one) for one in groups.brackets]
    count = Counter(stem.lower() for stem in stems)
    tasks = []
    for number, (bracket, stem) in enumerate(zip(groups.brackets, stems, strict=True), 1):
        inputs = tuple(source / name for name in bracket.names)
        if count[stem.lower()] > 1:
            stem += PurePosixPath(bracket.names[0]).suffix.replace(".", "-").lower()
        own = FORMAT_BY_SUFFIX.get(inputs[0].suffix.lower(), "png")
        suffix = SUFFIX_BY_FORMAT[choices.format or own]
        name = f"{stem}{ENDING}{suffix}"
        tasks.append(Task(number, bracket, inputs, name, target / name))
    return tasks


def _name_stem(bracket: Bracket) -> str:
    """Path of a bracket's first file without its suffix; never out of the folder of results."""
    parts = [part for part in PurePosixPath(bracket.names[0]).parts if part not in ("..", "/")]
    return PurePosixPath(*parts).with_suffix("").as_posix()
