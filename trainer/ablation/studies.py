"""The file of studies: which questions are asked, and which arms answer each of them."""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from model.exposure import Reference
from model.lightness.definition import ChromaRule
from model.manifest import NetworkConfig
from trainer.config import TrainConfig, load_config
from trainer.errors import ConfigError
from trainer.toml import check_table, read_toml

NAME_PATTERN = r"^[a-z0-9]+(-[a-z0-9]+)*$"
USUAL_SCENES = "scenes"
"""Name of the scenes of every study that names no others."""

KEY_DIGITS = 8


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class EvaluationOptions(_Record):
    """How an arm's weights are run on the scenes.

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
        evaluation: How its weights are run on the scenes.
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
        scenes: Name of the scenes that answer it, where the usual ones cannot.
        max_side_px: Reduce these scenes first; None takes them as they are.
        intervals: The document also lists how far each arm is from the first, with intervals.
        arms: The arms; every other one is compared with the first.
    """

    name: str = Field(pattern=NAME_PATTERN)
    title: str
    question: str
    scenes: str = Field(default=USUAL_SCENES, pattern=NAME_PATTERN)
    max_side_px: int | None = Field(default=None, ge=176)
    intervals: bool = False
    arms: tuple[Arm, ...] = Field(alias="arm", min_length=1)

    @model_validator(mode="after")
    def _check_names(self) -> "Study":
        _check_unique("arm", [arm.name for arm in self.arms])
        return self


class Studies(_Record):
    """The whole file.

    Attributes:
        base: Training config that every arm overrides, beside this file.
        studies: The questions, in the order of the document.
    """

    base: str
    studies: tuple[Study, ...] = Field(alias="study", min_length=1)

    @model_validator(mode="after")
    def _check_names(self) -> "Studies":
        _check_unique("study", [study.name for study in self.studies])
        return self


@dataclass(frozen=True, slots=True)
class PlannedArm:
    """An arm with everything decided.

    Attributes:
        study: The question.
        arm: The arm, as the file has it.
        config: Its training config; the same in every arm that asks for the same training.
    """

    study: Study
    arm: Arm
    config: TrainConfig

    @property
    def label(self) -> str:
        """A name of its own for the weights, run this way."""
        chosen = self.arm.evaluation.model_dump(exclude_defaults=True)
        return "-".join([self.config.name, *(f"{key}-{value}" for key, value in chosen.items())])


def plan_studies(
    path: Path, overrides: Iterable[str] = (), *, names: Iterable[str] = ()
) -> tuple[tuple[PlannedArm, ...], ...]:
    """Read a file of studies and resolve every arm's training config.

    Arms with equal configs get one name, that of the first of them and a hash of the config, and
    so are trained once.

    Args:
        path: TOML file.
        overrides: Overrides for all arms; an arm's own come after them.
        names: Studies to take, all by default.

    Returns:
        The arms of each study, in the file's order.

    Raises:
        ConfigError: A file is missing or wrong, an arm's override is wrong, or there is no study of
            one of the names.
    """
    file = check_table(Studies, read_toml(path, what="a file of studies"), name=path.name)
    trainings: dict[str, str] = {}
    planned: dict[str, tuple[PlannedArm, ...]] = {}
    common = tuple(overrides)
    for study in file.studies:
        arms: list[PlannedArm] = []
        for arm in study.arms:
            try:
                config = load_config(path.parent / file.base, (*common, *arm.set))
            except ConfigError as cause:
                raise ConfigError(f"arm '{study.name}/{arm.name}': {cause.message}") from cause
            key = hash_config(config)
            name = trainings.setdefault(key, f"{study.name}-{arm.name}-{key}")
            arms.append(PlannedArm(study, arm, config.model_copy(update={"name": name})))
        planned[study.name] = tuple(arms)
    asked = tuple(names) or tuple(planned)
    unknown = [name for name in asked if name not in planned]
    if unknown:
        raise ConfigError(
            f"expected a study of {', '.join(sorted(planned))}, got {', '.join(unknown)}"
        )
    return tuple(arms for name, arms in planned.items() if name in asked)


def hash_config(config: TrainConfig) -> str:
    """A short hash of all that a config says besides the defaults, but for its name.

    A key that is new in the config, and has its default, leaves finished trainings as they are.
    """
    values = config.model_dump(mode="json", exclude_defaults=True, exclude={"name"})
    if config.network.architecture != NetworkConfig().architecture:  # to each it is its default
        values["architecture"] = config.network.architecture
    text = json.dumps(values, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:KEY_DIGITS]


def _check_unique(kind: str, names: list[str]) -> None:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"expected each {kind} once, got {', '.join(twice)} more often")
