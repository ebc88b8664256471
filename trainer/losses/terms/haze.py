"""Loss term `haze`: highlights that are brighter than well exposed."""

import torch
from torch import Tensor
from torch.nn import functional

from trainer.losses.term import LossTerm

HAZE_CELL_PX = 16
BURNT = (0.85, 0.95)
"""Tone of the over exposure from which a cell begins to be burnt out, and at which it is."""

EXPOSED_SIGMA = 0.25
"""Of full scale; Mertens et al. have 0.2, which leaves a window that both exposures burn darker."""


def haze(fused: Tensor, under: Tensor, over: Tensor) -> Tensor:
    r"""How much brighter than well exposed the fusion is where one exposure is burnt out.

    Over cells of 16 x 16 pixels with tones u, o and f of 0..1:

    .. math::
        \operatorname{mean} \, 255^2 b \max(0, f - t)^2, \qquad
        t = \frac{w(u) u + w(o) o}{w(u) + w(o)}, \qquad
        w(x) = \exp\left( -\frac{(x - 1/2)^2}{2 \sigma^2} \right)

    and b rises from 0 to 1 while o rises from 0.85 to 0.95. The metrics leave the brightness of
    such places free; a sky or a window that half of a white cell was mixed into looks like fog.

    Args:
        fused: Fused plane, 0..255, not clamped. Shape (N, 1, H, W), sides of at least 16.
        under: Under exposure. Same shape.
        over: Over exposure. Same shape.

    Returns:
        Mean square in squared grey levels. Shape (N,).

    Reference:
        Ours; the weight w: Mertens, Kautz, Van Reeth, "Exposure fusion", Pacific Graphics 2007.
    """
    tones = functional.avg_pool2d(torch.cat([under, over, fused], dim=1) / 255, HAZE_CELL_PX)
    sources, tone = tones[:, :2], tones[:, 2]
    weights = torch.softmax(-(sources - 0.5).square() / (2 * EXPOSED_SIGMA**2), dim=1)
    wanted = (weights * sources).sum(dim=1)
    first, last = BURNT
    is_burnt = ((sources[:, 1] - first) / (last - first)).clamp(0, 1)
    return 255**2 * (is_burnt * (tone - wanted).clamp_min(0).square()).mean(dim=(1, 2))


TERM = LossTerm(
    key="haze",
    name="haze",
    words="haze",
    explanation=(
        "Haze: the mean square by which coarse tones are brighter than a well-exposed mix of the "
        "exposures where the over exposure is burnt out."
    ),
    position=80,
    compute=lambda planes, options: haze(planes.fused, planes.under, planes.over),
)
