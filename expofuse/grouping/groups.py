"""Holds what was found in a shoot, and reads and writes it as JSON that a person can edit."""

from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from expofuse.errors import GroupsError
from model.exposure import MAX_EXPOSURES, MIN_EXPOSURES


@dataclass(frozen=True, slots=True)
class Bracket:
    """The files of one exposure stack, as the camera took them.

    Attributes:
        names: Two to nine, in the order in which they were taken.
        reason: Why they belong together, in a few words.
    """

    names: tuple[str, ...]
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Single:
    """A file that belongs to no bracket.

    Attributes:
        name: Of the file.
        reason: Why it stands alone, in a few words.
    """

    name: str
    reason: str = ""


class _BracketForm(BaseModel):
    model_config = ConfigDict(extra="forbid")
    files: list[str] = Field(min_length=MIN_EXPOSURES, max_length=MAX_EXPOSURES)
    reason: str = ""


class _SingleForm(BaseModel):
    model_config = ConfigDict(extra="forbid")
    file: str
    reason: str = ""


class _GroupsForm(BaseModel):
    model_config = ConfigDict(extra="forbid")
    form: Literal["expofuse-groups-1"] = "expofuse-groups-1"
    brackets: list[_BracketForm]
    singles: list[_SingleForm] = []


@dataclass(frozen=True, slots=True)
class Groups:
    """What a shoot holds; every frame is in one bracket, or a single.

    Attributes:
        brackets: In the order of the shoot.
        singles: What is in no bracket.
    """

    brackets: tuple[Bracket, ...] = ()
    singles: tuple[Single, ...] = ()

    def to_json(self) -> str:
        """The groups as JSON, one file name to a line, for a person to edit."""
        brackets = [_BracketForm(files=list(one.names), reason=one.reason) for one in self.brackets]
        singles = [_SingleForm(file=one.name, reason=one.reason) for one in self.singles]
        return _GroupsForm(brackets=brackets, singles=singles).model_dump_json(indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes) -> "Groups":
        """Read what `to_json` wrote, also after a person edited it.

        Reasons may be missing, and so may singles.

        Raises:
            GroupsError: It is not of that form, a bracket has not two to nine files, or a file is
                named twice.

        Example:
            >>> Groups.from_json('{"brackets": [{"files": ["a.jpg", "b.jpg"]}]}').brackets[0].names
            ('a.jpg', 'b.jpg')
        """
        try:
            read = _GroupsForm.model_validate_json(text)
        except ValidationError as cause:
            first = cause.errors(include_url=False, include_input=False)[0]
            place = ".".join(map(str, first["loc"]))
            raise GroupsError(
                f"expected groups as `expofuse group` writes them, got {first['msg']}"
                + (f" at {place}" if place else "")
            ) from cause
        seen: set[str] = set()
        names = [name for one in read.brackets for name in one.files]
        for name in [*names, *(one.file for one in read.singles)]:
            if name in seen:
                raise GroupsError(f"expected every file in one place, got '{name}' in two")
            seen.add(name)
        return cls(
            tuple(Bracket(tuple(one.files), one.reason) for one in read.brackets),
            tuple(Single(one.file, one.reason) for one in read.singles),
        )
