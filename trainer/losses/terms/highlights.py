"""Loss term `highlights`: what an exposure shows where a brighter one is burnt out."""

import torch
from torch import Tensor
from torch.nn import functional

from trainer.losses.gradient import STEADY, squared_gradient
from trainer.losses.local_moments import DATA_RANGE
from trainer.losses.planes import Planes
from trainer.losses.ramp import rise
from trainer.losses.term import LossTerm, Options, TermOption

BURNT = (240.0, 252.0)
"""Smallest channel of the brightest exposure from which a pixel begins to be burnt, and is."""

SHOWN = (15.0, 30.0, 215.0, 240.0)
"""Luma of the darkest exposure: outside the first and the last it shows nothing there."""

CELL_PX = 4
TONE_SHARE = 0.015
"""Of a squared grey level of veil, against a grey level of lost gradient."""


def find_burnt(under: Tensor, over: Tensor) -> Tensor:
    """Where the brightest exposure is white and the darkest one shows something.

    Args:
        under: Luma of the darkest exposure, 0..255. Shape (N, 1, H, W).
        over: The brightest exposure, sRGB-coded RGB, 0..255. Shape (N, 3, H, W).

    Returns:
        0 to 1. Shape (N, 1, H, W).
    """
    is_white = rise(over.amin(1, keepdim=True), *BURNT)
    return is_white * rise(under, *SHOWN[:2]) * (1 - rise(under, *SHOWN[2:]))


def veil(fused: Tensor, under: Tensor, burnt: Tensor, *, share: float) -> Tensor:
    """Mean square by which burnt cells of 4 x 4 pixels are too bright.

    Args:
        fused: Fused plane, 0..255. Shape (N, 1, H, W).
        under: Darkest exposure. Same shape.
        burnt: See `find_burnt`. Same shape.
        share: A cell may lie so far of the way from the darkest exposure to white.

    Returns:
        Squared grey levels. Shape (N,).

    Reference:
        Ours.
    """
    tones = functional.avg_pool2d(torch.cat([fused, under, burnt], dim=1), CELL_PX)
    tone, dark, is_burnt = tones.unbind(1)
    wanted = dark + share * (DATA_RANGE - dark)
    return (is_burnt * (tone - wanted).clamp_min(0).square()).mean(dim=(1, 2))


def lost_texture(fused: Tensor, under: Tensor, burnt: Tensor, *, gain: float) -> Tensor:
    """How far gradients stay behind `gain` times those of the darkest exposure where it is burnt.

    Args:
        fused: Fused plane, 0..255. Shape (N, 1, H, W).
        under: Darkest exposure. Same shape.
        burnt: See `find_burnt`. Same shape.
        gain: Share of the exposure's gradients that is asked for.

    Returns:
        Mean shortfall in grey levels a pixel. Shape (N,).

    Reference:
        Ours.
    """
    wanted, found = (squared_gradient(torch.cat([under, fused])) + STEADY).sqrt().chunk(2)
    shortfall = (gain * wanted - found).clamp_min(0)
    return (burnt[..., :-1, :-1] * shortfall).mean(dim=(1, 2, 3))


def _compute(planes: Planes, options: Options) -> Tensor:
    burnt = find_burnt(planes.under, planes.colours.over)
    tone = veil(planes.fused, planes.under, burnt, share=options["highlights_share"])
    texture = lost_texture(planes.shown, planes.under, burnt, gain=options["highlights_gain"])
    return TONE_SHARE * tone + texture


TERM = LossTerm(
    key="highlights",
    name="lost_highlights",
    words="lost highlights",
    explanation=(
        "Lost highlights: where an exposure is burnt out, how far gradients stay behind "
        "{highlights_gain} times a darker exposure's, and tones lie beyond {highlights_share} of "
        "the way from it to white."
    ),
    position=84,
    compute=_compute,
    options=(
        TermOption("highlights_share", 0.45, at_least=0, at_most=1),
        TermOption("highlights_gain", 1.3, above=0),
    ),
    needs_rgb=True,
    compares="apart",
)
