"""Released parameters: save, verify and load them; safetensors and a manifest, never a pickle."""

from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from model.errors import WeightsError
from model.manifest import (
    GRAPH_NAME,
    PARAMETERS_NAME,
    VALID_GRAPH_NAME,
    Golden,
    Manifest,
    NetworkConfig,
    read_manifest,
    verify_files,
)
from model.network import LIGHTNESS_MAX, FusionNetwork

GOLDEN_SEED = 1620
GOLDEN_SIDE_PX = 96
GOLDEN_STRIDE_PX = 8
GOLDEN_TOLERANCE = 1e-3 * LIGHTNESS_MAX
"""Float rounding between processors stays far below it, wrong parameters far above."""


@dataclass(frozen=True, slots=True)
class LoadedWeights:
    """Verified weights, ready to run.

    Attributes:
        manifest: Their manifest.
        network: The network with the parameters loaded, in evaluation mode, on the CPU, float32.
        directory: Where they were read from; the graphs lie there.
    """

    manifest: Manifest
    network: FusionNetwork
    directory: Path


def save_parameters(network: FusionNetwork, path: Path) -> None:
    """Write the parameters of a network as float32 safetensors, readable by everyone."""
    state = {
        name: tensor.detach().to("cpu", torch.float32).contiguous()
        for name, tensor in network.state_dict().items()
    }
    save_file(state, path)
    path.chmod(0o644)


def load_weights(directory: Path) -> LoadedWeights:
    """Load a weights version after checking everything that can be checked.

    Args:
        directory: `weights/<name>-<version>`.

    Returns:
        The manifest and the network.

    Raises:
        WeightsError: The manifest is missing or breaks the schema, the directory's name is not
            the manifest's, a hash differs, the parameters do not fit the network config, or the
            network's answer to the golden pair differs.
    """
    manifest = read_manifest(directory)
    if directory.resolve().name != manifest.label:
        raise WeightsError(
            f"expected the weights directory to be named '{manifest.label}' as its manifest says, "
            f"got '{directory.resolve().name}'"
        )
    for required in (PARAMETERS_NAME, GRAPH_NAME, VALID_GRAPH_NAME):
        if required not in manifest.files:
            raise WeightsError(f"weights '{manifest.label}': the manifest names no {required}")
    verify_files(manifest, directory)
    network = load_network(manifest.network, directory / PARAMETERS_NAME, label=manifest.label)
    if network.receptive_field != manifest.receptive_field:
        raise WeightsError(
            f"weights '{manifest.label}': the network's receptive field is "
            f"{network.receptive_field} pixels, the manifest says {manifest.receptive_field}"
        )
    _check_golden(network, manifest)
    return LoadedWeights(manifest, network, directory)


def load_network(config: NetworkConfig, path: Path, *, label: str) -> FusionNetwork:
    """Build a network from its config and fill it from a safetensors file.

    Raises:
        WeightsError: The file is no safetensors file or does not fit the config.
    """
    network = FusionNetwork(config)
    try:
        network.load_state_dict(load_file(path))
    except (SafetensorError, OSError) as cause:
        raise WeightsError(f"weights '{label}': {path.name} is not a safetensors file") from cause
    except RuntimeError as cause:
        raise WeightsError(
            f"weights '{label}': {path.name} does not fit the network config {config!r}"
        ) from cause
    return network.eval().requires_grad_(False)


def golden_pair(seed: int, side_px: int) -> tuple[Tensor, Tensor]:
    """Two L* planes that any machine can make again: waves of a seeded phase, and their ends.

    Args:
        seed: Seed of the phases.
        side_px: Side of the square planes, in pixels.

    Returns:
        Under- and over-exposed L*, 0..100. Shape (1, 1, side_px, side_px), float32.
    """
    phases = torch.rand(4, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    axis = torch.arange(side_px, dtype=torch.float64)
    rows, columns = torch.meshgrid(axis, axis, indexing="ij")
    scene = 0.5 + 0.25 * torch.sin(rows / 5 + 6.28 * phases[0]) * torch.cos(
        columns / 7 + 6.28 * phases[1]
    )
    scene = scene + 0.25 * torch.sin((rows + columns) / 23 + 6.28 * phases[2])
    under = (LIGHTNESS_MAX * (0.6 * scene - 0.1)).clamp(0, LIGHTNESS_MAX)
    over = (LIGHTNESS_MAX * (1.3 * scene + 0.2)).clamp(0, LIGHTNESS_MAX)
    return under[None, None].float(), over[None, None].float()


def compute_golden(network: FusionNetwork) -> Golden:
    """The network's answer to the golden pair, as the manifest keeps it."""
    with torch.no_grad():
        fused = network(*golden_pair(GOLDEN_SEED, GOLDEN_SIDE_PX))[0, 0]
    samples = fused.diagonal()[::GOLDEN_STRIDE_PX]
    return Golden(
        seed=GOLDEN_SEED,
        side_px=GOLDEN_SIDE_PX,
        mean=round(float(fused.mean()), 4),
        samples=tuple(round(float(value), 4) for value in samples),
    )


def _check_golden(network: FusionNetwork, manifest: Manifest) -> None:
    expected, actual = manifest.golden, compute_golden(network)
    pairs = zip((expected.mean, *expected.samples), (actual.mean, *actual.samples), strict=False)
    worst = max(abs(one - other) for one, other in pairs)
    if len(expected.samples) != len(actual.samples) or worst > GOLDEN_TOLERANCE:
        raise WeightsError(
            f"weights '{manifest.label}': the golden pair's fused lightness is off by "
            f"{worst:.3g}, at most {GOLDEN_TOLERANCE:.3g} is allowed"
        )
