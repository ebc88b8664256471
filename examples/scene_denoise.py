"""Smooth what noise the path tracer leaves, without blurring textures or edges."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Plane = NDArray[np.float32]

KERNEL = (1 / 16, 1 / 4, 3 / 8, 1 / 4, 1 / 16)
NORMAL_TOLERANCE = 0.15
POSITION_TOLERANCE = 0.05
"""Distance from the pixel's surface as a share of the distance between the pixels."""
ALBEDO_FLOOR = 0.02


def smooth_radiance(
    radiance: Plane, error: Plane, albedo: Plane, normal: Plane, position: Plane, *, rounds: int
) -> Plane:
    """Average the light that falls on a surface over neighbouring pixels of that surface.

    Textures are divided out first and multiplied in afterwards, so only the incoming light is
    averaged: by an edge-avoiding wavelet filter whose kernel spreads twofold in every round.
    A neighbour counts as far as its normal agrees, as it lies in the pixel's plane, and as its
    light differs by no more than the pixel's own standard error explains. Pixels that show the
    sky (no normal) stay as they are.

    Args:
        radiance: Mean over the passes. Shape (H, W, 3).
        error: Its standard error by pixel, of the luminance. Shape (H, W).
        albedo: Reflectance of the first surface. Shape (H, W, 3).
        normal: Its unit normal. Shape (H, W, 3).
        position: Its place in metres. Shape (H, W, 3).
        rounds: Number of rounds; the reach is 2^(rounds + 1) - 2 pixels.

    Returns:
        Radiance, shape (H, W, 3), float32.

    Reference:
        Dammertz et al., "Edge-avoiding A-Trous wavelet transform", HPG 2010; the error as the
        measure of a tolerable difference is that of Schied et al., HPG 2017.
    """
    texture = albedo + ALBEDO_FLOOR
    light = radiance / texture
    variance = (error / texture.mean(axis=2)) ** 2
    for level in range(rounds):
        light, variance = _smooth_once(light, variance, normal, position, 2**level)
    is_surface = np.linalg.norm(normal, axis=2, keepdims=True) > 0.5
    return np.where(is_surface, light * texture, radiance).astype(np.float32)


def _smooth_once(
    light: Plane, variance: Plane, normal: Plane, position: Plane, step: int
) -> tuple[Plane, Plane]:
    margin = 2 * step
    height, width = variance.shape
    padded = [
        cv2.copyMakeBorder(plane, margin, margin, margin, margin, cv2.BORDER_REFLECT_101)
        for plane in (light, variance, normal, position)
    ]
    tolerance = 3 * np.sqrt(cv2.GaussianBlur(variance, (3, 3), 0)) + 1e-6
    brightness = light.mean(axis=2)
    total, total_variance = np.zeros_like(light), np.zeros_like(variance)
    weights = np.zeros_like(variance)
    for row, down in enumerate(KERNEL):
        for column, across in enumerate(KERNEL):
            top, left = row * step, column * step
            cut = np.s_[top : top + height, left : left + width]
            other, other_variance, other_normal, other_position = (plane[cut] for plane in padded)
            between = other_position - position
            off_plane = np.abs((between * normal).sum(axis=2))
            distance = np.linalg.norm(between, axis=2) + 1e-4
            bend = 1 - (normal * other_normal).sum(axis=2)
            weight = (
                down
                * across
                * np.exp(
                    -np.maximum(bend, 0) / NORMAL_TOLERANCE
                    - off_plane / (POSITION_TOLERANCE * distance + 1e-3)
                    - np.abs(other.mean(axis=2) - brightness) / tolerance
                )
            )
            total += weight[..., None] * other
            total_variance += weight**2 * other_variance
            weights += weight
    return total / weights[..., None], total_variance / weights**2
