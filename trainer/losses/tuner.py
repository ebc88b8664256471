"""ParamTuner: dynamic weights of the under and over tasks (paper, 3.5, Eq. 10-13)."""

import torch
from torch import Tensor

GREY_LEVEL = 1 / 255
"""Smallest standard deviation that counts: a constant image has one grey level."""


def estimate_gamma(intensity: Tensor, *, tau: float = 3.0) -> Tensor:
    r"""Adaptive gamma of an image from its mean and standard deviation.

    .. math::
        \gamma = \begin{cases} -\log_2 \sigma & 4 \sigma \le 1 / \tau \\
        \exp((1 - (\mu + \sigma)) / 2) & \text{otherwise} \end{cases}

    A constant image has no contrast; its sigma is clamped at one grey level, 1/255.

    Args:
        intensity: Image, 0..1. Shape (N, 1, H, W).
        tau: Reciprocal of the contrast that parts the two classes.

    Returns:
        Gamma of each image. Shape (N,), same dtype.

    Reference:
        Rahman et al., "An adaptive gamma correction for image enhancement", EURASIP J. Image
        Video Process. 2016:35; Im et al. 2023, Eq. 10-12. The population standard deviation.

    Example:
        >>> half = torch.tensor([0.0, 1.0]).view(1, 1, 1, 2)
        >>> estimate_gamma(half).item()
        1.0
    """
    mean = intensity.mean(dim=(1, 2, 3))
    deviation = intensity.std(dim=(1, 2, 3), correction=0).clamp_min(GREY_LEVEL)
    low_contrast = -torch.log2(deviation)
    high_contrast = torch.exp((1 - (mean + deviation)) / 2)
    return torch.where(4 * deviation <= 1 / tau, low_contrast, high_contrast)


def tune_weights(
    under: Tensor, correct: Tensor, over: Tensor, *, beta: float = 2.0, tau: float = 3.0
) -> tuple[Tensor, Tensor]:
    r"""Weights of the two exposure tasks from how far each exposure is from the correct one.

    .. math::
        D_i = |\gamma_i - \gamma_{co}|, \qquad \lambda_i = \beta \frac{D_i}{D_1 + D_2}

    Where both exposures have the correct one's gamma, both weights are beta / 2.

    Args:
        under: Under exposure, 0..1. Shape (N, 1, H, W).
        correct: Correct exposure, same shape.
        over: Over exposure, same shape.
        beta: Sum of the two weights.
        tau: See `estimate_gamma`.

    Returns:
        lambda1 and lambda2, each of shape (N,).

    Reference:
        Im et al. 2023, Eq. 13. Ours: the zero denominator, which the paper leaves undefined.
    """
    gamma = estimate_gamma(correct, tau=tau)
    under_distance = (estimate_gamma(under, tau=tau) - gamma).abs()
    over_distance = (estimate_gamma(over, tau=tau) - gamma).abs()
    total = under_distance + over_distance
    is_equal = total == 0
    safe = torch.where(is_equal, torch.ones_like(total), total)
    first = torch.where(is_equal, torch.full_like(total, beta / 2), beta * under_distance / safe)
    second = torch.where(is_equal, torch.full_like(total, beta / 2), beta * over_distance / safe)
    return first, second
