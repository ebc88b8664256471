"""Loss term `bounds`: tones of the fusion outside the span of its exposures.

With a weight on it, `fidelity` and `detail` judge the output as it is shown, clamped.
"""

import torch
from torch import Tensor

from trainer.losses.term import LossTerm


def excursion(fused: Tensor, under: Tensor, over: Tensor) -> Tensor:
    r"""Mean square by which a fusion leaves the span of its exposures.

    .. math::
        \operatorname{mean} \left( \max(0, \min_k x_k - f)^2 + \max(0, f - \max_k x_k)^2 \right)

    A pixel darker than its darkest exposure is a crushed shadow, one brighter than its brightest a
    burnt highlight, and either beside a strong edge is a halo.

    Args:
        fused: Fused plane, 0..255, not clamped. Shape (N, 1, H, W).
        under: Under exposure. Same shape.
        over: Over exposure. Same shape.

    Returns:
        Mean square in squared grey levels. Shape (N,).
    """
    below = (torch.minimum(under, over) - fused).clamp_min(0)
    above = (fused - torch.maximum(under, over)).clamp_min(0)
    return (below.square() + above.square()).mean(dim=(1, 2, 3))


TERM = LossTerm(
    key="bounds",
    name="excursion",
    words="excursion",
    explanation=(
        "Excursion: the mean square by which the output leaves the span of its two exposures; not "
        "in the paper."
    ),
    position=10,
    compute=lambda planes, options: excursion(planes.fused, planes.under, planes.over),
    is_shown_clamped=True,
)
