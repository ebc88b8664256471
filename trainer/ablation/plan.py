"""From the questions to the work: which trainings, and what each of them is scored as."""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from trainer.ablation.studies import Arm, EvaluationOptions, Studies, Study
from trainer.config import TrainConfig, load_config
from trainer.errors import ConfigError

KEY_DIGITS = 8
USUAL_PAIRS = "pairs"
"""Name of the pairs of every study that names no others."""


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
    def trial(self) -> "Trial":
        """What its weights are scored as."""
        return Trial(
            self.config.name,
            self.arm.evaluation,
            self.study.pairs or USUAL_PAIRS,
            self.study.max_side_px,
        )


@dataclass(frozen=True, slots=True)
class Trial:
    """Weights, the way they are run, and the pairs that they are run on.

    Attributes:
        run: Name of the training.
        options: How the weights are run.
        pairs: Name of the pairs.
        max_side_px: Reduce the pairs to this side first; None leaves them.
    """

    run: str
    options: EvaluationOptions
    pairs: str
    max_side_px: int | None = None

    @property
    def label(self) -> str:
        """A name of its own for the weights, run this way."""
        chosen = self.options.model_dump(exclude_defaults=True)
        return "-".join([self.run, *(f"{key}-{value}" for key, value in chosen.items())])


@dataclass(frozen=True, slots=True)
class Job:
    """One training and all that it is scored as; what one process does.

    Attributes:
        config: The training.
        trials: Its evaluations.
    """

    config: TrainConfig
    trials: tuple[Trial, ...]

    @property
    def name(self) -> str:
        """Name of the training."""
        return self.config.name


def plan_arms(
    studies: Studies, folder: Path, overrides: Iterable[str] = (), *, runs: Path | None = None
) -> tuple[PlannedArm, ...]:
    """Resolve every arm's training config.

    Arms with equal configs get one name, that of the first of them and a hash of the config, and
    so are trained once. A training that lies in `runs` already keeps the name it has there.

    Args:
        studies: The questions.
        folder: Where the base config lies.
        overrides: Overrides for all arms; an arm's own come after them.
        runs: Folder of the trainings made so far.

    Returns:
        All arms, in the file's order.

    Raises:
        ConfigError: The base config is missing, or an arm's override is wrong; the message names
            the arm.
    """
    names: dict[str, str] = {}
    planned: list[PlannedArm] = []
    common = tuple(overrides)
    for study in studies.studies:
        for arm in study.arms:
            try:
                config = load_config(folder / studies.base, (*common, *arm.set))
            except ConfigError as cause:
                raise ConfigError(f"arm '{study.name}/{arm.name}': {cause.message}") from cause
            key = hash_config(config)
            if key not in names:
                names[key] = _find_name(runs, key) or f"{study.name}-{arm.name}-{key}"
            named = config.model_copy(update={"name": names[key]})
            planned.append(PlannedArm(study, arm, named))
    return tuple(planned)


def select_arms(
    planned: Sequence[PlannedArm], studies: Sequence[str] = (), arms: Sequence[str] = ()
) -> tuple[PlannedArm, ...]:
    """Arms of the named studies and of the given names; all where nothing is named.

    Raises:
        ConfigError: No arm has one of these names.
    """
    for kind, asked, known in (
        ("study", studies, {one.study.name for one in planned}),
        ("arm", arms, {one.arm.name for one in planned}),
    ):
        unknown = [name for name in asked if name not in known]
        if unknown:
            raise ConfigError(
                f"expected a {kind} of {', '.join(sorted(known))}, got {', '.join(unknown)}"
            )
    return tuple(
        one
        for one in planned
        if (not studies or one.study.name in studies) and (not arms or one.arm.name in arms)
    )


def collect_jobs(planned: Iterable[PlannedArm]) -> tuple[Job, ...]:
    """Each training once, with its trials, in the order in which the arms ask for them."""
    configs: dict[str, TrainConfig] = {}
    trials: dict[str, dict[Trial, None]] = {}
    for one in planned:
        configs.setdefault(one.config.name, one.config)
        trials.setdefault(one.config.name, {})[one.trial] = None
    return tuple(Job(config, tuple(trials[name])) for name, config in configs.items())


def hash_config(config: TrainConfig) -> str:
    """A short hash of all that a config says besides the defaults, but for its name.

    A key that is new in the config, and has its default, leaves finished trainings as they are.
    """
    values = config.model_dump(mode="json", exclude_defaults=True, exclude={"name"})
    text = json.dumps(values, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:KEY_DIGITS]


def _find_name(runs: Path | None, key: str) -> str | None:
    found = sorted(runs.glob(f"*-{key}")) if runs is not None and runs.is_dir() else []
    return found[0].name if found else None
