"""Remembers beside each picture what it was made of, so that it is not made again."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from expofuse.files.writing.destination import open_destination
from service.console.batch.tasks import Task
from service.console.engines import Picture
from service.console.options import FuseChoices

State = Literal["new", "up to date", "out of date", "changed"]
"""No picture is there; one of the same inputs, options and weights; one of others; a file that this
did not write, or that somebody changed since."""


class Sidecar(BaseModel):
    """What the JSON beside a picture says."""

    model_config = ConfigDict(extra="ignore", frozen=True)
    form: Literal["expofuse-result-1"] = "expofuse-result-1"
    key: str
    inputs: dict[str, str]
    options: dict[str, str | int | bool]
    weights: str
    picture: str
    picture_sha256: str
    replaces_sha256: str | None = None
    report: dict[str, object]


@dataclass(frozen=True, slots=True)
class Recipe:
    """All that decides a picture: contents of the inputs, options and weights.

    Attributes:
        inputs: SHA-256 of every file by name, in their order.
        options: Those that were chosen.
        weights: What tells them from all others.
    """

    inputs: Mapping[str, str]
    options: Mapping[str, str | int | bool]
    weights: str

    @property
    def key(self) -> str:
        """One hash of all of it; the names of the files are no part of it."""
        parts = [list(self.inputs.values()), sorted(self.options.items()), self.weights]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def make_recipe(task: Task, choices: FuseChoices, weights: str) -> Recipe:
    """Read the inputs of a task and say what will decide its picture.

    Args:
        task: The bracket.
        choices: What was chosen.
        weights: See `Engine.identify_weights`.

    Raises:
        OSError: A file cannot be read.
    """
    hashes = {
        name: hash_file(path) for name, path in zip(task.bracket.names, task.inputs, strict=True)
    }
    return Recipe(hashes, choices.named_for(task.out).given(), weights)


def judge_result(task: Task, recipe: Recipe) -> State:
    """Whether the picture of a task is there already.

    Raises:
        OSError: It is there and cannot be read.
    """
    if not task.out.exists():
        return "new"
    known, found = read_sidecar(task), hash_file(task.out)
    if known is None or found not in (known.picture_sha256, known.replaces_sha256):
        return "changed"
    is_same = found == known.picture_sha256 and known.key == recipe.key
    return "up to date" if is_same else "out of date"


def read_sidecar(task: Task) -> Sidecar | None:
    """What is remembered of a task; None where nothing is."""
    try:
        return Sidecar.model_validate_json(task.sidecar.read_bytes())
    except (OSError, ValidationError):
        return None


def write_result(task: Task, recipe: Recipe, picture: Picture) -> Sidecar:
    """Write a picture and its sidecar, each whole or not at all.

    The sidecar goes first, and names the picture that is to be replaced: where the run ends between
    the two, the next one sees that the picture is this programme's own, and not the one described.

    Raises:
        OSError: They cannot be written.
    """
    sidecar = Sidecar(
        key=recipe.key,
        inputs=dict(recipe.inputs),
        options=dict(recipe.options),
        weights=recipe.weights,
        picture=task.out.name,
        picture_sha256=hashlib.sha256(picture.content).hexdigest(),
        replaces_sha256=hash_file(task.out) if task.out.exists() else None,
        report=picture.describe(),
    )
    task.out.parent.mkdir(parents=True, exist_ok=True)
    for path, content in (
        (task.sidecar, sidecar.model_dump_json(indent=2).encode() + b"\n"),
        (task.out, picture.content),
    ):
        with open_destination(path) as file:
            file.write(content)
    return sidecar


def hash_file(path: Path) -> str:
    """SHA-256 of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
