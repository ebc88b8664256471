"""The file of studies: which questions are asked, and which arms answer each of them."""

import tomllib
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from model.colour import ChromaRule
from model.exposure import Reference
from trainer.errors import ConfigError

NAME_PATTERN = r"^[a-z0-9]+(-[a-z0-9]+)*$"


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class EvaluationOptions(_Record):
    """How an arm's weights are run on the pairs.

    Attributes:
        align: Align the exposures first, or take them as they lie.
        chroma: Rule that fuses a* and b*; None: that of the export, `mean`, or none where the
            network blends colour itself.
        reference: Exposure onto which the other is warped.
    """

    align: Literal["auto", "off"] = "off"
    chroma: ChromaRule | None = None
    reference: Reference = "over"


class Arm(_Record):
    """One answer to a question.

    Attributes:
        name: Short name, unique in its study.
        set: Overrides of the base config, `group.key=value` each.
        evaluation: How its weights are run on the pairs.
    """

    name: str = Field(pattern=NAME_PATTERN)
    set: tuple[str, ...] = ()
    evaluation: EvaluationOptions = EvaluationOptions()


class Study(_Record):
    """One question.

    Attributes:
        name: Short name, unique in the file.
        title: Heading.
        question: What is asked and where it comes from, in a sentence or two.
        pairs: Name of the pairs that answer it, where the usual ones cannot.
        max_side_px: Reduce these pairs first; None takes them as they are.
        plot_epochs: Plot the total loss per epoch too, as the paper's Fig. 10 does.
        arms: The arms; every other one is compared with the first.
    """

    name: str = Field(pattern=NAME_PATTERN)
    title: str
    question: str
    pairs: str = Field(default="", pattern=r"^([a-z0-9]+(-[a-z0-9]+)*)?$")
    max_side_px: int | None = Field(default=None, ge=176)
    plot_epochs: bool = False
    arms: tuple[Arm, ...] = Field(alias="arm", min_length=1)

    @model_validator(mode="after")
    def _check_names(self) -> "Study":
        _check_unique("arm", [arm.name for arm in self.arms])
        return self


class Studies(_Record):
    """The whole file.

    Attributes:
        base: Training config that every arm overrides, beside this file.
        studies: The questions, in the order of the report.
    """

    base: str
    studies: tuple[Study, ...] = Field(alias="study", min_length=1)

    @model_validator(mode="after")
    def _check_names(self) -> "Studies":
        _check_unique("study", [study.name for study in self.studies])
        return self


def read_studies(path: Path) -> Studies:
    """Read a file of studies.

    Raises:
        ConfigError: No such file, no TOML, an unknown key, or a name that stands twice.
    """
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as cause:
        raise ConfigError(f"expected a file of studies '{path.name}', found none") from cause
    except tomllib.TOMLDecodeError as cause:
        raise ConfigError(f"'{path.name}' is not TOML: {cause}") from cause
    try:
        return Studies.model_validate(document)
    except ValidationError as cause:
        first = cause.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "document"
        raise ConfigError(f"'{path.name}', key '{where}': {first['msg']}") from cause


def _check_unique(kind: str, names: list[str]) -> None:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"expected each {kind} once, got {', '.join(twice)} more often")
