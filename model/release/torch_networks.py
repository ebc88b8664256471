"""Builds the network that a config describes in torch, of either architecture; fills, saves it."""

from pathlib import Path
from typing import overload

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn

from model.blend.torch_colour import to_luma
from model.blend.torch_network import BlendNetwork
from model.lightness.definition import LIGHTNESS_MAX
from model.lightness.torch_network import FusionNetwork
from model.manifest import (
    AnyNetworkConfig,
    Golden,
    NetworkConfig,
    Parameters,
    PyramidBlendConfig,
)
from model.release.weights import (
    GOLDEN_SEED,
    GOLDEN_SIDE_PX,
    LightnessPlane,
    LoadedWeights,
    describe_golden,
    golden_pair,
    load_parameters,
)

AnyNetwork = FusionNetwork | BlendNetwork
"""A network of either architecture."""


@overload
def build_network(config: NetworkConfig) -> FusionNetwork: ...
@overload
def build_network(config: PyramidBlendConfig) -> BlendNetwork: ...
def build_network(config: AnyNetworkConfig) -> AnyNetwork:
    """Build a network from its config, its parameters as initialised.

    Example:
        >>> type(build_network(PyramidBlendConfig())).__name__
        'BlendNetwork'
    """
    if isinstance(config, PyramidBlendConfig):
        return BlendNetwork(config)
    return FusionNetwork(config)


def save_parameters(network: nn.Module, path: Path) -> None:
    """Write the parameters of a network as float32 safetensors, readable by everyone."""
    state = {
        name: tensor.detach().to("cpu", torch.float32).contiguous()
        for name, tensor in network.state_dict().items()
    }
    save_file(state, path)
    path.chmod(0o644)


def to_parameters(network: AnyNetwork) -> Parameters:
    """The parameters of a network as arrays of their own."""
    return {
        name: tensor.detach().to("cpu", torch.float32).numpy().copy()
        for name, tensor in network.state_dict().items()
    }


def fill_network(config: AnyNetworkConfig, parameters: Parameters) -> AnyNetwork:
    """The network of a config with these parameters, in evaluation mode, on the CPU, float32."""
    network = build_network(config)
    state = {name: torch.from_numpy(np.array(array)) for name, array in parameters.items()}
    network.load_state_dict(state)
    return network.eval().requires_grad_(False)


def load_network(config: AnyNetworkConfig, path: Path, *, label: str) -> AnyNetwork:
    """Build a network from its config and fill it from a safetensors file.

    Raises:
        WeightsError: The file is no safetensors file or does not fit the config.
    """
    return fill_network(config, load_parameters(config, path, label=label))


def build_loaded(weights: LoadedWeights) -> AnyNetwork:
    """The network of loaded weights, see `fill_network`."""
    return fill_network(weights.manifest.network, weights.parameters)


def compute_golden(
    network: AnyNetwork, *, seed: int = GOLDEN_SEED, side_px: int = GOLDEN_SIDE_PX
) -> Golden:
    """The network's answer to a golden pair, as the manifest keeps it."""
    fused = answer_golden(network, seed=seed, side_px=side_px)
    return describe_golden(fused, seed=seed, side_px=side_px)


def answer_golden(network: AnyNetwork, *, seed: int, side_px: int) -> LightnessPlane:
    """The network's answer to a golden pair.

    A network that fuses RGB is given the planes as grey pictures, and answers with its luma.

    Returns:
        About 0..100. Shape (side_px, side_px).
    """
    planes = [torch.from_numpy(plane)[None, None] for plane in golden_pair(seed, side_px)]
    with torch.no_grad():
        if isinstance(network, BlendNetwork):
            under, over = (plane.expand(-1, 3, -1, -1) / LIGHTNESS_MAX for plane in planes)
            fused = to_luma(network(under, over)) * LIGHTNESS_MAX
        else:
            fused = network(*planes)[:, 0]
    plane: LightnessPlane = fused[0].numpy()
    return plane
