"""Loss term `truth`: distance from the scene's radiance through a tone curve."""

import torch
from torch import Tensor
from torch.nn import functional

from trainer.losses.planes import Planes, rgb_to_luma
from trainer.losses.term import LossTerm, Options
from trainer.metrics.guards.hue import subtract_luma

TONE_CELL_PX = 8
"""Tones are compared, and detail is left to the exposures."""


def untruth(fused: Tensor, truth: Tensor) -> Tensor:
    r"""How far tones and colours lie from those of the scene.

    .. math::
        \operatorname{mean} |P_8(Y(f) - Y(t))| + \operatorname{mean} |P_4(c(f) - c(t))|

    with the luma Y, the chroma c as R, G and B less it, and averages P over squares.

    Args:
        fused: Fused picture, sRGB-coded RGB, 0..255. Shape (N, 3, H, W).
        truth: The scene through a tone curve, likewise; black where there is none.

    Returns:
        Grey levels a cell; 0 for what has no truth. Shape (N,).

    Reference:
        Ours.
    """
    tone = functional.avg_pool2d(rgb_to_luma(fused - truth), TONE_CELL_PX).abs().mean((1, 2, 3))
    colour = (subtract_luma(fused) - subtract_luma(truth)).abs().mean((1, 2, 3))
    has_truth = truth.amax((1, 2, 3)) > 0
    return torch.where(has_truth, tone + colour, 0)


def _compute(planes: Planes, options: Options) -> Tensor:
    colours = planes.colours
    if colours.truth is None:
        raise ValueError("expected data.truth with a weight on loss.truth")
    return untruth(colours.fused, colours.truth)


TERM = LossTerm(
    key="truth",
    name="untruth",
    words="untruth",
    explanation=(
        "Untruth: the mean distance of tones and colours from the scene's radiance through a tone "
        "curve; not in the paper."
    ),
    position=115,
    compute=_compute,
    needs_rgb=True,
)
