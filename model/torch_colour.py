"""Converts sRGB to CIELAB and back on tensors, by the constants of `model.colour`."""

from functools import lru_cache
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from model.colour import (
    LAB_DELTA,
    RELATIVE_XYZ_TO_RGB,
    RGB_TO_RELATIVE_XYZ,
    SRGB_GAMMA,
    SRGB_KNEE,
    SRGB_OFFSET,
    SRGB_SLOPE,
)
from model.exposure import Pixels

FULL_SCALE = {torch.uint8: 255, torch.uint16: 65535}
PIXEL_TYPES: dict[np.dtype[Any], torch.dtype] = {
    np.dtype(np.uint8): torch.uint8,
    np.dtype(np.uint16): torch.uint16,
}


def srgb_to_linear(encoded: Tensor) -> Tensor:
    """Undo the sRGB transfer curve.

    Args:
        encoded: sRGB values, nominally 0..1; negative ones follow the straight part. Any shape.

    Returns:
        Linear values of the same shape, dtype and device.

    Example:
        >>> srgb_to_linear(torch.tensor([0.0, 1.0], dtype=torch.float64)).tolist()
        [0.0, 1.0]
    """
    curved = ((encoded.clamp(min=SRGB_KNEE) + SRGB_OFFSET) / (1 + SRGB_OFFSET)).pow(SRGB_GAMMA)
    return torch.where(encoded <= SRGB_KNEE, encoded / SRGB_SLOPE, curved)


def linear_to_srgb(linear: Tensor) -> Tensor:
    """Apply the sRGB transfer curve; the inverse of `srgb_to_linear` on all reals."""
    knee = SRGB_KNEE / SRGB_SLOPE
    curved = linear.clamp(min=knee).pow(1 / SRGB_GAMMA) * (1 + SRGB_OFFSET) - SRGB_OFFSET
    return torch.where(linear <= knee, linear * SRGB_SLOPE, curved)


def pixels_to_linear(pixels: Tensor) -> Tensor:
    """Turn integer sRGB pixels into linear float32 by table.

    Args:
        pixels: Encoded pixels, uint8 or uint16. Any shape.

    Returns:
        Linear values 0..1, float32, same shape, contiguous.
    """
    if pixels.dtype not in FULL_SCALE:
        raise ValueError(f"expected uint8 or uint16 pixels, got {pixels.dtype}")
    table = _linear_table(FULL_SCALE[pixels.dtype], pixels.device)
    return table.index_select(0, pixels.to(torch.int32).flatten()).reshape(pixels.shape)


def linear_to_lab(linear: Tensor) -> Tensor:
    r"""Turn linear sRGB into CIELAB (D65).

    .. math::
        L^* = 116 f(Y) - 16, \quad a^* = 500 (f(X) - f(Y)), \quad b^* = 200 (f(Y) - f(Z))

    with X, Y, Z relative to white and f the cube root, below (6/29)^3 its tangent. Black is
    exactly (0, 0, 0) up to float rounding.

    Args:
        linear: Linear sRGB, nominally 0..1. Shape (N, 3, H, W).

    Returns:
        L* 0..100, a*, b*, same shape, dtype and device.

    Reference:
        CIE 15:2018, with the exact 6/29 where libraries use the rounded 0.008856.
    """
    _check_planes(linear)
    relative = _multiply("forward", linear)
    root = relative.clamp(min=LAB_DELTA**3).pow(1 / 3)
    line = relative / (3 * LAB_DELTA**2) + 4 / 29
    f = torch.where(relative > LAB_DELTA**3, root, line)
    lab = torch.empty_like(f)
    torch.sub(116 * f[:, 1], 16, out=lab[:, 0])
    torch.mul(f[:, 0] - f[:, 1], 500, out=lab[:, 1])
    torch.mul(f[:, 1] - f[:, 2], 200, out=lab[:, 2])
    return lab


def lab_to_linear(lightness: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """Turn CIELAB planes into linear sRGB; the inverse of `linear_to_lab` from its constants.

    Args:
        lightness: L*. Shape (N, H, W).
        a: a*, same shape.
        b: b*, same shape.

    Returns:
        Linear sRGB, outside 0..1 for colours outside the gamut. Shape (N, 3, H, W).
    """
    y = (lightness + 16) / 116
    f = torch.stack((y + a / 500, y, y - b / 200), dim=1)
    relative = torch.where(f > LAB_DELTA, f * f * f, (f - 4 / 29) * (3 * LAB_DELTA**2))
    return _multiply("inverse", relative)


def srgb_to_lab(srgb: Tensor) -> Tensor:
    """Turn sRGB, 0..1, shape (N, 3, H, W), into CIELAB of the same shape.

    Example:
        >>> white = torch.ones(1, 3, 1, 1, dtype=torch.float64)
        >>> [round(value, 2) + 0.0 for value in srgb_to_lab(white).flatten().tolist()]
        [100.0, 0.0, 0.0]
    """
    return linear_to_lab(srgb_to_linear(srgb))


def lab_to_srgb(lab: Tensor) -> Tensor:
    """Turn CIELAB, shape (N, 3, H, W), into sRGB, not clamped to 0..1."""
    _check_planes(lab)
    return linear_to_srgb(lab_to_linear(lab[:, 0], lab[:, 1], lab[:, 2]))


def quantise(srgb: Tensor, dtype: torch.dtype) -> Tensor:
    """Round sRGB, nominally 0..1, to integer pixels: half to even, then clamp to full scale."""
    if dtype not in FULL_SCALE:
        raise ValueError(f"expected uint8 or uint16 as the pixel type, got {dtype}")
    full = FULL_SCALE[dtype]
    return (srgb * full).round_().clamp_(0, full).to(dtype)


def to_pixels(srgb: Tensor, like: Pixels) -> Pixels:
    """Round sRGB planes, (3, H, W) on any device, to pixels, (H, W, 3), of the type of `like`."""
    pixels: Pixels = quantise(srgb, PIXEL_TYPES[like.dtype]).permute(1, 2, 0).cpu().numpy()
    return pixels


@lru_cache(maxsize=8)
def _linear_table(full_scale: int, device: torch.device) -> Tensor:
    encoded = torch.arange(full_scale + 1, dtype=torch.float64) / full_scale
    return srgb_to_linear(encoded).to(device, torch.float32)


@lru_cache(maxsize=8)
def _matrix(
    direction: Literal["forward", "inverse"], like: tuple[torch.device, torch.dtype]
) -> Tensor:
    matrix = RGB_TO_RELATIVE_XYZ if direction == "forward" else RELATIVE_XYZ_TO_RGB
    return torch.from_numpy(matrix).to(*like)


def _multiply(direction: Literal["forward", "inverse"], planes: Tensor) -> Tensor:
    matrix = _matrix(direction, (planes.device, planes.dtype))
    return torch.matmul(matrix, planes.flatten(2)).reshape(planes.shape)


def _check_planes(planes: Tensor) -> None:
    if planes.dim() != 4 or planes.shape[1] != 3 or not planes.is_floating_point():
        raise ValueError(
            f"expected floating-point planes of shape (N, 3, H, W), got {tuple(planes.shape)} "
            f"of {planes.dtype}"
        )
