"""Initial parameters of a network before its first step."""

import torch
from torch import Tensor

from model.blend.torch_network import BlendNetwork
from model.lightness.torch_network import ConvLayer, FusionNetwork
from trainer.errors import ConfigError
from trainer.peers.networks import TrainedNetwork

WIDENED = ("encoder.first.weight", "coefficients.weight")
"""Layers of `pyramid-blend` 2 that look at what is clipped after all that version 1 saw."""

REMAINDER = 0.1
"""Factor on the last layer's random weights, so that averaging dominates the start."""


@torch.no_grad()
def start_as_average(network: FusionNetwork) -> None:
    """Rewrite a freshly made network so that it begins as about the mean of its exposures.

    The first feature map of every layer on the way carries the plane through unchanged, and the
    last layer takes half the sum of both. All other maps keep their random weights. A network
    that must first learn to redraw the picture through eight convolutions spends thousands of
    steps on sharpness that this one has from the start.

    Args:
        network: A network with random parameters; changed in place.

    Reference:
        Ours. The identity kernels are those of Zagoruyko and Komodakis, "DiracNets", 2017.
    """
    for encoder in network.encoders:
        _carry_first(encoder.get_submodule("first"))
    *layers, last = network.decoder
    for layer in layers:
        _carry_first(layer)
    if not isinstance(last, ConvLayer):
        raise TypeError(f"expected a ConvLayer as the last layer, got {type(last).__name__}")
    last.convolution.weight.mul_(REMAINDER)
    last.convolution.weight[0, 0] = 0
    last.convolution.weight[0, 0, 1, 1] = 0.5 if network.config.feature_fusion == "sum" else 1.0


@torch.no_grad()
def start_as_luma_of(network: BlendNetwork, parameters: dict[str, Tensor]) -> None:
    """Begin with what another `pyramid-blend` knows of luma; what it knows of colour is left out.

    Version 1 blended R, G and B by weights that it chose by their lumas alone, so its lumas are
    those of these parameters. What it was not told, which channels are clipped, counts as nothing
    at first.

    Args:
        network: A network with random parameters; changed in place.
        parameters: Of the other network, by name.

    Raises:
        ConfigError: They are not those of a `pyramid-blend` of the same width.
    """
    own = network.state_dict()
    if (
        own.keys() - parameters.keys()
        or parameters["context.bias"].shape != own["context.bias"].shape
    ):
        raise ConfigError("expected the parameters of a pyramid-blend of the same width")
    for name, tensor in parameters.items():
        if name in WIDENED:
            own[name].zero_()
            own[name][:, : tensor.shape[1]] = tensor
        elif name in own:
            own[name].copy_(tensor)


def zero_parameters(network: TrainedNetwork, beginning: str) -> None:
    """Set parameters to zero for good: what they decide is left out.

    Args:
        network: A network; changed in place.
        beginning: Beginning of the parameters' names.

    Raises:
        ConfigError: No parameter is named so.
    """
    named = dict(network.named_parameters())
    chosen = [parameter for name, parameter in named.items() if name.startswith(beginning)]
    if not chosen:
        raise ConfigError(
            f"expected parameters that begin with '{beginning}' (optim.zeroed), "
            f"found {', '.join(named)}"
        )
    for parameter in chosen:
        parameter.detach().zero_()
        parameter.requires_grad_(False)


def _carry_first(layer: torch.nn.Module) -> None:
    if not isinstance(layer, ConvLayer) or layer.convolution.bias is None:
        raise TypeError(f"expected a ConvLayer with a bias, got {type(layer).__name__}")
    layer.convolution.weight[0] = 0
    layer.convolution.weight[0, 0, 1, 1] = 1
    layer.convolution.bias[0] = 0
