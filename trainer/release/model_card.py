"""The model card of a weights version, `README.md` beside its manifest and generated from it."""

import tomllib
from pathlib import Path

from model.manifest import Manifest, PyramidBlendConfig, count_parameters, read_manifest
from model.release.manifest_tables import group_data, tabulate_scores
from trainer.config import DataConfig
from trainer.errors import RunError
from trainer.files import write_whole
from trainer.losses.descriptions import describe_losses
from trainer.release.markdown import Table, describe_value, draw_table

CARD_NAME = "README.md"

PAPER = (
    'Im, Son, Kwon and Lee, "Multi-Task Learning Approach Using Dynamic Hyperparameter for '
    'Multi-Exposure Fusion", *Mathematics* 2023, 11, 1620'
)
PAPERS_OF_BLEND = (
    "A Laplacian pyramid (Burt and Adelson 1983) in which exposures are blended as by Mertens, "
    "Kautz and Van Reeth (2007), with weights that a network predicts."
)
SUMMARY = (
    "Fuses the CIELAB lightness of an under-exposed and an over-exposed photograph of one scene, "
    "for the expofuse service and its library."
)
SUMMARY_OF_BLEND = (
    "Fuses an under-exposed and an over-exposed photograph of one scene, in colour, for the "
    "expofuse service and its library."
)
INTENDED_USE = (
    "One well-exposed, display-ready picture from two photographs of one scene that differ in "
    "exposure. Not meant for radiometric measurement, for reconstructing a high-dynamic-range "
    "image, or for scenes in which much moves between the exposures."
)
CHROMA_WORDS = {
    "blend": "blended as lightness is",
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
        "Losses": describe_losses(_group(config, "loss")),
        "Training data": _describe_data(manifest, _group(config, "data")),
        "Evaluation": _describe_evaluation(manifest),
        "Limits": [f"- {limit}" for limit in (*_find_limits(manifest), *manifest.limits)],
        "Files": _describe_files(manifest),
    }
    lines = [
        f"# {manifest.name} {manifest.version}",
        "",
        manifest.summary or (SUMMARY_OF_BLEND if _is_blend(manifest) else SUMMARY),
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
    if _is_blend(manifest):
        rows = [
            ("exposures", f"{exposures}, of equal size"),
            ("input", "sRGB-coded RGB, 0 to 1, float32, shape (N, 3, H, W) each"),
            ("output", "the same, not clamped"),
            ("before", f"aligned onto the {manifest.reference} exposure by a homography"),
            ("after", "clipped and rounded; no conversion of colour"),
        ]
        return draw_table(("what", "how"), rows)
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
    return draw_table(("what", "how"), rows)


def _describe_network(manifest: Manifest, parameters: int) -> list[str]:
    network = manifest.network
    if isinstance(network, PyramidBlendConfig):
        return _describe_blend(manifest, network, parameters)
    encoders = "one for both exposures" if network.encoders == "tied" else "one for each exposure"
    rows = [
        ("architecture", f"`{network.architecture}`, {network.width} feature maps a layer"),
        ("parameters", f"{parameters:,}"),
        ("encoder", f"a convolution and a dense block of three, {encoders}"),
        ("fusion of features", f"their {network.feature_fusion}"),
        ("decoder", f"four convolutions, after the last one: {network.final_activation}"),
        ("scale inside", f"L\\* = 100 is {network.lightness_scale:g}"),
        ("receptive field", _name_field(manifest)),
    ]
    return [f"After {PAPER}.", "", *draw_table(("what", "how"), rows)]


def _describe_blend(manifest: Manifest, network: PyramidBlendConfig, parameters: int) -> list[str]:
    dilations = ", ".join(str(one) for one in network.dilations)
    rows = [
        ("architecture", f"`{network.architecture}`, {network.width} feature maps a layer"),
        ("parameters", f"{parameters:,}"),
        (
            "encoder",
            f"a convolution and residual ones of dilation {dilations}, one for all exposures, on "
            f"luma reduced to at most {network.network_side_px} pixels a side",
        ),
        ("fusion of features", "their mean and maximum, and one vector of the whole picture"),
        ("output", "coefficients of a polynomial in the intensities, and gains of the bands"),
        ("weights", "a softmax of the polynomials at each level and pixel, and of local contrast"),
        ("receptive field", _name_field(manifest)),
    ]
    if not network.saliency:
        rows[5] = ("weights", "a softmax of the polynomials at each level and pixel")
    return [PAPERS_OF_BLEND, "", *draw_table(("what", "how"), rows)]


def _is_blend(manifest: Manifest) -> bool:
    return isinstance(manifest.network, PyramidBlendConfig)


def _name_field(manifest: Manifest) -> str:
    field = manifest.receptive_field
    return "the whole picture" if field is None else f"{field} pixels"


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
    rows += [(_words(key), describe_value(value)) for key, value in shown if key != "steps"]
    if _group(config, "loss").get("tasks", 1.0):
        rows.append(("reading of the paper", describe_value(config.get("reading", "paper"))))
    rows += [
        ("seed", str(training.seed)),
        ("commit", f"`{training.commit}`"),
        ("hardware", training.device),
    ]
    return draw_table(("what", "how"), rows)


def _describe_data(manifest: Manifest, data: Table) -> list[str]:
    groups = group_data(manifest.training.data)
    if not groups:
        return ["None recorded."]
    rows = [
        (str(len(group.sources)), group.kind, group.licence, ", ".join(group.origins))
        for group in groups
    ]
    lines = draw_table(("items", "kind", "licence", "source"), rows)
    if any(POLY_HAVEN in group.licence for group in groups):
        lines += ["", POLY_HAVEN_LINKS]
    if data:
        triples = [(f"`{key}`", describe_value(value)) for key, value in data.items()]
        lines += ["", "How triples are made of them:", "", *draw_table(("key", "value"), triples)]
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
        lines += ["", *draw_table(table.header, rows)]
    return lines[1:]


def _find_limits(manifest: Manifest) -> list[str]:
    """What follows from the network and the pipeline, whatever the training was."""
    field = manifest.receptive_field
    limits = ["What moves between the exposures leaves a ghost; alignment is one homography."]
    if field is not None:
        limits.insert(
            0,
            f"Each pixel is decided by the {field} x {field} pixels around it: the picture has "
            "local contrast over an average tone, and is flat where the exposures lie far apart.",
        )
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
    lines = draw_table(("file", "bytes", "SHA-256"), rows)
    return [*lines, "", f"`expofuse weights verify {manifest.label}` checks them."]


def _group(config: Table, name: str) -> Table:
    group = config.get(name, {})
    return group if isinstance(group, dict) else {}


def _words(key: str) -> str:
    return key.replace("_", " ")
