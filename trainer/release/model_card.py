"""The model card of a weights version, `README.md` beside its manifest and generated from it."""

import tomllib
from dataclasses import dataclass
from pathlib import Path

from model.manifest import Evaluation, Manifest, PyramidBlendConfig, count_parameters, read_manifest
from model.release.manifest_tables import group_data, tabulate_scores
from trainer.config import DataConfig
from trainer.errors import RunError
from trainer.files import write_whole
from trainer.losses.registry import TERMS
from trainer.losses.term import LossTerm
from trainer.markdown import format_value, load_template
from trainer.metrics import MEASURES

CARD_NAME = "README.md"
TEMPLATE_NAME = "model_card.md.jinja"

Table = dict[str, object]
"""A group of a TOML document."""

CHROMA_RULES = {
    "blend": "blended as lightness is",
    "mean": "the mean of both exposures",
    "unclipped": "the mean of both, each weighted by its distance from clipping, within sRGB",
    "weighted": "the mean of both, each weighted by its distance from neutral",
}
STARTS = {
    "random": "random parameters",
    "average": "parameters with which the network averages its inputs",
    "weights": "the parameters of a released version",
}
FREE_LICENCES = DataConfig().licences
"""Beginnings of the licences of data that weights for everyone may be made of."""


@dataclass(frozen=True, slots=True)
class LossWords:
    """The losses of a training config in words.

    Attributes:
        summands: What the loss is the sum of, with weights.
        explanations: A sentence for each term that its name does not explain.
        has_tasks: The paper's tasks are among them.
        has_masks: The under and over tasks are.
        has_tuner: These two are weighted by ParamTuner.
    """

    summands: tuple[str, ...]
    explanations: tuple[str, ...]
    has_tasks: bool
    has_masks: bool
    has_tuner: bool


def write_card(directory: Path) -> Path:
    """Write the model card of a weights version.

    Args:
        directory: `weights/<name>-<version>`.

    Returns:
        The card's path.

    Raises:
        WeightsError: The manifest or the parameters are missing or broken.
        RunError: The manifest's training config is no TOML.
    """
    manifest = read_manifest(directory)
    card = render_card(manifest, parameters=count_parameters(manifest, directory))
    path = directory / CARD_NAME
    write_whole(path, card)
    return path


def render_card(manifest: Manifest, *, parameters: int) -> str:
    """The model card as Markdown; the same manifest always gives the same card.

    Args:
        manifest: Manifest of the version.
        parameters: Number of parameters of its network.

    Returns:
        Markdown text with a final newline.

    Raises:
        RunError: The manifest's training config is no TOML.
    """
    try:
        config = tomllib.loads(manifest.training.config)
    except tomllib.TOMLDecodeError as cause:
        raise RunError(f"the training config of '{manifest.label}' is not TOML: {cause}") from cause
    groups = {name: _group(config, name) for name in ("optim", "loss", "data")}
    data = manifest.training.data
    fewest, most = manifest.accepted_exposures
    start = str(groups["optim"].get("start", "random"))
    template = load_template(__package__, TEMPLATE_NAME)
    return template.render(
        manifest=manifest,
        is_blend=isinstance(manifest.network, PyramidBlendConfig),
        is_free=bool(data) and all(one.licence.startswith(FREE_LICENCES) for one in data),
        parameters=parameters,
        exposures=str(fewest) if fewest == most else f"{fewest} to {most}",
        chroma_rule=CHROMA_RULES[manifest.chroma],
        start=STARTS.get(start, start),
        config={"reading": config.get("reading", "paper"), **groups},
        losses=describe_losses(groups["loss"]),
        groups=group_data(data),
        evaluations=[
            (one, tabulate_scores(manifest, one), _list_partial(one)) for one in manifest.evaluation
        ],
    )


def describe_losses(loss: Table) -> LossWords:
    """The losses in words.

    Args:
        loss: The group `loss` of a training config; of an older one it lacks the newer keys.
    """
    by_key = {term.key: term for term in TERMS}
    terms = [by_key[key] for key, weight in loss.items() if key in by_key and weight]
    tasks, has_masks = loss.get("tasks", 1.0), bool(loss.get("use_masks", True))
    summands = []
    if tasks:
        summed = "lambda1 Loss_under + lambda2 Loss_over + Loss_co" if has_masks else "Loss_co"
        summands = [summed if tasks == 1 else f"{format_value(tasks)} ({summed})"]
    return LossWords(
        (*summands, *(f"{format_value(loss[term.key])} {term.words}" for term in terms)),
        tuple(_explain(term, loss) for term in terms if term.explanation),
        has_tasks=bool(tasks),
        has_masks=has_masks,
        has_tuner=bool(loss.get("use_tuner", True)),
    )


def _list_partial(evaluation: Evaluation) -> list[str]:
    """Names of the scores whose mean is over those scenes alone that they apply to."""
    measures = [MEASURES[name] for name in evaluation.scores if name in MEASURES]
    return [measure.name for measure in measures if measure.applies == "to some scenes"]


def _explain(term: LossTerm, loss: Table) -> str:
    options = {one.key: loss.get(one.key, one.default) for one in term.all_options()}
    return term.explanation.format(**{key: format_value(value) for key, value in options.items()})


def _group(config: Table, name: str) -> Table:
    group = config.get(name, {})
    return group if isinstance(group, dict) else {}
