"""Defines the fusion network of Im et al. 2023 on CIELAB lightness, after DenseFuse, in torch."""

from typing import Literal

import torch
from torch import Tensor, cat, nn
from torch.nn import functional

from model.lightness.definition import DENSE_LAYERS, KERNEL_PX, LIGHTNESS_MAX, Padding
from model.manifest import NetworkConfig


class ConvLayer(nn.Module):
    """A 3x3 convolution with padding of one pixel or none, and an activation."""

    def __init__(self, inputs: int, outputs: int, *, activation: Literal["relu", "none"]) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(inputs, outputs, KERNEL_PX)
        self.activation = activation

    def forward(self, x: Tensor, margin: Literal["reflect", "zero", "none"]) -> Tensor:
        """Map (N, C, H, W) to (N, outputs, H, W); with margin `none` each side loses a pixel."""
        if margin == "reflect":
            x = functional.pad(x, (1, 1, 1, 1), mode="reflect")
        padding = 1 if margin == "zero" else 0
        x = functional.conv2d(x, self.convolution.weight, self.convolution.bias, padding=padding)
        return functional.relu(x) if self.activation == "relu" else x


class Encoder(nn.Module):
    """C1 and the DenseBlock: one lightness plane to four times `width` feature maps."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = ConvLayer(1, width, activation="relu")
        self.dense = nn.ModuleList(
            ConvLayer(width * (count + 1), width, activation="relu")
            for count in range(DENSE_LAYERS)
        )

    def forward(self, plane: Tensor, padding: Padding) -> Tensor:
        """Map (N, 1, H, W) to (N, 4 * width, H, W).

        With padding `valid` C1 loses a pixel on each side, and the dense layers, whose results
        are joined and so must keep their size, spoil one each.
        """
        features: Tensor = self.first(plane, "reflect" if padding == "reflect" else "none")
        for layer in self.dense:
            added = layer(features, "reflect" if padding == "reflect" else "zero")
            features = cat([features, added], dim=1)
        return features


class FusionNetwork(nn.Module):
    r"""Fuse the lightness of two exposures.

    Each exposure passes an encoder (C1, then a DenseBlock of three layers), the two sets of
    feature maps are added, and four convolutions decode them:

    .. math::
        F = D(E_1(L_{under}) + E_2(L_{over}))

    With `padding="reflect"` every layer reflects its own input at the border. That is the network
    as it was trained. With `padding="valid"` the result is smaller by the halo on each side and
    equals the interior of the padded result. There the dense layers pad with zeros, which
    convolutions do for free, and one crop at the end takes away the pixels that this spoils: a
    crop in every dense layer would throw ONNX Runtime out of its blocked layout.

    Args:
        config: Shape and arithmetic of the network.

    Reference:
        Im, Son, Kwon, Lee, "Multi-Task Learning Approach Using Dynamic Hyperparameter for
        Multi-Exposure Fusion", Mathematics 2023, 11, 1620, Fig. 3 and 9; Li and Wu,
        "DenseFuse", IEEE TIP 28(5), 2019.
    """

    size_multiple = 1

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config
        width = config.width
        self.encoders = nn.ModuleList(
            Encoder(width) for _ in range(1 if config.encoders == "tied" else 2)
        )
        self.decoder = nn.ModuleList(
            [
                ConvLayer(4 * width, 4 * width, activation="relu"),
                ConvLayer(4 * width, 2 * width, activation="relu"),
                ConvLayer(2 * width, width, activation="relu"),
                ConvLayer(width, 1, activation=config.final_activation),
            ]
        )

    @property
    def receptive_field(self) -> int:
        """Side of the input square that one output pixel depends on, in pixels."""
        layers = [module for module in self.encoders[0].modules() if isinstance(module, nn.Conv2d)]
        layers += [module for module in self.decoder.modules() if isinstance(module, nn.Conv2d)]
        return 1 + sum(layer.kernel_size[0] - 1 for layer in layers)

    @property
    def halo(self) -> int:
        """Margin that a window reads around its core, in pixels."""
        return (self.receptive_field - 1) // 2

    def forward(self, under_l: Tensor, over_l: Tensor, padding: Padding = "reflect") -> Tensor:
        """Fuse two lightness planes.

        Under autocast the features are in reduced precision, the last layer in float32.

        Args:
            under_l: L* of the under exposure, 0..100. Shape (N, 1, H, W).
            over_l: L* of the over exposure, same shape, dtype and device.
            padding: `reflect` keeps the size; `valid` loses the halo on each side.

        Returns:
            Fused L*, about 0..100 (not clamped). Shape (N, 1, H, W), or without padding
            (N, 1, H - 2 halo, W - 2 halo).

        Raises:
            ValueError: The planes are not two equal (N, 1, H, W) tensors.
        """
        if under_l.shape != over_l.shape or under_l.dim() != 4 or under_l.shape[1] != 1:
            raise ValueError(
                "expected two equal (N, 1, H, W) planes, "
                f"got {tuple(under_l.shape)} and {tuple(over_l.shape)}"
            )
        scale = self.config.lightness_scale / LIGHTNESS_MAX
        # encode both exposures, and add their features
        features = self.encoders[0](under_l * scale, padding) + self.encoders[-1](
            over_l * scale, padding
        )
        if self.config.feature_fusion == "mean":
            features = features / 2
        # decode
        margin = "reflect" if padding == "reflect" else "none"
        *layers, last = self.decoder
        for layer in layers:
            features = layer(features, margin)
        features = draw_exactly(last, features, margin)
        if padding == "valid":
            features = features[..., DENSE_LAYERS:-DENSE_LAYERS, DENSE_LAYERS:-DENSE_LAYERS]
        fused: Tensor = features / scale
        return fused


def draw_exactly(last: nn.Module, features: Tensor, *more: object) -> Tensor:
    """What a last layer makes of feature maps, under autocast in float32.

    Reduced precision has 8 to 11 significant bits: enough for features, not for the picture.

    Args:
        last: The layer.
        features: What it is given.
        more: What else it takes.
    """
    kind = features.device.type
    if not torch.is_autocast_enabled(kind):
        drawn: Tensor = last(features, *more)
        return drawn
    with torch.autocast(kind, enabled=False):
        drawn = last(features.float(), *more)
    return drawn
