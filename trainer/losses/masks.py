"""MaskBuilder: where an exposure carries its information (paper, 3.3, Eq. 1-5)."""

import math
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

Exposure = Literal["under", "over"]


def gaussian_kernel(sigma_px: float, kernel_sigmas: float) -> Tensor:
    """A normalised one-dimensional Gaussian.

    Args:
        sigma_px: Standard deviation, in pixels.
        kernel_sigmas: Its length is this many sigmas, rounded to even, plus one.

    Returns:
        Weights that sum to 1. Shape (2 R + 1,), float64.
    """
    radius = max(1, round(kernel_sigmas * sigma_px / 2))
    axis = torch.arange(-radius, radius + 1, dtype=torch.float64)
    weights = torch.exp(-(axis**2) / (2 * sigma_px**2))
    return weights / weights.sum()


def blur(plane: Tensor, sigma_px: float, kernel_sigmas: float) -> Tensor:
    """Gaussian blur, separable, the border reflected without the edge pixel.

    Args:
        plane: Any range. Shape (N, 1, H, W); both sides longer than the kernel's radius.
        sigma_px: Standard deviation, in pixels.
        kernel_sigmas: See `gaussian_kernel`.

    Returns:
        The blurred plane, same shape and dtype.
    """
    kernel = gaussian_kernel(sigma_px, kernel_sigmas).to(plane)
    radius = (kernel.numel() - 1) // 2
    padded = functional.pad(plane, (radius, radius, radius, radius), mode="reflect")
    return average_windows(padded, kernel)


def average_windows(planes: Tensor, kernel: Tensor) -> Tensor:
    """Separable weighted average of every window that lies inside its plane.

    The planes go through the convolution as channels of one picture with a filter each: on a CPU
    that takes a twentieth of the time of as many pictures of one channel.

    Args:
        planes: Any range. Shape (N, 1, H, W).
        kernel: Weights along one axis. Shape (K,), dtype and device of the planes.

    Returns:
        The averages. Shape (N, 1, H - K + 1, W - K + 1).
    """
    count = len(planes)
    filters = kernel.expand(count, 1, 1, -1)
    across = functional.conv2d(planes.transpose(0, 1), filters, groups=count)
    averaged = functional.conv2d(across, filters.transpose(2, 3), groups=count)
    return averaged.transpose(0, 1)


def build_mask(
    source: Tensor,
    exposure: Exposure,
    *,
    sigma_px: float = 10.0,
    kernel_sigmas: float = 6.0,
    is_8_bit: bool = False,
) -> Tensor:
    r"""Mask of the areas in which a source exposure carries its information.

    .. math::
        n = \frac{g - \min g}{\max g - \min g}, \quad g = G_\sigma * s, \qquad
        m_{under} = n, \quad m_{over} = 1 - n

    A source whose blur is constant has no range: its mask is 1 everywhere.

    Args:
        source: Lightness of the exposure, 0..255. Shape (N, 1, H, W).
        exposure: Which exposure it is.
        sigma_px: Standard deviation of the blur, in pixels.
        kernel_sigmas: Side of the blur's kernel in sigmas, less the one pixel more.
        is_8_bit: Round the blurred source to grey levels first, as the authors' programme does.

    Returns:
        The mask, 0..1, same shape and dtype.

    Raises:
        ValueError: The source is not (N, 1, H, W).

    Reference:
        Im et al., Mathematics 2023, 11, 1620, Eq. 1-5. Ours: the constant image, which the paper
        leaves undefined.

    Example:
        >>> build_mask(torch.full((1, 1, 64, 64), 7.0), "over").min().item()
        1.0
    """
    if source.dim() != 4 or source.shape[1] != 1:
        raise ValueError(f"expected a (N, 1, H, W) plane, got {tuple(source.shape)}")
    blurred = blur(source, sigma_px, kernel_sigmas)
    if is_8_bit:
        blurred = blurred.round()
    low = blurred.amin(dim=(1, 2, 3), keepdim=True)
    high = blurred.amax(dim=(1, 2, 3), keepdim=True)
    span = high - low
    # Rounding noise of the blur of a constant image is no range.
    is_constant = span <= 255 * 16 * torch.finfo(source.dtype).eps
    normalised = (blurred - low) / torch.where(is_constant, math.inf, span)
    mask = normalised if exposure == "under" else 1 - normalised
    return torch.where(is_constant, torch.ones_like(mask), mask)
