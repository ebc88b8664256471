"""Fuses a* and b* of the exposures by a rule, in torch: what `chroma.py` does on arrays."""

import torch
from torch import Tensor

from model.lightness.definition import (
    BLACK_SOFT,
    CLIPPED_WEIGHT,
    GAMUT_STEPS,
    GAMUT_TOLERANCE,
    PARTLY_CLIPPED,
    WHITE_SOFT,
    ChromaRule,
)
from model.torch_colour import lab_to_linear, linear_to_srgb


def fuse_chroma(chroma: Tensor, *, rule: ChromaRule, linear: Tensor, lightness: Tensor) -> Tensor:
    r"""Fuse a* and b* over the exposure axis.

    Each channel c is a weighted mean:

    .. math::
        c = \frac{\sum_k w_k c_k}{\sum_k w_k}

    - `mean`: :math:`w_k = 1`.
    - `weighted`: :math:`w_k = |c_k|`, the distance from neutral, so the most saturated exposure
      decides the hue where another is clipped to grey.
    - `unclipped`: the distance from both ends of the range of the smallest and the largest channel,
      n and m in sRGB 0..1, one weight for a* and b*, so the exposure that still has the colour
      decides it:

      .. math::
          w_k = \frac{1}{2} (1 - n_k + \min(1, \frac{1 - m_k}{32 / 255}))
              \min(1, \frac{m_k}{48 / 255}) + 10^{-3}

      Chroma that sRGB cannot show at the fused lightness is then reduced, at constant lightness
      and hue, until it can. Where the lightness itself leaves 0..100 the result is neutral.

    Where every exposure is neutral the result is exactly 0 by any rule.

    Args:
        chroma: a*, b* of the stack, neutral at 0. Shape (N, K, 2, H, W).
        rule: Which of them.
        linear: The stack in linear sRGB, nominally 0..1. Shape (N, K, 3, H, W).
        lightness: Fused L*, nominally 0..100. Shape (N, H, W).

    Returns:
        Fused a*, b*, same dtype and device. Shape (N, 2, H, W).

    Raises:
        ValueError: The shapes do not fit.

    Reference:
        Mean: Im et al., Mathematics 2023, 11, 1620. Weighted: Prabhakar et al., "DeepFuse",
        ICCV 2017, chrominance rule; ours in CIELAB instead of YCbCr, with the neutral-pixel
        guard, which the paper leaves undefined. Unclipped: ours. Weights that fall towards both
        ends of the range are those of Debevec and Malik, "Recovering High Dynamic Range Radiance
        Maps from Photographs", SIGGRAPH 1997, here flat between the ends.

    Example:
        >>> chroma = torch.tensor([0.0, 20.0], dtype=torch.float64).reshape(1, 2, 1, 1, 1)
        >>> chroma = chroma.expand(1, 2, 2, 1, 1)  # the first exposure clipped to white
        >>> linear = torch.tensor([1.0, 0.2], dtype=torch.float64).reshape(1, 2, 1, 1, 1)
        >>> linear = linear.expand(1, 2, 3, 1, 1)
        >>> planes = {"linear": linear, "lightness": torch.full_like(linear[:, 0, 0], 50)}
        >>> rules = ("mean", "weighted", "unclipped")
        >>> [round(fuse_chroma(chroma, rule=rule, **planes)[0, 0].item(), 1) for rule in rules]
        [10.0, 20.0, 20.0]
    """
    _check_shapes(chroma, linear, lightness)
    if rule == "mean":
        return chroma.mean(dim=1)
    if rule == "weighted":
        return _average(chroma, chroma.abs())
    fused = _average(chroma, _weigh_unclipped(linear).unsqueeze(2))
    return _reduce_to_gamut(fused, lightness)


def _average(chroma: Tensor, weights: Tensor) -> Tensor:
    total = weights.sum(dim=1)
    fused = (weights * chroma).sum(dim=1) / total
    return torch.where(total > 0, fused, torch.zeros_like(fused))


def _weigh_unclipped(linear: Tensor) -> Tensor:
    smallest, largest = linear_to_srgb(linear.amin(dim=2)), linear_to_srgb(linear.amax(dim=2))
    below_white = torch.lerp(
        ((1 - largest) / WHITE_SOFT).clamp(0, 1), (1 - smallest).clamp(0, 1), PARTLY_CLIPPED
    )
    above_black = (largest / BLACK_SOFT).clamp(0, 1)
    return below_white * above_black + CLIPPED_WEIGHT


def _reduce_to_gamut(chroma: Tensor, lightness: Tensor) -> Tensor:
    """Reduce chroma at constant lightness and hue to the share that sRGB holds.

    The share follows from bisection and, between the last two, linear interpolation, without
    which it would come in steps that a smooth sky shows.
    """

    def excess(share: Tensor) -> Tensor:
        linear = lab_to_linear(lightness, share * chroma[:, 0], share * chroma[:, 1])
        return torch.maximum(-linear.amin(dim=1), linear.amax(dim=1) - 1) - GAMUT_TOLERANCE

    low, high = torch.zeros_like(lightness), torch.ones_like(lightness)
    low_excess, high_excess = excess(low), excess(high)
    fits = high_excess <= 0
    for _ in range(GAMUT_STEPS):
        middle = (low + high) / 2
        middle_excess = excess(middle)
        is_inside = middle_excess <= 0
        low, high = torch.where(is_inside, middle, low), torch.where(is_inside, high, middle)
        low_excess = torch.where(is_inside, middle_excess, low_excess)
        high_excess = torch.where(is_inside, high_excess, middle_excess)
    # a lightness outside 0..100 exceeds the gamut by itself, and low is still 0
    room = low_excess.clamp(max=0)
    share = low + (high - low) * room / (room - high_excess)
    return torch.where(fits.unsqueeze(1), chroma, chroma * share.unsqueeze(1))


def _check_shapes(chroma: Tensor, linear: Tensor, lightness: Tensor) -> None:
    n, k, *size = chroma.shape
    fits = (
        chroma.dim() == 5
        and size[0] == 2
        and linear.shape == (n, k, 3, *size[1:])
        and lightness.shape == (n, *size[1:])
    )
    if not fits:
        shapes = ", ".join(str(tuple(planes.shape)) for planes in (chroma, linear, lightness))
        raise ValueError(
            "expected chroma (N, K, 2, H, W), linear (N, K, 3, H, W) and lightness (N, H, W), "
            f"got {shapes}"
        )
