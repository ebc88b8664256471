"""The model card of a weights version, `README.md` beside its manifest and generated from it."""

import tomllib
from collections.abc import Iterable, Sequence
from pathlib import Path

from model.manifest import Manifest, count_parameters, read_manifest
from model.manifest_tables import group_data, tabulate_scores
from trainer.config import DataConfig
from trainer.errors import RunError
from trainer.files import write_whole

CARD_NAME = "README.md"

PAPER = (
    'Im, Son, Kwon and Lee, "Multi-Task Learning Approach Using Dynamic Hyperparameter for '
    'Multi-Exposure Fusion", *Mathematics* 2023, 11, 1620'
)
SUMMARY = (
    "Fuses the CIELAB lightness of an under-exposed and an over-exposed photograph of one scene, "
    "for the expofuse service and its library."
)
INTENDED_USE = (
    "One well-exposed, display-ready picture from two photographs of one scene that differ in "
    "exposure. Not meant for radiometric measurement, for reconstructing a high-dynamic-range "
    "image, or for scenes in which much moves between the exposures."
)
CHROMA_WORDS = {
    "mean": "the mean of both exposures",
    "weighted": "the mean of both, each weighted by its distance from neutral",
}
START_WORDS = {
    "random": "random parameters",
    "average": "parameters with which the network averages its inputs",
    "weights": "the parameters of a released version",
}
POLY_HAVEN = "Poly Haven"
POLY_HAVEN_LINKS = (
    "A panorama `hdri/NAME_1k.hdr` is the asset `https://polyhaven.com/a/NAME`; its source is the "
    "repository that the file was taken from, `https://github.com/SOURCE`."
)

LICENCE = "Licence: Apache-2.0."
FREE_LICENCES = DataConfig().licences
"""Beginnings of the licences of data that weights for everyone may be made of."""

Table = dict[str, object]


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
    sections = {
        "Intended use": [manifest.intended_use or INTENDED_USE],
        "Inputs and outputs": _describe_inputs(manifest),
        "Network": _describe_network(manifest, parameters),
        "Training": _describe_training(manifest, config),
        "Losses": _describe_losses(_group(config, "loss")),
        "Training data": _describe_data(manifest, _group(config, "data")),
        "Evaluation": _describe_evaluation(manifest),
        "Limits": [f"- {limit}" for limit in (*_find_limits(manifest), *manifest.limits)],
        "Files": _describe_files(manifest),
    }
    lines = [
        f"# {manifest.name} {manifest.version}",
        "",
        manifest.summary or SUMMARY,
        "",
        "Generated from `manifest.json` by `python -m trainer card`; the whole training config is "
        f"there, too. {_describe_licence(manifest)}",
    ]
    for title, body in sections.items():
        lines += ["", f"## {title}", "", *body]
    return "\n".join(lines) + "\n"


def _describe_licence(manifest: Manifest) -> str:
    """The project's licence for weights from data that anyone may use, else a word of caution."""
    data = manifest.training.data
    if data and all(source.licence.startswith(FREE_LICENCES) for source in data):
        return LICENCE
    if not data:
        return "Licence: not known, no training data is recorded."
    return "Licence: that of the training data below decides who may use these weights."


def _describe_inputs(manifest: Manifest) -> list[str]:
    fewest, most = manifest.accepted_exposures
    exposures = str(fewest) if fewest == most else f"{fewest} to {most}"
    rows = [
        ("exposures", f"{exposures}, darker first, of equal size"),
        ("input", "`under_l`, `over_l`: CIELAB L\\*, 0 to 100, float32, shape (N, 1, H, W)"),
        ("output", "`fused_l`: the same; `network-valid.onnx` gives it without the halo"),
        (
            "before",
            f"aligned onto the {manifest.reference} exposure by a homography; sRGB to CIELAB",
        ),
        ("after", f"a\\* and b\\*: {CHROMA_WORDS[manifest.chroma]}; back to sRGB, clipped"),
    ]
    return _table(("what", "how"), rows)


def _describe_network(manifest: Manifest, parameters: int) -> list[str]:
    network = manifest.network
    encoders = "one for both exposures" if network.encoders == "tied" else "one for each exposure"
    rows = [
        ("architecture", f"`{network.architecture}`, {network.width} feature maps a layer"),
        ("parameters", f"{parameters:,}"),
        ("encoder", f"a convolution and a dense block of three, {encoders}"),
        ("fusion of features", f"their {network.feature_fusion}"),
        ("decoder", f"four convolutions, after the last one: {network.final_activation}"),
        ("scale inside", f"L\\* = 100 is {network.lightness_scale:g}"),
        ("receptive field", f"{manifest.receptive_field} pixels"),
    ]
    return [f"After {PAPER}.", "", *_table(("what", "how"), rows)]


def _describe_training(manifest: Manifest, config: Table) -> list[str]:
    training, optim = manifest.training, _group(config, "optim")
    start = START_WORDS.get(str(optim.get("start", "random")), str(optim.get("start")))
    rows = [
        ("begins with", f"`{training.started_from}`" if training.started_from else start),
        ("steps", f"{training.steps:,}"),
    ]
    if training.exported_step is not None:
        which = "did best on the validation scenes" if training.checkpoint == "best" else "is last"
        rows.append(("exported", f"the state after step {training.exported_step:,}, which {which}"))
    shown = [(key, value) for key, value in optim.items() if not key.startswith("start")]
    rows += [(_words(key), _value(value)) for key, value in shown if key != "steps"]
    rows += [
        ("reading of the paper", _value(config.get("reading", "paper"))),
        ("seed", str(training.seed)),
        ("commit", f"`{training.commit}`"),
        ("hardware", training.device),
    ]
    return _table(("what", "how"), rows)


def _describe_losses(loss: Table) -> list[str]:
    if not loss:
        return ["Not recorded."]
    alpha, beta = loss.get("alpha"), loss.get("beta")
    tasks = "Loss_co"
    if loss.get("use_masks", True):
        tasks = "lambda1 Loss_under + lambda2 Loss_over + Loss_co"
    if loss.get("fidelity"):
        tasks += f" + {_value(loss['fidelity'])} (1 - MEF-SSIM)"
    if loss.get("detail"):
        tasks += f" + {_value(loss['detail'])} lost gradients"
    if loss.get("bounds"):
        tasks += f" + {_value(loss['bounds'])} excursion"
    if loss.get("tone"):
        tasks += f" + {_value(loss['tone'])} tone shift"
    lines = ["```", f"Loss = {tasks}", f"Loss_i = square error + {_value(alpha)} (1 - MS-SSIM)"]
    lines += ["```", ""]
    if loss.get("use_masks", True):
        weights = (
            f"lambda1 + lambda2 = {_value(beta)}, set for each triple by ParamTuner (Eq. 10-13)"
            if loss.get("use_tuner", True)
            else f"lambda1 = lambda2 = {_value(beta)} / 2"
        )
        lines += [
            "Loss_co compares the output with the correct exposure; Loss_under and Loss_over "
            f"compare it with a source under the masks of MaskBuilder (Eq. 1-5). {weights}.",
        ]
    else:
        lines += ["Loss_co compares the output with the correct exposure."]
    if loss.get("fidelity"):
        lines += [
            "The MEF-SSIM of the output against the two exposures counts from step "
            f"{_value(loss.get('fidelity_from_step', 0))} on; the paper does not have this term."
        ]
    if loss.get("detail"):
        lines += [
            "Lost gradients: how far those of the output stay behind "
            f"{_value(loss.get('detail_gain'))} times the stronger exposure's, on "
            f"{_value(loss.get('detail_scales'))} scales; not in the paper either."
        ]
    if loss.get("bounds"):
        lines += [
            "Excursion: the mean square by which the output leaves the span of its two exposures; "
            "not in the paper either."
        ]
    if loss.get("tone"):
        lines += [
            "Tone shift: the mean square between coarse tones of the output and of the mean of its "
            f"exposures, from step {_value(loss.get('tone_from_step', 0))} on; not in the paper "
            "either."
        ]
    rows = [(f"`{key}`", _value(value)) for key, value in loss.items()]
    return [*lines, "", *_table(("key", "value"), rows)]


def _describe_data(manifest: Manifest, data: Table) -> list[str]:
    groups = group_data(manifest.training.data)
    if not groups:
        return ["None recorded."]
    rows = [
        (str(len(group.sources)), group.kind, group.licence, ", ".join(group.origins))
        for group in groups
    ]
    lines = _table(("items", "kind", "licence", "source"), rows)
    if any(POLY_HAVEN in group.licence for group in groups):
        lines += ["", POLY_HAVEN_LINKS]
    if data:
        triples = [(f"`{key}`", _value(value)) for key, value in data.items()]
        lines += ["", "How triples are made of them:", "", *_table(("key", "value"), triples)]
    lines += ["", "<details><summary>Every item</summary>", ""]
    for group in groups:
        names = ", ".join(f"`{source.name}`" for source in group.sources)
        lines += [f"- {group.kind}, {group.licence}: {names}"]
    return [*lines, "", "</details>"]


def _describe_evaluation(manifest: Manifest) -> list[str]:
    if not manifest.evaluation:
        return ["Not evaluated yet."]
    lines: list[str] = []
    for evaluation in manifest.evaluation:
        table = tabulate_scores(manifest, evaluation)
        rows = [list(cells) for cells in table.rows]
        for number, column in table.best:
            rows[number][column] = f"**{rows[number][column]}**"
        align = f", exposures aligned with `align={evaluation.align}`" if evaluation.align else ""
        lines += ["", f"**{evaluation.dataset}**, means over {evaluation.pairs} pairs{align}:"]
        lines += ["", *_table(table.header, rows)]
    return lines[1:]


def _find_limits(manifest: Manifest) -> list[str]:
    """What follows from the network and the pipeline, whatever the training was."""
    field = manifest.receptive_field
    limits = [
        f"Each pixel is decided by the {field} x {field} pixels around it: the picture has local "
        "contrast over an average tone, and is flat where the exposures lie far apart.",
        "What moves between the exposures leaves a ghost; alignment is one homography.",
    ]
    if manifest.accepted_exposures == (2, 2):
        limits.append("Exactly two exposures.")
    if manifest.chroma == "mean":
        limits.append("Where one exposure is clipped to grey, the mean of the chroma pales.")
    return limits


def _describe_files(manifest: Manifest) -> list[str]:
    rows = [
        (f"`{name}`", f"{entry.size_bytes:,}", f"`{entry.sha256}`")
        for name, entry in manifest.files.items()
    ]
    lines = _table(("file", "bytes", "SHA-256"), rows)
    return [*lines, "", f"`expofuse weights verify {manifest.label}` checks them."]


def _group(config: Table, name: str) -> Table:
    group = config.get(name, {})
    return group if isinstance(group, dict) else {}


def _words(key: str) -> str:
    return key.replace("_", " ")


def _value(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return f"{int(value):,}" if value == int(value) else f"{value:g}"
    if isinstance(value, list):
        is_range = len(value) == 2 and all(type(end) in (int, float) for end in value)
        return (" to " if is_range else ", ").join(map(_value, value))
    return str(value) or "none"


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """A Markdown table; a bar inside a cell is escaped."""
    lines = [header, ["---"] * len(header), *rows]
    return ["| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |" for cells in lines]
