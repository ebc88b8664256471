"""A scene's radiance through a tone curve: what a fusion of its exposures should look like."""

import numpy as np
from numpy.typing import NDArray

from trainer.data.camera import (
    GAIN_SEARCH_RANGE_EV,
    GAIN_SEARCH_STEPS,
    REC709_LUMINANCE,
    Camera,
    linear_to_srgb,
    luminance_to_lightness,
)

WHITE_QUANTILE = 0.999
"""Share of the luminances that the curve keeps below white."""

SATURATION = 0.85
"""Exponent on the ratio of a channel to the luminance: a compressed scene looks more colourful."""

DARKEST = 1e-8


def apply_tone_curve(
    radiance: NDArray[np.float32], target_lightness: float, camera: Camera
) -> NDArray[np.float32]:
    r"""Map radiance to a picture by one curve for all pixels.

    .. math::
        y = \frac{x (1 + x / w^2)}{1 + x}, \qquad c_i = y \, (r_i / l)^{0.85}

    with the luminance l, brought to x by the gain at which the picture's mean lightness is the
    target, the white point w and the channels r of the radiance under the camera's white balance.

    Args:
        radiance: Linear, Rec. 709 primaries, non-negative. Shape (H, W, 3).
        target_lightness: Mean L* wanted, 0..100.
        camera: Its white balance is used, and nothing else of it.

    Returns:
        sRGB-coded RGB, 0..1. Shape (H, W, 3).

    Reference:
        Reinhard, Stark, Shirley, Ferwerda, "Photographic tone reproduction for digital images",
        ACM TOG 21 (2002), Eq. 4, and its saturation as usual since Schlick 1994. Ours: the gain.
    """
    balanced = radiance * np.asarray(camera.white_balance, np.float32)
    luminance = np.maximum(balanced @ REC709_LUMINANCE, np.float32(DARKEST))
    white = float(np.quantile(luminance, WHITE_QUANTILE))
    low, high = -GAIN_SEARCH_RANGE_EV, GAIN_SEARCH_RANGE_EV
    for _ in range(GAIN_SEARCH_STEPS):
        middle = (low + high) / 2
        lightness = luminance_to_lightness(_compress(luminance, 2.0**middle, white))
        low, high = (middle, high) if lightness.mean() < target_lightness else (low, middle)
    shown = _compress(luminance, 2.0**high, white)
    ratio = balanced / luminance[..., None]
    return linear_to_srgb(np.clip(ratio**SATURATION * shown[..., None], 0, 1))


def _compress(luminance: NDArray[np.float32], gain: float, white: float) -> NDArray[np.float32]:
    scaled = luminance * np.float32(gain)
    shown = scaled * (1 + scaled / np.float32(gain * white) ** 2) / (1 + scaled)
    compressed: NDArray[np.float32] = np.clip(shown, 0, 1).astype(np.float32, copy=False)
    return compressed
