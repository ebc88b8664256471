"""Local moments of a fusion and its exposures, measured once for every loss that compares them."""

from dataclasses import dataclass
from functools import cached_property

from torch import Tensor, cat
from torch.nn import functional

from trainer.losses.masks import average_windows, gaussian_kernel

WINDOW_PX = 11
WINDOW_SIGMA_PX = 1.5
DATA_RANGE = 255.0
"""The scale of all losses: on it the paper's alpha of 1000 balances square error and MS-SSIM."""


def ssim_window() -> Tensor:
    """The Gaussian that SSIM and its relatives weight a window with, along one axis."""
    return gaussian_kernel(WINDOW_SIGMA_PX, (WINDOW_PX - 1) / WINDOW_SIGMA_PX)


def average_each(planes: tuple[Tensor, ...], kernel: Tensor) -> tuple[Tensor, ...]:
    """Valid separable average of several planes in one call."""
    averaged = average_windows(cat(planes), kernel)
    return averaged.split(len(planes[0]))  # type: ignore[no-any-return, no-untyped-call]


@dataclass(frozen=True, slots=True, eq=False)
class LocalMoments:
    """Moments under the Gaussian window at every place; each of shape (N, 1, H - 10, W - 10).

    Attributes:
        mean: Mean of the fusion.
        variance: Its variance.
        under_mean: Mean of the under exposure.
        under_variance: Its variance.
        over_mean: Mean of the over exposure.
        over_variance: Its variance.
        exposures_covariance: Covariance of the two exposures.
        under_covariance: Covariance of the under exposure and the fusion.
        over_covariance: Covariance of the over exposure and the fusion.
    """

    mean: Tensor
    variance: Tensor
    under_mean: Tensor
    under_variance: Tensor
    over_mean: Tensor
    over_variance: Tensor
    exposures_covariance: Tensor
    under_covariance: Tensor
    over_covariance: Tensor


class Scale:
    """A fusion and its exposures at one scale.

    Args:
        fused: Fusion, 0..255. Shape (N, 1, H, W).
        under: Under exposure. Same shape.
        over_less_white: Over exposure less 255. Same shape. Black areas of the under and white
            areas of the over exposure are exact zeros so: in float32 the variance of a constant
            255 is not 0.
    """

    def __init__(self, fused: Tensor, under: Tensor, over_less_white: Tensor) -> None:
        self.fused = fused
        self.under = under
        self.over_less_white = over_less_white

    def halve(self) -> "Scale":
        """The same at half the size, means of 2 x 2 pixels."""
        planes = (self.fused, self.under, self.over_less_white)
        return Scale(*(functional.avg_pool2d(plane, 2) for plane in planes))

    @cached_property
    def moments(self) -> LocalMoments:
        """The moments, measured when they are first asked for."""
        fused, under, over = self.fused, self.under, self.over_less_white
        window = ssim_window().to(fused)
        # Apart, for no gradient has to be carried back to the exposures.
        mean_u, mean_o, square_u, square_o, product = average_each(
            (under, over, under * under, over * over, under * over), window
        )
        mean, square, product_u, product_o = average_each(
            (fused, fused * fused, under * fused, over * fused), window
        )
        return LocalMoments(
            mean=mean,
            variance=(square - mean * mean).clamp_min(0),
            under_mean=mean_u,
            under_variance=square_u - mean_u * mean_u,
            over_mean=mean_o + DATA_RANGE,
            over_variance=square_o - mean_o * mean_o,
            exposures_covariance=product - mean_u * mean_o,
            under_covariance=product_u - mean_u * mean,
            over_covariance=product_o - mean_o * mean,
        )


class MomentPyramid:
    """A fusion and its exposures at as many scales as the losses ask for.

    Args:
        fused: Fusion, 0..255. Shape (N, 1, H, W).
        under: Under exposure, same shape and scale.
        over: Over exposure, same shape and scale.
    """

    def __init__(self, fused: Tensor, under: Tensor, over: Tensor) -> None:
        self._scales = [Scale(fused, under, over - DATA_RANGE)]

    def scale(self, number: int) -> Scale:
        """The planes halved `number` times."""
        while len(self._scales) <= number:
            self._scales.append(self._scales[-1].halve())
        return self._scales[number]
