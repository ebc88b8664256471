"""The densely connected network of U2Fusion, on CIELAB lightness."""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from model.lightness.definition import LIGHTNESS_MAX
from model.lightness.torch_network import draw_exactly
from trainer.peers.definition import U2FusionConfig
from trainer.peers.peer import PeerNetwork

DENSE_LAYERS = 5
DECODER_WIDTHS = (128, 64, 32)
NEGATIVE_SLOPE = 0.2
KERNEL_PX = 3
INITIAL_DEVIATION = 0.05


class U2FusionNetwork(PeerNetwork):
    """Both exposures side by side through a dense block, and decoded.

    Ten 3x3 convolutions with reflected borders: one of two planes, five that see everything before
    them, four that decode. All have a leaky ReLU but the last, whose tanh brings it to 0..1.

    Args:
        config: Its shape.

    Reference:
        Xu, Ma, Jiang, Guo and Ling, "U2Fusion: A Unified Unsupervised Image Fusion Network", IEEE
        TPAMI 44(1), 2022. Its own losses, information measure and elastic weights belong to its
        training, and are not here.
    """

    grid_px = 1
    window_px = 1280  # convolutions do not mind how large it is, but for memory
    overlap_px = 24
    margin_px = 10

    def __init__(self, config: U2FusionConfig) -> None:
        super().__init__()
        self.config = config
        width = config.width
        widths = (width * (1 + DENSE_LAYERS), *DECODER_WIDTHS, 1)
        self.first = nn.Conv2d(2, width, KERNEL_PX)
        self.dense = nn.ModuleList(
            nn.Conv2d(width * (count + 1), width, KERNEL_PX) for count in range(DENSE_LAYERS)
        )
        self.decoder = nn.ModuleList(
            nn.Conv2d(inputs, outputs, KERNEL_PX) for inputs, outputs in pairwise(widths)
        )
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.trunc_normal_(module.weight, std=INITIAL_DEVIATION)
                assert module.bias is not None
                nn.init.zeros_(module.bias)

    @property
    def receptive_field(self) -> int:
        """Side of the input square that one output pixel depends on, in pixels."""
        layers = [module for module in self.modules() if isinstance(module, nn.Conv2d)]
        return 1 + len(layers) * (KERNEL_PX - 1)

    def forward(self, under_l: Tensor, over_l: Tensor) -> Tensor:
        """See `PeerNetwork.forward`."""
        planes = torch.cat((under_l, over_l), dim=1) / LIGHTNESS_MAX
        features = _activate(_convolve(self.first, planes))
        for layer in self.dense:
            features = torch.cat((_activate(_convolve(layer, features)), features), dim=1)
        *layers, last = self.decoder
        for layer in layers:
            features = _activate(_convolve(layer, features))
        shown = torch.tanh(draw_exactly(last, _reflect(features))) / 2 + 0.5
        return shown * LIGHTNESS_MAX


def _convolve(layer: nn.Module, planes: Tensor) -> Tensor:
    convolved: Tensor = layer(_reflect(planes))
    return convolved


def _reflect(planes: Tensor) -> Tensor:
    return functional.pad(planes, (1, 1, 1, 1), mode="reflect")


def _activate(planes: Tensor) -> Tensor:
    return functional.leaky_relu(planes, NEGATIVE_SLOPE)
