"""The network of TransMEF: convolutions and a transformer encode, convolutions decode."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from model.lightness.definition import LIGHTNESS_MAX
from model.lightness.torch_network import draw_exactly
from trainer.peers.definition import TransMefConfig
from trainer.peers.peer import PeerNetwork


class ConvBlock(nn.Sequential):
    """Two 3x3 convolutions, each with a ReLU; borders are zero."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(
            nn.Conv2d(inputs, outputs, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(outputs, outputs, 3, padding=1),
            nn.ReLU(),
        )


class Attention(nn.Module):
    """Every token looks at every other one, with several heads.

    Reference:
        Vaswani et al., "Attention is all you need", NIPS 2017.
    """

    def __init__(self, config: TransMefConfig) -> None:
        super().__init__()
        self._heads = config.heads
        inner = config.heads * config.head_width
        self.asked = nn.Linear(config.token_width, 3 * inner, bias=False)
        self.joined = nn.Linear(inner, config.token_width)

    def forward(self, tokens: Tensor) -> Tensor:
        """Map tokens, shape (N, count, token width), to what they found, same shape."""
        n, count, _ = tokens.shape
        asked = self.asked(tokens).reshape(n, count, 3, self._heads, -1).permute(2, 0, 3, 1, 4)
        query, key, value = asked.unbind()
        found = functional.scaled_dot_product_attention(query, key, value)
        joined: Tensor = self.joined(found.transpose(1, 2).reshape(n, count, -1))
        return joined


class TransformerBlock(nn.Module):
    """Attention, then two layers on each token; normalised before and added behind each."""

    def __init__(self, config: TransMefConfig) -> None:
        super().__init__()
        width = config.token_width
        self.attention = nn.Sequential(nn.LayerNorm(width), Attention(config))
        self.layers = nn.Sequential(
            nn.LayerNorm(width),
            nn.Linear(width, config.hidden_width),
            nn.GELU(),
            nn.Linear(config.hidden_width, width),
        )

    def forward(self, tokens: Tensor) -> Tensor:
        """Map tokens, shape (N, count, token width), to tokens of the same shape."""
        tokens = tokens + self.attention(tokens)
        added: Tensor = self.layers(tokens)
        return tokens + added


class Transformer(nn.Module):
    """Patches of a plane as tokens through the blocks, and back to a plane.

    Reference:
        Dosovitskiy et al., "An image is worth 16x16 words", ICLR 2021, without a class token and
        without positions: what a patch shows is to decide, not where it lies.
    """

    def __init__(self, config: TransMefConfig) -> None:
        super().__init__()
        self._patch_px = config.patch_px
        self.embedded = nn.Linear(config.patch_px**2, config.token_width)
        self.blocks = nn.Sequential(*(TransformerBlock(config) for _ in range(config.depth)))
        is_square = config.token_width == config.patch_px**2
        self.drawn = (
            nn.Identity() if is_square else nn.Linear(config.token_width, config.patch_px**2)
        )

    def forward(self, plane: Tensor) -> Tensor:
        """Map (N, 1, H, W) to the same shape; sides are multiples of the patch's."""
        side = self._patch_px
        tokens = functional.unfold(plane, side, stride=side).transpose(1, 2)
        tokens = self.drawn(self.blocks(self.embedded(tokens))).transpose(1, 2)
        return functional.fold(tokens, plane.shape[-2:], side, stride=side)


class TransMefNetwork(PeerNetwork):
    """Encode each exposure by convolutions and a transformer, take the mean, decode.

    What the transformer finds stands as one more plane beside the feature maps of the first
    convolutions; two more blocks of convolutions work on both. As the exposures share the encoder,
    the network is symmetric in them.

    Args:
        config: Its shape.

    Reference:
        Qu, Liu, Wang and Song, "TransMEF: A Transformer-Based Multi-Exposure Image Fusion Framework
        Using Self-Supervised Multi-Task Learning", AAAI 2022. Its self-supervised training is not
        here, nor dropout, without which a run that is resumed equals one that was not.
    """

    window_px = 256
    overlap_px = 64
    margin_px = 16

    def __init__(self, config: TransMefConfig) -> None:
        super().__init__()
        self.config = config
        self.grid_px = config.patch_px
        width = config.width
        self.first = ConvBlock(1, width)
        self.transformer = Transformer(config)
        self.encoder = nn.Sequential(
            ConvBlock(width + 1, 2 * width), ConvBlock(2 * width, 3 * width)
        )
        self.decoder = nn.Sequential(ConvBlock(3 * width, 2 * width), ConvBlock(2 * width, width))
        self.last = nn.Conv2d(width, 1, 1)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                # As He et al., ICCV 2015: PyTorch's own start leaves hardly any of the picture
                # behind eleven of them, and the publication names none.
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
                assert module.bias is not None
                nn.init.zeros_(module.bias)

    def forward(self, under_l: Tensor, over_l: Tensor) -> Tensor:
        """See `PeerNetwork.forward`; sides are reflected to the next multiple of a patch."""
        height, width = under_l.shape[-2:]
        planes = torch.cat((under_l, over_l)) / LIGHTNESS_MAX
        patch_px = self.grid_px
        planes = functional.pad(
            planes, (0, -width % patch_px, 0, -height % patch_px), mode="reflect"
        )
        under, over = self._encode(planes).chunk(2)
        fused = draw_exactly(self.last, self.decoder((under + over) / 2))
        return fused[..., :height, :width] * LIGHTNESS_MAX

    def _encode(self, planes: Tensor) -> Tensor:
        features = torch.cat((self.first(planes), self.transformer(planes)), dim=1)
        encoded: Tensor = self.encoder(features)
        return encoded
