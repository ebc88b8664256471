"""A finished run to a weights version: safetensors, manifest, model card, maybe ONNX graphs."""

import json
import warnings
from pathlib import Path
from typing import Literal

import numpy as np
import onnx
import onnxruntime
import torch
from torch import Tensor, nn

from model.blend.definition import MAX_EXPOSURES, MIN_EXPOSURES, sharpen
from model.blend.look import Look
from model.blend.torch_network import BlendNetwork
from model.exposure import Reference
from model.lightness.definition import LIGHTNESS_MAX, ChromaRule, Padding
from model.lightness.torch_network import FusionNetwork
from model.manifest import (
    GRAPH_NAME,
    PARAMETERS_NAME,
    VALID_GRAPH_NAME,
    DataSource,
    Manifest,
    Training,
    describe_file,
    read_manifest,
    write_manifest,
)
from model.release.torch_networks import (
    compute_golden,
    load_network,
    save_parameters,
    to_parameters,
)
from model.release.weights import golden_pair
from trainer.config import BLEND, TrainConfig, load_config
from trainer.errors import RunError
from trainer.peers.definition import PeerConfig
from trainer.release.description import Description, apply_description
from trainer.release.golden import add_golden_picture
from trainer.release.model_card import write_card
from trainer.release.target import begin_version, parse_version
from trainer.run_files import BEST_NAME, CONFIG_NAME, RECORD_NAME

Checkpoint = Literal["best", "last"]

OPSET = 18
PARITY_SIDE_PX = 75
PARITY_TOLERANCE = 1e-5
"""Largest difference between ONNX Runtime and torch, as a share of full scale."""

GRAPHS: tuple[tuple[str, Padding], ...] = ((GRAPH_NAME, "reflect"), (VALID_GRAPH_NAME, "valid"))


class _FixedPadding(nn.Module):
    """The network with its padding decided, as a graph needs it."""

    def __init__(self, network: FusionNetwork, padding: Padding) -> None:
        super().__init__()
        self.network = network
        self.padding = padding

    def forward(self, under_l: Tensor, over_l: Tensor) -> Tensor:
        fused: Tensor = self.network(under_l, over_l, self.padding)
        return fused


def export(
    run: Path,
    target: Path,
    *,
    chroma: ChromaRule | None = None,
    reference: Reference = "over",
    checkpoint: Checkpoint | None = None,
    description: Description | None = None,
) -> Manifest:
    """Write the weights version of a finished run.

    Args:
        run: Folder of a complete run; one that stopped early is complete.
        target: `weights/<name>-<version>`; must not exist.
        chroma: Rule that fuses a* and b* with these weights, `mean` where it is None; a network
            that blends colour itself takes none.
        reference: Exposure that alignment keeps where it is.
        checkpoint: The parameters that did best on the validation scenes, or the last ones; None
            takes the best where the run has validated, else the last.
        description: Texts of the manifest that are written by hand.

    Returns:
        The manifest that was written.

    Raises:
        RunError: The network is not served, the run is not complete or has no best parameters, the
            target exists or is not named after the run, a rule of chroma is given to a network that
            takes none, or a graph or the compiled look differs from the network by more than
            `PARITY_TOLERANCE`.
        WeightsError: The version that the run started from is not there any more.
    """
    config, record = _read_run(run)
    if isinstance(config.network, PeerConfig):
        raise RunError(
            f"expected a network that the service runs, got '{config.network.architecture}', "
            "which is trained to be compared with"
        )
    if config.is_blend and chroma is not None:
        raise RunError(f"expected no rule of chroma for '{BLEND}', got '{chroma}'")
    version = parse_version(config.name, target)
    training = _describe_training(run, config, record, checkpoint)
    parameters = BEST_NAME if training.checkpoint == "best" else PARAMETERS_NAME
    network = load_network(config.network, run / parameters, label=target.name)
    with begin_version(target) as partial:
        save_parameters(network, partial / PARAMETERS_NAME)
        graphs = GRAPHS if isinstance(network, FusionNetwork) else ()
        if isinstance(network, FusionNetwork):
            for name, padding in graphs:
                export_graph(network, partial / name, padding)
                check_parity(network, partial / name, padding)
        else:
            check_look(network)
        manifest = Manifest.model_validate(
            {
                "name": config.name,
                "version": version,
                "network": config.network,
                "files": {
                    name: describe_file(partial / name)
                    for name in (PARAMETERS_NAME, *(name for name, _ in graphs))
                },
                "receptive_field": network.receptive_field,
                "size_multiple": network.size_multiple,
                "accepted_exposures": (MIN_EXPOSURES, MAX_EXPOSURES) if config.is_blend else (2, 2),
                "chroma": "blend" if config.is_blend else chroma or "mean",
                "reference": reference,
                "golden": compute_golden(network),
                "training": training,
            }
        )
        manifest = add_golden_picture(manifest, partial)
        manifest = apply_description(manifest, description or Description())
        write_manifest(manifest, partial)
        write_card(partial)
    return manifest


def export_graph(network: FusionNetwork, path: Path, padding: Padding) -> None:
    """Write the network as one ONNX file with a free batch, height and width."""
    planes = golden_pair(seed=0, side_px=PARITY_SIDE_PX)
    axes = {0: torch.export.Dim.DYNAMIC, 2: torch.export.Dim.DYNAMIC, 3: torch.export.Dim.DYNAMIC}
    # A batch of one would be taken for a constant by torch.export.
    batch = tuple(torch.from_numpy(plane).repeat(2, 1, 1, 1) for plane in planes)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            _FixedPadding(network, padding).eval(),
            batch,
            str(path),
            input_names=["under_l", "over_l"],
            output_names=["fused_l"],
            dynamic_shapes=(axes, axes),
            opset_version=OPSET,
            dynamo=True,
            external_data=False,
            verbose=False,
        )
    _forget_the_exporter(path)


def _forget_the_exporter(path: Path) -> None:
    """Drop the notes about each node, which hold stack traces with the paths of this machine."""
    model = onnx.load(path)
    for part in (model, model.graph, *model.graph.node, *model.graph.value_info):
        del part.metadata_props[:]
    onnx.save(model, path)


def check_parity(network: FusionNetwork, path: Path, padding: Padding) -> float:
    """Compare a graph in ONNX Runtime with the network in torch.

    Returns:
        The largest difference, as a share of full scale.

    Raises:
        RunError: It is above `PARITY_TOLERANCE`.
    """
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    worst = 0.0
    for seed in (1, 2):
        under, over = golden_pair(seed, PARITY_SIDE_PX + seed)
        given = under[None, None], over[None, None]
        (actual,) = session.run(None, dict(zip(("under_l", "over_l"), given, strict=True)))
        with torch.no_grad():
            expected = network(*(torch.from_numpy(plane) for plane in given), padding).numpy()
        worst = max(worst, float(np.abs(actual - expected).max()) / LIGHTNESS_MAX)
    if worst > PARITY_TOLERANCE:
        raise RunError(
            f"{path.name} differs from the network by {worst:.2g} of full scale, "
            f"at most {PARITY_TOLERANCE:.0e} is allowed"
        )
    return worst


def check_look(network: BlendNetwork) -> float:
    """Compare the compiled look at a picture, which the CPU takes, with the network in torch.

    Returns:
        The largest difference, as a share of the largest value.

    Raises:
        RunError: It is above `PARITY_TOLERANCE`.
    """
    look = Look(network.config, to_parameters(network))
    worst = 0.0
    for count, seed in ((MIN_EXPOSURES, 1), (3, 2), (MAX_EXPOSURES, 3)):
        size = (PARITY_SIDE_PX + seed, PARITY_SIDE_PX - seed)
        planes = np.random.default_rng(seed).random((count, 3, *size), dtype=np.float32)
        with torch.no_grad():
            expected = network.predict(torch.from_numpy(planes).unsqueeze(0))
        found = look.predict(planes)
        ours = (found.coefficients / np.float32(sharpen(count)), found.gains)
        for one, other in zip(ours, expected, strict=True):
            scale = max(1.0, float(other.abs().max()))
            worst = max(worst, float(np.abs(one - other[0].numpy()).max()) / scale)
    if not worst <= PARITY_TOLERANCE:
        raise RunError(
            f"the compiled look differs from the network by {worst:.2g}, "
            f"at most {PARITY_TOLERANCE:.0e} is allowed"
        )
    return worst


def _read_run(run: Path) -> tuple[TrainConfig, dict[str, object]]:
    config = load_config(run / CONFIG_NAME)
    record: dict[str, object] = json.loads((run / RECORD_NAME).read_text(encoding="utf-8"))
    if not record.get("is_complete"):
        raise RunError(
            f"expected a complete run of {config.optim.steps} steps, "
            f"'{run.name}' has {record.get('steps', 0)}"
        )
    return config, record


def _describe_training(
    run: Path, config: TrainConfig, record: dict[str, object], checkpoint: Checkpoint | None
) -> Training:
    sessions, sources = record["sessions"], record["data"]
    steps, best_step = record["steps"], record.get("best_step")
    if (
        not isinstance(sessions, list)
        or not isinstance(sources, list)
        or not isinstance(steps, int)
        or not isinstance(best_step, int | None)
    ):
        raise RunError(f"the record of the run '{run.name}' is damaged")
    has_best = best_step is not None and (run / BEST_NAME).is_file()
    if checkpoint == "best" and not has_best:
        raise RunError(f"expected a run that has validated, '{run.name}' has no {BEST_NAME}")
    chosen: Checkpoint = checkpoint or ("best" if has_best else "last")
    data = [DataSource.model_validate(source) for source in sources]
    started_from = ""
    if config.optim.start_weights:
        directory = Path(config.optim.start_weights)
        earlier = read_manifest(directory)
        # what is begun with for its luma alone may be kept in a folder that is no version's
        started_from = directory.name if config.optim.start == "luma" else earlier.label
        data += [source for source in earlier.training.data if source not in data]
    return Training(
        config=(run / CONFIG_NAME).read_text(encoding="utf-8"),
        commit="; ".join(sorted({str(session["commit"]) for session in sessions})),
        seed=config.seed,
        steps=steps,
        device="; ".join(sorted({str(session["device"]) for session in sessions})),
        data=tuple(data),
        checkpoint=chosen,
        exported_step=best_step if chosen == "best" else steps,
        started_from=started_from,
    )
