"""Loss term `truth`: distance of tones from the scene's radiance through a tone curve."""

import torch
from torch import Tensor
from torch.nn import functional

from trainer.losses.planes import Planes, rgb_to_luma
from trainer.losses.term import LossTerm, Options

TONE_CELL_PX = 8


def untruth(fused: Tensor, truth: Tensor) -> Tensor:
    r"""How far tones lie from those of the scene.

    .. math::
        \operatorname{mean} |P_8(f - t)|

    with averages P over squares of 8 pixels: detail is left to the exposures.

    Args:
        fused: Fused plane, 0..255. Shape (N, 1, H, W).
        truth: The scene through a tone curve, likewise; black where there is none.

    Returns:
        Grey levels a cell; 0 for what has no truth. Shape (N,).

    Reference:
        Ours.
    """
    distance = functional.avg_pool2d(fused - truth, TONE_CELL_PX).abs().mean((1, 2, 3))
    return torch.where(truth.amax((1, 2, 3)) > 0, distance, 0)


def _compute(planes: Planes, options: Options) -> Tensor:
    colours = planes.colours
    if colours.truth is None:
        raise ValueError("expected data.truth with a weight on loss.truth")
    return untruth(planes.fused, rgb_to_luma(colours.truth))


TERM = LossTerm(
    key="truth",
    name="untruth",
    words="untruth",
    explanation=(
        "Untruth: the mean distance of tones from those of the scene's radiance through a tone "
        "curve; not in the paper."
    ),
    position=115,
    compute=_compute,
    needs_rgb=True,
)
