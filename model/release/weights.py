"""Saves, verifies and loads released parameters: safetensors and a manifest, never a pickle."""

from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from model.blend.colour import to_luma
from model.blend.network import BlendNetwork
from model.errors import WeightsError
from model.lightness.network import LIGHTNESS_MAX
from model.manifest import (
    GRAPH_NAME,
    PARAMETERS_NAME,
    VALID_GRAPH_NAME,
    AnyNetworkConfig,
    Architecture,
    Golden,
    Manifest,
    read_manifest,
    verify_file,
    verify_label,
)
from model.release.architectures import AnyNetwork, build_network

REQUIRED_FILES: dict[Architecture, tuple[str, ...]] = {
    "hyperp-mb": (PARAMETERS_NAME, GRAPH_NAME, VALID_GRAPH_NAME),
    "pyramid-blend": (PARAMETERS_NAME,),
}
"""The files that a version must have; the CPU runs `hyperp-mb` from its graphs."""

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
        directory: Where they were read from; graphs, where there are any, lie there.
    """

    manifest: Manifest
    network: AnyNetwork
    directory: Path


def save_parameters(network: AnyNetwork, path: Path) -> None:
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
    verify_label(manifest, directory)
    for name in files_to_verify(manifest):
        verify_file(manifest, directory, name)
    network = restore_network(manifest, directory)
    verify_golden(manifest, run_golden(network, manifest.golden), by="the network")
    return LoadedWeights(manifest, network, directory)


def files_to_verify(manifest: Manifest) -> list[str]:
    """The files that a version must have, then the others that its manifest names."""
    required = REQUIRED_FILES[manifest.network.architecture]
    return [*required, *sorted(manifest.files.keys() - set(required))]


def restore_network(manifest: Manifest, directory: Path) -> AnyNetwork:
    """The network of a version, filled with its parameters.

    Raises:
        WeightsError: The parameters do not fit the network config, or the network's receptive
            field is not the manifest's.
    """
    network = load_network(manifest.network, directory / PARAMETERS_NAME, label=manifest.label)
    if network.receptive_field != manifest.receptive_field:
        raise WeightsError(
            f"weights '{manifest.label}': the network's receptive field is "
            f"{_name_field(network.receptive_field)}, "
            f"the manifest says {_name_field(manifest.receptive_field)}"
        )
    return network


def _name_field(receptive_field: int | None) -> str:
    return "the whole picture" if receptive_field is None else f"{receptive_field} pixels"


def load_network(config: AnyNetworkConfig, path: Path, *, label: str) -> AnyNetwork:
    """Build a network from its config and fill it from a safetensors file.

    Raises:
        WeightsError: The file is no safetensors file or does not fit the config.
    """
    network = build_network(config)
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


def compute_golden(
    network: AnyNetwork, *, seed: int = GOLDEN_SEED, side_px: int = GOLDEN_SIDE_PX
) -> Golden:
    """The network's answer to a golden pair, as the manifest keeps it."""
    fused = answer_golden(network, seed=seed, side_px=side_px)
    return Golden(
        seed=seed,
        side_px=side_px,
        mean=round(float(fused.mean()), 4),
        samples=tuple(round(value, 4) for value in _sample(fused)),
    )


def run_golden(network: AnyNetwork, golden: Golden) -> Tensor:
    """The network's answer to the golden pair that a manifest names. Shape (1, 1, H, W)."""
    return answer_golden(network, seed=golden.seed, side_px=golden.side_px)


def answer_golden(network: AnyNetwork, *, seed: int, side_px: int) -> Tensor:
    """The network's answer to a golden pair.

    A network that fuses RGB is given the planes as grey pictures, and answers with its luma.

    Returns:
        About 0..100. Shape (1, 1, side_px, side_px).
    """
    planes = golden_pair(seed, side_px)
    with torch.no_grad():
        if isinstance(network, BlendNetwork):
            under, over = (plane.expand(-1, 3, -1, -1) / LIGHTNESS_MAX for plane in planes)
            return to_luma(network(under, over)).unsqueeze(1) * LIGHTNESS_MAX
        fused: Tensor = network(*planes)
    return fused


def verify_golden(manifest: Manifest, fused: Tensor, *, by: str, margin_px: int = 0) -> None:
    """Compare an answer to the golden pair with the manifest's.

    Args:
        manifest: Manifest of the version.
        fused: Fused lightness of its golden pair. Shape (1, 1, H, W).
        by: What computed it, for the message.
        margin_px: Pixels that the answer lacks on each side; the mean is then not compared.

    Raises:
        WeightsError: A sample or the mean is off by more than `GOLDEN_TOLERANCE`, or their number
            differs.
    """
    golden = manifest.golden
    first = -(-margin_px // GOLDEN_STRIDE_PX)
    last = (golden.side_px - margin_px - 1) // GOLDEN_STRIDE_PX
    expected = list(golden.samples[first : last + 1])
    actual = _sample(fused, start_px=first * GOLDEN_STRIDE_PX - margin_px)
    if margin_px == 0:
        expected.append(golden.mean)
        actual.append(float(fused.mean()))
    if len(expected) != len(actual):
        raise WeightsError(
            f"weights '{manifest.label}': expected {len(actual)} values of the golden pair "
            f"in the manifest, got {len(expected)}"
        )
    off = [abs(one - other) for one, other in zip(expected, actual, strict=True)]
    # Not `max(off) > GOLDEN_TOLERANCE`: that would let a value through that is not a number.
    if not all(one <= GOLDEN_TOLERANCE for one in off):
        raise WeightsError(
            f"weights '{manifest.label}': the golden pair's fused lightness by {by} is off by "
            f"{max(off):.3g}, at most {GOLDEN_TOLERANCE:.3g} is allowed"
        )


def _sample(fused: Tensor, *, start_px: int = 0) -> list[float]:
    samples: list[float] = fused[0, 0].diagonal()[start_px::GOLDEN_STRIDE_PX].tolist()
    return samples
