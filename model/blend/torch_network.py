"""Defines `pyramid-blend` in torch: predicts weights at low resolution, blends exposures."""

from collections.abc import Sequence
from functools import reduce
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from model.blend.definition import (
    CLIPPED_PLANES,
    COEFFICIENT_SCALES,
    FLOOR_SHARE,
    MAX_EXPOSURES,
    MIN_EXPOSURES,
    NEAR_BLACK,
    NEAR_WHITE,
    PRIOR,
    SALIENCY_FLOOR,
    SALIENCY_GROUPS,
    SALIENCY_SCALE,
    SEEN_PLANES,
    SPREAD,
    TERMS,
    sharpen,
)
from model.blend.levels import BANDS, GROUPS, MAX_REDUCTION, Levels, plan_levels
from model.blend.torch_colour import mix_colour, to_luma
from model.blend.torch_pyramid import down, magnify, repeat_halving, smooth, up
from model.manifest import PyramidBlendConfig
from model.tiling import Rect

OUTER_SLOPE = 0.1


class BlendMaps(NamedTuple):
    """What the network says of a picture, at its own level.

    Attributes:
        coefficients: Polynomials of the logit, scaled and with the prior inside.
            Shape (N, K, GROUPS, TERMS, h, w).
        gains: Logarithms of the bands' gains. Shape (N, BANDS, h, w).
    """

    coefficients: Tensor
    gains: Tensor


class BlendEncoder(nn.Module):
    """Features of one exposure beside the mean of all: residual layers of growing dilation."""

    def __init__(self, width: int, dilations: Sequence[int]) -> None:
        super().__init__()
        self.first = nn.Conv2d(SEEN_PLANES, width, 3)
        self.dilations = tuple(dilations)
        self.layers = nn.ModuleList(nn.Conv2d(width, width, 3, dilation=one) for one in dilations)

    def forward(self, planes: Tensor) -> Tensor:
        """Map (N, SEEN_PLANES, h, w), -1..1, to (N, width, h, w)."""
        features = functional.relu(self.first(_extend(planes, 1)))
        for layer, reach in zip(self.layers, self.dilations, strict=True):
            features = features + functional.relu(layer(_extend(features, reach)))
        return features


class BlendNetwork(nn.Module):
    r"""Blend two to nine exposures in a Laplacian pyramid by predicted weights.

    The picture is carried over and not redrawn. With :math:`X_{k,l}` level l of the luma of
    exposure k and :math:`B_{k,l} = X_{k,l} - up(X_{k,l+1})` its bands,

    .. math::
        F_L = \sum_k w_{k,L} X_{k,L}, \qquad
        F_l = \left[ up(F_{l+1}) + \gamma_l \sum_k w_{k,l} B_{k,l} \right], \qquad
        w_{\cdot,l} = softmax_k z_{k,l}

    .. math::
        z_{k,l} = \sqrt{K / 2} \,
            (c_0 + c_1 x_k + c_2 x_k^2 + c_3 x_k m + 8 s \log(S|B_{k,l}| + 0.06))

    with K exposures, :math:`x_k = X_{k,l} - 1/2`, m its mean over them, S the binomial, and the
    last term at the finest two groups of levels only. The brackets keep each level within the
    span of its exposures. The coefficients c and the gain :math:`\gamma` are maps that a small
    network computes from the exposures at the level where the picture's longer side has at most
    `network_side_px` pixels; one global vector keeps the order of tones. They are bilinear between
    its pixels below that level and averaged above it. Gains go to 1 as the exposures become equal,
    which come back as they are. Colour is mixed apart, see `mix_colour`.

    As initialised all coefficients but the prior's are zero: weights are well-exposedness.
    Exposures may come in any order.

    Args:
        config: Shape and arithmetic of the network.

    Reference:
        Burt and Adelson, "The Laplacian pyramid as a compact image code", IEEE Trans. Commun.
        1983; Mertens, Kautz, Van Reeth, "Exposure fusion", Pacific Graphics 2007: the blend and
        the prior. Ours: weights per level from that level's own pixels, and not the pyramid of
        one weight map; luma alone in the pyramid; the bounds. Gharbi et al., "Deep bilateral
        learning for real-time image enhancement", ACM TOG 2017: coefficients at low resolution,
        applied at full. Yu and Koltun, "Multi-scale context aggregation by dilated convolutions",
        ICLR 2016.
    """

    receptive_field: int | None = None
    size_multiple = 2**MAX_REDUCTION

    def __init__(self, config: PyramidBlendConfig) -> None:
        super().__init__()
        self.config = config
        width = config.width
        self.encoder = BlendEncoder(width, config.dilations)
        self.context = nn.Linear(2 * width, width)
        self.mix = nn.Conv2d(2 * width, width, 1)
        self.coefficients = nn.Conv2d(width + CLIPPED_PLANES, GROUPS * TERMS, 1)
        self.gains = nn.Conv2d(width, BANDS, 1)
        for head in (self.coefficients, self.gains):
            for parameter in head.parameters():
                nn.init.zeros_(parameter)
        self.prior = nn.Parameter(torch.tensor(PRIOR))
        self.band_gain = nn.Parameter(torch.zeros(BANDS))
        if config.saliency:
            self.saliency = nn.Parameter(torch.zeros(SALIENCY_GROUPS))
        # A unit of output means a scale in the logit; the prior is a part of the square's. They are
        # where the parameters are: nothing is copied to a device while it computes.
        scales, is_square = COEFFICIENT_SCALES * GROUPS, (0.0, 0.0, 1.0, 0.0) * GROUPS
        self.register_buffer("scales", torch.tensor(scales), persistent=False)
        self.register_buffer("is_square", torch.tensor(is_square), persistent=False)

    def forward(self, *exposures: Tensor) -> Tensor:
        """Fuse whole pictures, see `fuse`."""
        return self.fuse(exposures)

    def fuse(self, exposures: Sequence[Tensor]) -> Tensor:
        """Fuse whole pictures.

        Args:
            exposures: Encoded sRGB of two to nine exposures, 0..1. Shape (N, 3, H, W) each.

        Returns:
            Encoded sRGB, 0..1. Shape (N, 3, H, W).

        Raises:
            ValueError: Their number is out of range, or they are not equal (N, 3, H, W) tensors.
        """
        planes = stack_exposures(exposures)
        levels = plan_levels(*planes.shape[-2:], network_side_px=self.config.network_side_px)
        seen = build_pyramid(planes, levels.network)[-1]
        pyramid = build_pyramid(to_luma(planes), levels.base)
        luma = self.blend(pyramid, self.predict(seen), levels, finest=0)
        return mix_colour(planes, luma)

    def predict(self, planes: Tensor) -> BlendMaps:
        """Look at the picture once.

        Args:
            planes: Exposures at the network's level. Shape (N, K, 3, h, w).

        Returns:
            Coefficients and gains at that level.
        """
        exposures = range(planes.shape[1])
        return self.decide([self.encode(planes, one) for one in exposures], planes)

    def encode(self, planes: Tensor, exposure: int) -> Tensor:
        """Features of one exposure, (N, width, h, w), beside all of them, (N, K, 3, h, w)."""
        luma = to_luma(planes)
        both = torch.stack((luma[:, exposure], luma.mean(1)), dim=1)
        clipped = find_clipped(planes[:, exposure])
        features: Tensor = self.encoder(torch.cat((both, clipped), dim=1) * 2 - 1)
        return features

    def decide(self, features: Sequence[Tensor], planes: Tensor) -> BlendMaps:
        """Coefficients and gains.

        Args:
            features: Of every exposure. Shape (N, width, h, w) each.
            planes: The exposures. Shape (N, K, 3, h, w).

        Returns:
            Both at the level of the planes.
        """
        # what all exposures share, in any order: mean and maximum, and one global vector
        mean = sum(features[1:], features[0]) / len(features)
        largest = reduce(torch.maximum, features)
        pooled = torch.cat((mean, largest), dim=1)
        context = self.context(pooled.mean((2, 3)))[:, :, None, None]
        # The mix of [e_k, mean], without putting the mean beside each e_k.
        own, shared = self.mix.weight.chunk(2, dim=1)
        shared_part = functional.conv2d(mean, shared, self.mix.bias) + context
        head, scales = self.coefficients, self.get_buffer("scales")
        weight = head.weight * scales[:, None, None, None]
        bias = head.get_parameter("bias") * scales - self.get_buffer("is_square") * self.prior
        coefficients = []
        for one, exposure in zip(features, planes.unbind(1), strict=True):
            mixed = functional.relu(functional.conv2d(one, own) + shared_part)
            known = torch.cat((mixed, find_clipped(exposure)), dim=1)
            coefficients.append(functional.conv2d(known, weight, bias))
        stacked = torch.stack(coefficients, dim=1)
        grouped = stacked.reshape(*stacked.shape[:2], GROUPS, TERMS, *stacked.shape[-2:])
        # gains of the bands, the same for all exposures, and none where these are equal
        luma = to_luma(planes)
        spread = (luma.amax(1) - luma.amin(1)).unsqueeze(1)
        wanted = torch.tanh(self.gains(functional.relu(self.mix(pooled) + context)))
        gains = spread / (spread + SPREAD) * (self.band_gain[:, None, None] + wanted)
        return BlendMaps(grouped, gains)

    def blend(
        self, pyramid: Sequence[Tensor], maps: BlendMaps, levels: Levels, *, finest: int
    ) -> Tensor:
        """Blend and collapse a pyramid of whole pictures, from the base down.

        Args:
            pyramid: Levels `finest` to `levels.base` of the lumas. Shape (N, K, H, W) each.
            maps: What the network said of them.
            levels: Levels of the picture.
            finest: Level at which to stop; the first of `pyramid`.

        Returns:
            The fused luma at level `finest`. (N, H, W).
        """
        # the base: exposures weighted by their own lumas
        top = pyramid[-1]
        coefficients, _ = bring_maps(maps, levels, levels.base, frame_of(top))
        fused = (self.weigh(top, None, coefficients, levels.group_of(levels.base)) * top).sum(1)
        # the collapse: a band is added to the expanded picture at each level
        for level in range(levels.base - 1, finest - 1, -1):
            fine, coarse = pyramid[level - finest], pyramid[level - finest + 1]
            at_level = bring_maps(maps, levels, level, frame_of(fine))
            fused = self.add_band(fused, fine, coarse, at_level, levels.group_of(level))
        return fused

    def add_band(
        self, fused: Tensor, fine: Tensor, coarse: Tensor, maps: BlendMaps, group: int
    ) -> Tensor:
        """One step of the collapse: expand what is fused and add the blended band of a level.

        Args:
            fused: The fused luma one level above. Shape (N, h, w).
            fine: Lumas at this level. Shape (N, K, H, W).
            coarse: Lumas one level above. Shape (N, K, h, w).
            maps: Coefficients and gains at this level, of its group alone.
            group: The group.

        Returns:
            The fused luma at this level, within the span of the exposures. Shape (N, H, W).
        """
        size = (fine.shape[-2], fine.shape[-1])
        bands = fine - up(coarse, size)
        weights = self.weigh(fine, bands, maps.coefficients, group)
        free = up(fused, size) + torch.exp(maps.gains[:, 0]) * (weights * bands).sum(1)
        dark, mean = fine.amin(1), fine.mean(1)
        return _hold(free, dark + FLOOR_SHARE * (mean - dark), fine.amax(1))

    def weigh(
        self, planes: Tensor, bands: Tensor | None, coefficients: Tensor, group: int
    ) -> Tensor:
        """Weights of the exposures at one level; they sum to 1.

        Args:
            planes: Lumas at the level. Shape (N, K, H, W).
            bands: Their bands, None at the base.
            coefficients: Polynomials of the level's group. Shape (N, K, TERMS, H, W).
            group: The group.

        Returns:
            Shape (N, K, H, W).
        """
        # the polynomial of the luma, with the mean over the exposures as its partner
        x = planes - 0.5
        c0, c1, c2, c3 = coefficients.unbind(2)
        logits = c0 + x * (c1 + c2 * x + c3 * x.mean(1, keepdim=True))
        # local contrast at the finest levels
        if self.config.saliency and group < SALIENCY_GROUPS and bands is not None:
            contrast = torch.log(smooth(bands.abs()) + SALIENCY_FLOOR)
            logits = logits + SALIENCY_SCALE * self.saliency[group] * contrast
        return (sharpen(planes.shape[1]) * logits).softmax(1)


def find_clipped(planes: Tensor) -> Tensor:
    """How near each channel is to white, then how near to black, 0..1.

    Args:
        planes: An exposure, 0..1. Shape (N, 3, h, w).

    Returns:
        Shape (N, CLIPPED_PLANES, h, w).
    """
    white = ((planes - NEAR_WHITE) / (1 - NEAR_WHITE)).clamp(0, 1)
    black = ((NEAR_BLACK - planes) / NEAR_BLACK).clamp(0, 1)
    return torch.cat((white, black), dim=1)


def stack_exposures(exposures: Sequence[Tensor]) -> Tensor:
    """Put exposures, (N, 3, H, W) each, side by side: (N, K, 3, H, W).

    Raises:
        ValueError: Their number is out of range, or they are not equal (N, 3, H, W) tensors.
    """
    if not MIN_EXPOSURES <= len(exposures) <= MAX_EXPOSURES:
        raise ValueError(
            f"expected {MIN_EXPOSURES} to {MAX_EXPOSURES} exposures, got {len(exposures)}"
        )
    shapes = {tuple(one.shape) for one in exposures}
    shape = exposures[0].shape
    if len(shapes) != 1 or len(shape) != 4 or shape[1] != 3:
        raise ValueError(f"expected equal (N, 3, H, W) exposures, got {sorted(shapes)}")
    return torch.stack(tuple(exposures), dim=1)


def build_pyramid(planes: Tensor, times: int) -> list[Tensor]:
    """The planes, (..., H, W), and their reductions, finest first."""
    pyramid = [planes]
    for _ in range(times):
        pyramid.append(down(pyramid[-1]))
    return pyramid


def bring_maps(maps: BlendMaps, levels: Levels, level: int, place: Rect) -> BlendMaps:
    """Bring the maps of one level's group to that level.

    The base has no gain; its gains are the last band's and are not used.

    Args:
        maps: What the network said of the picture.
        levels: Levels of the picture.
        level: The level.
        place: Pixels of the level that are asked for.

    Returns:
        Coefficients, (N, K, TERMS, H, W), and gains, (N, 1, H, W), of the place.
    """
    group = levels.group_of(level)
    band = min(group, BANDS - 1)
    coefficients, gains = maps.coefficients[:, :, group], maps.gains[:, band : band + 1]
    flat = torch.cat((coefficients.flatten(1, 2), gains), dim=1)
    flat = repeat_halving(flat, level - levels.network)
    flat = magnify(flat, max(levels.network - level, 0), place)
    split = flat[:, :-1].reshape(*coefficients.shape[:3], place.height, place.width)
    return BlendMaps(split, flat[:, -1:])


def frame_of(planes: Tensor) -> Rect:
    """All pixels of planes, (..., H, W)."""
    return Rect(0, 0, planes.shape[-2], planes.shape[-1])


def _hold(free: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """Keep values within bounds; in training a little of the slope is left outside.

    Where it vanished, nothing could bring a weight back.
    """
    held = torch.minimum(torch.maximum(free, low), high)
    if not free.requires_grad:
        return held
    return held + OUTER_SLOPE * (free - held - (free - held).detach())


def _extend(planes: Tensor, margin: int) -> Tensor:
    return functional.pad(planes, (margin, margin, margin, margin), mode="replicate")
