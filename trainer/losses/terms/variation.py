"""Loss term `variation`: total variation, which prefers a fusion without detail."""

from torch import Tensor

from trainer.losses.gradient import STEADY, squared_gradient
from trainer.losses.term import LossTerm


def variation(fused: Tensor) -> Tensor:
    r"""Total variation, the mean length of the gradient.

    .. math::
        \operatorname{mean} |\nabla f|

    with forward differences. It prefers a fusion without detail; it is here to be compared with.

    Args:
        fused: Fused plane, 0..255. Shape (N, 1, H, W).

    Returns:
        Grey levels a pixel. Shape (N,).

    Reference:
        Rudin, Osher and Fatemi, "Nonlinear total variation based noise removal algorithms",
        Physica D 60 (1992).
    """
    return (squared_gradient(fused) + STEADY).sqrt().mean(dim=(1, 2, 3))


TERM = LossTerm(
    key="variation",
    name="variation",
    words="total variation",
    explanation="Total variation: the mean length of the output's gradient.",
    position=130,
    compute=lambda planes, options: variation(planes.shown),
)
