"""Loss term `shadows`: what the brightest exposure shows where the darkest is black."""

from torch import Tensor

from trainer.losses.planes import Planes
from trainer.losses.ramp import rise
from trainer.losses.term import LossTerm, Options, TermOption

BLACK = (20.0, 36.0)
"""Luma of the darkest exposure up to which a pixel is black, and from which it is not."""

SHOWN = (16.0, 28.0, 140.0, 180.0)
"""Luma of the brightest exposure: outside the first and the last it is no shadow."""


def lost_shadows(fused: Tensor, under: Tensor, over: Tensor, *, share: float) -> Tensor:
    """How far a fusion stays behind the brightest exposure in the shadows of the darkest one.

    Args:
        fused: Fused plane, 0..255. Shape (N, 1, H, W).
        under: Darkest exposure. Same shape.
        over: Brightest exposure. Same shape.
        share: Of the brightest exposure's luma that is asked for.

    Returns:
        Mean shortfall in grey levels a pixel. Shape (N,).

    Reference:
        Ours.
    """
    is_shadow = rise(over, *SHOWN[:2]) * (1 - rise(over, *SHOWN[2:])) * (1 - rise(under, *BLACK))
    return (is_shadow * (share * over - fused).clamp_min(0)).mean(dim=(1, 2, 3))


def _compute(planes: Planes, options: Options) -> Tensor:
    return lost_shadows(planes.fused, planes.under, planes.over, share=options["shadows_share"])


TERM = LossTerm(
    key="shadows",
    name="lost_shadows",
    words="lost shadows",
    explanation=(
        "Lost shadows: where the darkest exposure is black, how far the output stays behind "
        "{shadows_share} of the brightest one."
    ),
    position=87,
    compute=_compute,
    options=(TermOption("shadows_share", 0.65, above=0),),
    compares="ends",
)
