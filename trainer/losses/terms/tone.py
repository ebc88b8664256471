"""Loss term `tone`: coarse tones of the fusion held to the mean of its exposures."""

from torch import Tensor
from torch.nn import functional

from trainer.losses.term import LossTerm

TONE_CELL_PX = 8
"""Side of the squares over which a tone is averaged; half the receptive field of the network."""


def tone_shift(fused: Tensor, under: Tensor, over: Tensor) -> Tensor:
    r"""Mean square between coarse tones of a fusion and those of the mean of its exposures.

    .. math::
        \operatorname{mean} \left( P_8 \left( f - \tfrac{1}{2} \sum_k x_k \right)^2 \right)

    with averages P over squares of 8 pixels: tone is held, and detail left free. The mean of the
    exposures keeps the order of tones, and is what both of them resemble most.

    Args:
        fused: Fused plane, 0..255, not clamped. Shape (N, 1, H, W).
        under: Under exposure. Same shape.
        over: Over exposure. Same shape.

    Returns:
        Mean square in squared grey levels. Shape (N,).
    """
    shift = functional.avg_pool2d(fused - (under + over) / 2, TONE_CELL_PX)
    return shift.square().mean(dim=(1, 2, 3))


TERM = LossTerm(
    key="tone",
    name="tone_shift",
    words="tone shift",
    explanation=(
        "Tone shift: the mean square between coarse tones of the output and of the mean of its "
        "exposures, from step {tone_from_step} on; not in the paper."
    ),
    position=40,
    compute=lambda planes, options: tone_shift(planes.fused, planes.under, planes.over),
    may_start_late=True,
)
