"""Loads and verifies released parameters: safetensors and a manifest, never a pickle.

What it needs, a processor has; `model.release.torch_networks` makes networks of torch of them.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file

from model.blend.cpu_engine import CpuEngine
from model.blend.definition import parameter_shapes as blend_shapes
from model.errors import WeightsError
from model.lightness.definition import LIGHTNESS_MAX, RECEPTIVE_FIELD
from model.lightness.definition import parameter_shapes as lightness_shapes
from model.manifest import (
    GRAPH_NAME,
    PARAMETERS_NAME,
    AnyNetworkConfig,
    Golden,
    Manifest,
    Parameters,
    PyramidBlendConfig,
    verify_files,
)

GOLDEN_SEED = 1620
GOLDEN_SIDE_PX = 96
GOLDEN_STRIDE_PX = 8
GOLDEN_TOLERANCE = 1e-3 * LIGHTNESS_MAX
"""Float rounding between processors stays far below it, wrong parameters far above."""

LightnessPlane = NDArray[np.float32]
"""L* of a picture, 0..100. Shape (H, W)."""


@dataclass(frozen=True, slots=True)
class LoadedWeights:
    """Verified weights, ready to run.

    Attributes:
        manifest: Their manifest.
        parameters: The parameters, float32; they fit the manifest's network config.
        directory: Where they were read from; graphs, where there are any, lie there.
    """

    manifest: Manifest
    parameters: Parameters
    directory: Path


def load_weights(directory: Path) -> LoadedWeights:
    """Load a weights version after checking everything that can be checked.

    Args:
        directory: `weights/<name>-<version>`.

    Returns:
        The manifest and the parameters.

    Raises:
        WeightsError: The manifest is missing or breaks the schema, the directory's name is not
            the manifest's, a hash differs, the parameters do not fit the network config, or the
            answer to the golden pair differs as the CPU computes it.
    """
    manifest = verify_files(directory)
    weights = LoadedWeights(manifest, restore_parameters(manifest, directory), directory)
    verify_golden(manifest, run_golden(weights), by=golden_name(manifest))
    return weights


def restore_parameters(manifest: Manifest, directory: Path) -> Parameters:
    """The parameters of a version.

    Raises:
        WeightsError: They do not fit the network config, or the receptive field that this has is
            not the manifest's.
    """
    parameters = load_parameters(
        manifest.network, directory / PARAMETERS_NAME, label=manifest.label
    )
    field = None if isinstance(manifest.network, PyramidBlendConfig) else RECEPTIVE_FIELD
    if field != manifest.receptive_field:
        raise WeightsError(
            f"weights '{manifest.label}': the network's receptive field is "
            f"{_name_field(field)}, the manifest says {_name_field(manifest.receptive_field)}"
        )
    return parameters


def _name_field(receptive_field: int | None) -> str:
    return "the whole picture" if receptive_field is None else f"{receptive_field} pixels"


def load_parameters(config: AnyNetworkConfig, path: Path, *, label: str) -> Parameters:
    """Read the parameters of a network of some config.

    Raises:
        WeightsError: The file is no safetensors file or does not fit the config.
    """
    try:
        parameters = load_file(path)
    except (SafetensorError, OSError) as cause:
        raise WeightsError(f"weights '{label}': {path.name} is not a safetensors file") from cause
    if isinstance(config, PyramidBlendConfig):
        expected = blend_shapes(config)
    else:
        expected = lightness_shapes(config)
    actual = {name: array.shape for name, array in parameters.items()}
    if actual != expected or any(array.dtype != np.float32 for array in parameters.values()):
        raise WeightsError(
            f"weights '{label}': {path.name} does not fit the network config {config!r}"
        )
    return parameters


def golden_pair(seed: int, side_px: int) -> tuple[LightnessPlane, LightnessPlane]:
    """Two L* planes that any machine can make again: waves of a seeded phase, and their ends.

    Args:
        seed: Seed of the phases.
        side_px: Side of the square planes, in pixels.

    Returns:
        Under- and over-exposed L*, 0..100. Shape (side_px, side_px), float32.
    """
    phases = _random_phases(seed)
    rows, columns = np.meshgrid(*2 * [np.arange(side_px, dtype=np.float64)], indexing="ij")
    scene = 0.5 + 0.25 * np.sin(rows / 5 + 6.28 * phases[0]) * np.cos(
        columns / 7 + 6.28 * phases[1]
    )
    scene += 0.25 * np.sin((rows + columns) / 23 + 6.28 * phases[2])
    under = (LIGHTNESS_MAX * (0.6 * scene - 0.1)).clip(0, LIGHTNESS_MAX)
    over = (LIGHTNESS_MAX * (1.3 * scene + 0.2)).clip(0, LIGHTNESS_MAX)
    return under.astype(np.float32), over.astype(np.float32)


def _random_phases(seed: int) -> NDArray[np.float64]:
    """Three numbers of 0..1, as `torch.rand` draws them in float64 after `manual_seed`.

    The goldens of released versions are of these. Both take the Mersenne Twister as Matsumoto and
    Nishimura seed it, and 53 bits of two of its words.
    """
    twister = np.random.MT19937()
    twister._legacy_seeding(seed & 0xFFFFFFFF)
    words = twister.random_raw(6).astype(np.uint64).reshape(3, 2)
    bits = (words[:, 0] << np.uint64(32)) | words[:, 1]
    return (bits & np.uint64(2**53 - 1)).astype(np.float64) / 2**53


def describe_golden(
    fused: LightnessPlane, *, seed: int = GOLDEN_SEED, side_px: int = GOLDEN_SIDE_PX
) -> Golden:
    """An answer to a golden pair as the manifest keeps it."""
    return Golden(
        seed=seed,
        side_px=side_px,
        mean=round(float(fused.mean()), 4),
        samples=tuple(round(value, 4) for value in _sample(fused)),
    )


def golden_name(manifest: Manifest) -> str:
    """What answers the golden pair on the CPU, in words."""
    return "the network" if isinstance(manifest.network, PyramidBlendConfig) else GRAPH_NAME


def run_golden(weights: LoadedWeights) -> LightnessPlane:
    """The CPU's answer to the golden pair that the manifest names.

    A network that fuses RGB is given the planes as grey pictures, and answers with its luma.

    Returns:
        About 0..100. Shape (side_px, side_px).

    Raises:
        WeightsError: The graph does not run.
    """
    golden, config = weights.manifest.golden, weights.manifest.network
    pair = golden_pair(golden.seed, golden.side_px)
    if not isinstance(config, PyramidBlendConfig):
        from model.release.graphs import run_graph  # loads ONNX Runtime

        return run_graph(weights.directory / GRAPH_NAME, *pair, label=weights.manifest.label)
    engine = CpuEngine(config, weights.parameters, threads=1)
    scale = np.float32(LIGHTNESS_MAX)
    grey = np.stack([np.repeat(plane[None] / scale, 3, axis=0) for plane in pair])
    return engine.fuse_lumas(grey) * scale


def verify_golden(
    manifest: Manifest, fused: LightnessPlane, *, by: str, margin_px: int = 0
) -> None:
    """Compare an answer to the golden pair with the manifest's.

    Args:
        manifest: Manifest of the version.
        fused: Fused lightness of its golden pair. Shape (H, W).
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


def _sample(fused: LightnessPlane, *, start_px: int = 0) -> list[float]:
    samples: list[float] = fused.diagonal()[start_px::GOLDEN_STRIDE_PX].tolist()
    return samples
