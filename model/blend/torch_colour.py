"""Mixes the colour of exposures pixel by pixel, apart from their luma."""

import torch
from torch import Tensor

from model.blend.colour import GAMUT_MARGIN, HIGH, LOW, LUMA, NEUTRAL, RULE, ColourRule


def mix_colour(exposures: Tensor, luma: Tensor, rule: ColourRule = RULE) -> Tensor:
    r"""Give a fused luma the colour that the exposures show there.

    With the luma Y and the chroma :math:`c_k = x_k - Y(x_k)` of exposure k at a pixel,

    .. math::
        c' = (1 + g (\max_k Y_k - \min_k Y_k)) \sum_k \omega_k \, c_k \, \frac{Y + a}{Y_k + a},
        \qquad
        \omega = softmax_k(s Y_k - h H(x_k) - l L(x_k))

    .. math::
        c = c' + t \, b \sum_k \omega_k \max(0, Y - Y_k) \, (-1, L_R / L_G, 0),
        \qquad
        b = \max(0, c'_B - \max(0, c'_R, c'_G))

    with the weights of luma L_R and L_G, where H and L are the sums over the channels of the
    squares by which they come near to clipping and sink into the noise. An exposure counts as far
    as it can tell a colour: the brightest most, as long as no channel of it clips. The ratio of
    lumas makes what is shown brighter more colourful, a in part; the spread of the exposures adds
    to it, so that equal ones come back. A dark blue that is lifted pales, and a pale blue of the
    same hue looks violet: it is turned towards green, at constant luma, by as much as it is lifted.
    The colour is a mix of what the exposures have at that very pixel: it has no rims, and what is
    neutral in all of them stays neutral. At last it is reduced at constant luma and hue, until no
    channel leaves the range.

    Args:
        exposures: Encoded sRGB, 0..1. Shape (N, K, 3, H, W).
        luma: Fused luma, 0..1. Shape (N, H, W).
        rule: The numbers.

    Returns:
        Encoded sRGB, 0..1. Shape (N, 3, H, W).

    Reference:
        Ours. Debevec and Malik, "Recovering high dynamic range radiance maps from photographs",
        SIGGRAPH 1997: samples weighted by their distance from both ends of the range. Fattal,
        Lischinski and Werman, "Gradient domain high dynamic range compression", SIGGRAPH 2002:
        colour follows the ratio of lumas, in part.
    """
    lumas = to_luma(exposures)
    near_white = ((exposures - HIGH) / (1 - HIGH)).clamp_min(0).square().sum(2)
    near_black = ((LOW - exposures) / LOW).clamp_min(0).square().sum(2)
    logits = rule.slope * lumas - rule.high * near_white - rule.low * near_black
    weights = logits.softmax(1)
    lift = (weights * (luma.unsqueeze(1) - lumas).clamp_min(0)).sum(1)
    weights = weights * (luma.unsqueeze(1) + rule.offset) / (lumas + rule.offset)
    strength = 1 + rule.gain * (lumas.amax(1) - lumas.amin(1)).unsqueeze(1)
    chroma = strength * (weights.unsqueeze(2) * (exposures - lumas.unsqueeze(2))).sum(1)
    chroma = turn_blue(chroma, rule.turn * lift)
    floor = exposures.amin(1).clamp_max(GAMUT_MARGIN)
    ceiling = exposures.amax(1).clamp_min(1 - GAMUT_MARGIN)
    return fit_gamut(luma.unsqueeze(1), chroma, floor, ceiling)


def turn_blue(chroma: Tensor, share: Tensor) -> Tensor:
    """Take red from what is bluer than anything else, and give green, at constant luma.

    Args:
        chroma: Differences of R, G and B to the luma. Shape (N, 3, H, W).
        share: Of the blueness, by which it is turned. Shape (N, H, W).

    Returns:
        Shape (N, 3, H, W).

    Reference:
        Ours. Burns, Elsner, Pokorny and Smith, "The Abney effect: chromaticity coordinates of
        unique and other constant hues", Vision Research 1984: the fault that it mends.
    """
    red, green, blue = chroma.unbind(1)
    turned = share * (blue - torch.maximum(red, green).clamp_min(0)).clamp_min(0)
    return torch.stack((red - turned, green + LUMA[0] / LUMA[1] * turned, blue), dim=1)


def fit_gamut(luma: Tensor, chroma: Tensor, floor: Tensor, ceiling: Tensor) -> Tensor:
    """Add as much of a chroma to a luma as the ranges of the channels leave room for.

    Args:
        luma: Luma. Shape (N, 1, H, W).
        chroma: Differences of R, G and B to it. Shape (N, 3, H, W).
        floor: Lower ends of the ranges. Shape (N, 3, H, W).
        ceiling: Upper ends. Same shape.

    Returns:
        Encoded sRGB. Shape (N, 3, H, W).
    """
    above = (ceiling - luma).clamp_min(0) / chroma.clamp_min(NEUTRAL)
    below = (luma - floor).clamp_min(0) / (-chroma).clamp_min(NEUTRAL)
    room = torch.where(chroma > 0, above, below).amin(1, keepdim=True)
    return luma + room.clamp_max(1) * chroma


def to_luma(planes: Tensor) -> Tensor:
    """Luma of encoded RGB: (..., 3, H, W) to (..., H, W)."""
    red, green, blue = planes.unbind(-3)
    return LUMA[0] * red + LUMA[1] * green + LUMA[2] * blue
