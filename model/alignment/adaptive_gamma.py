"""Computes the gamma that fits an image's contrast, and applies it."""

import math
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

LOW_CONTRAST_TAU = 3.0
"""tau of Rahman et al. 2016: contrast is low where four standard deviations span at most 1/tau."""

SIGMA_FLOOR = 1.0 / 255.0
"""One grey level: the least standard deviation that enters a logarithm."""

FloatT = TypeVar("FloatT", np.float32, np.float64)


def adaptive_gamma(intensity: NDArray[FloatT]) -> float:
    r"""Compute the exponent that adaptive gamma correction gives an image.

    With the mean :math:`\mu` and the standard deviation :math:`\sigma` of all intensities:

    .. math::
        \gamma = \begin{cases}
            -\log_2 \sigma                  & 4 \sigma \le 1 / \tau \\
            \exp((1 - (\mu + \sigma)) / 2)  & \text{otherwise}
        \end{cases}

    A constant image has no contrast: its sigma of zero is taken as one grey level (1/255), so
    that gamma is log2(255), the largest value the function returns.

    Args:
        intensity: Intensities in 0..1, not empty, any shape. Statistics are taken in float64.

    Returns:
        Gamma, between 0.9 and 8.

    Raises:
        ValueError: The image is empty.

    Reference:
        Rahman et al., "An adaptive gamma correction for image enhancement", EURASIP Journal on
        Image and Video Processing, 2016.
        Ours: the floor of sigma, which the paper leaves undefined.

    Example:
        >>> adaptive_gamma(np.array([0.25, 0.3125]))
        5.0
    """
    if intensity.size == 0:
        raise ValueError("expected an image with at least one pixel, got an empty one")
    return gamma_of_contrast(
        float(intensity.mean(dtype=np.float64)), float(intensity.std(dtype=np.float64))
    )


def gamma_of_contrast(mu: float, sigma: float) -> float:
    """Compute the same from the mean and the standard deviation of the intensities."""
    if 4.0 * sigma <= 1.0 / LOW_CONTRAST_TAU:
        return -math.log2(max(sigma, SIGMA_FLOOR))
    return math.exp((1.0 - (mu + sigma)) / 2.0)


def apply_gamma(
    intensity: NDArray[FloatT], gamma: float, *, mean: float | None = None
) -> NDArray[FloatT]:
    r"""Apply a gamma; dark images are lifted so that their mean comes to lie near one half.

    With the mean :math:`\mu` of the input and the Heaviside step H (0 at 0):

    .. math::
        y = c\,x^\gamma, \qquad c = \frac{1}{1 + H(0.5 - \mu)(k - 1)}, \qquad
        k = x^\gamma + (1 - x^\gamma)\,\mu^\gamma

    Bright images (mu of at least 0.5) are thus raised to the power alone, dark ones in addition
    divided by k. A black image has k = 0 everywhere: it stays black. A white one stays white; a
    dark constant image comes out a little above one half, a bright one at its power.

    Args:
        intensity: Intensities in 0..1, not empty, any shape.
        gamma: The exponent, positive; `adaptive_gamma` gives it.
        mean: The mean mu where the intensities are a table of levels and not the image itself.

    Returns:
        Corrected intensities in 0..1, same shape and dtype as the input.

    Raises:
        ValueError: The image is empty or gamma is not positive.

    Reference:
        Rahman et al. 2016, as for `adaptive_gamma`.
        Ours: applied to grey images instead of V of HSV, and defined for the black image.

    Example:
        >>> apply_gamma(np.array([0.0, 0.2, 0.4]), 1.0).round(3).tolist()
        [0.0, 0.556, 0.769]
    """
    if intensity.size == 0:
        raise ValueError("expected an image with at least one pixel, got an empty one")
    if not gamma > 0.0:
        raise ValueError(f"expected a positive gamma, got {gamma}")
    mu = float(intensity.mean(dtype=np.float64)) if mean is None else mean
    powered = np.power(intensity, gamma, dtype=np.float64)
    if 0.0 < mu < 0.5:
        powered /= powered + (1.0 - powered) * mu**gamma
    return powered.astype(intensity.dtype, copy=False)
