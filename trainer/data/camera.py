"""A camera model: scene radiance to the 8-bit picture that a camera would have stored."""

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from trainer.config import FULL_WELL
from trainer.errors import DataError

REC709_LUMINANCE = np.array([0.2126, 0.7152, 0.0722], np.float32)
SHARPENING_SIGMA_PX = 0.8
GAIN_SEARCH_STEPS = 24
GAIN_SEARCH_RANGE_EV = 24.0
GAIN_SEARCH_PIXELS = 4096


def _srgb_to_linear(encoded: NDArray[np.float32]) -> NDArray[np.float32]:
    power = np.power((encoded + np.float32(0.055)) / np.float32(1.055), np.float32(2.4))
    linear: NDArray[np.float32] = np.where(
        encoded <= 0.04045, encoded / np.float32(12.92), power
    ).astype(np.float32, copy=False)
    return linear


def linear_to_srgb(linear: NDArray[np.float32]) -> NDArray[np.float32]:
    """sRGB-coded values of linear ones, both 0..1; any shape, float32."""
    curved = 1.055 * np.power(np.maximum(linear, 0.0031308), np.float32(1 / 2.4)) - 0.055
    coded: NDArray[np.float32] = np.where(linear <= 0.0031308, 12.92 * linear, curved)
    return coded.astype(np.float32, copy=False)


SRGB_TO_LINEAR = _srgb_to_linear(np.arange(256, dtype=np.float32) / np.float32(255))


@dataclass(frozen=True, slots=True)
class Camera:
    """What turns radiance into a picture.

    Attributes:
        gamma: Exponent on the sRGB-encoded value; 1 is sRGB itself, below 1 lifts the shadows.
        contrast: Strength of the S-curve around the middle, 0 (none) to 1 (smoothstep).
        white_balance: Gain of R, G and B.
        full_well: Electrons at clipping; the shot noise follows.
        read_noise: Standard deviation of the read noise as a share of clipping.
        sharpening: Amount of the in-camera unsharp mask.
        jpeg_quality: Quality of the stored JPEG, None for lossless storage.
    """

    gamma: float = 1.0
    contrast: float = 0.0
    white_balance: tuple[float, float, float] = (1.0, 1.0, 1.0)
    full_well: float = 50_000.0
    read_noise: float = 0.0001
    sharpening: float = 0.0
    jpeg_quality: int | None = None


COLOURED_LIGHT = 0.55
"""Largest logarithm of a channel's gain under coloured light: up to a factor of 3 apart."""


def sample_camera(rng: np.random.Generator, full_well: tuple[float, float] = FULL_WELL) -> Camera:
    """Draw a camera: response, white balance, noise, sharpening and storage vary.

    Most pictures are stored as JPEG, and the shadows are noisy: what an under exposure holds
    there must not be worth more to the network than it is in a photograph.

    Args:
        rng: Where the numbers come from.
        full_well: Range of the electrons at clipping.
    """
    return Camera(
        gamma=float(rng.uniform(0.85, 1.15)),
        contrast=float(rng.uniform(0.0, 0.8)),
        white_balance=(float(rng.uniform(0.85, 1.15)), 1.0, float(rng.uniform(0.85, 1.15))),
        full_well=float(np.exp(rng.uniform(*np.log(full_well)))),
        read_noise=float(np.exp(rng.uniform(np.log(0.0001), np.log(0.002)))),
        sharpening=float(rng.uniform(0.0, 1.5)),
        jpeg_quality=int(rng.integers(75, 98)) if rng.random() < 0.9 else None,
    )


def colour_light(camera: Camera, rng: np.random.Generator) -> Camera:
    """The camera under strongly coloured light, in which single channels clip."""
    gains = np.exp(rng.uniform(-COLOURED_LIGHT, COLOURED_LIGHT, 3))
    red, green, blue = (
        float(own * gain) for own, gain in zip(camera.white_balance, gains, strict=True)
    )
    return replace(camera, white_balance=(red, green, blue))


def encode_response(irradiance: NDArray[np.float32], camera: Camera) -> NDArray[np.float32]:
    r"""Apply the camera response curve.

    .. math::
        v = s(x)^\gamma, \qquad y = v + c\,(3 v^2 - 2 v^3 - v)

    with s the sRGB transfer function. The curve is monotone for a contrast c of 0..1 and keeps 0
    and 1 where they are.

    Args:
        irradiance: Linear values; clipped to 0..1 as the sensor does. Any shape, float32.
        camera: The response's parameters.

    Returns:
        Encoded values, 0..1, same shape, float32.
    """
    linear = np.clip(irradiance, 0.0, 1.0)
    value = np.power(linear_to_srgb(linear), np.float32(camera.gamma))
    curve = value * value * (3 - 2 * value)
    response: NDArray[np.float32] = value + np.float32(camera.contrast) * (curve - value)
    return response


def expose(
    radiance: NDArray[np.float32], gain: float, camera: Camera, rng: np.random.Generator
) -> NDArray[np.uint8]:
    """Take a picture: gain, shot and read noise, clipping, response, sharpening, 8 bits, JPEG.

    Args:
        radiance: Linear scene radiance, Rec. 709 primaries, non-negative. Shape (H, W, 3).
        gain: Factor from radiance to a share of the sensor's clipping level; one EV is a factor 2.
        camera: The camera.
        rng: Source of the noise.

    Returns:
        RGB picture. Shape (H, W, 3), uint8.

    Example:
        >>> white = np.ones((4, 4, 3), np.float32)
        >>> quiet = Camera(read_noise=0.0)
        >>> int(expose(white, 2.0, quiet, np.random.default_rng(0)).min())
        255
    """
    balance = np.asarray(camera.white_balance, np.float32) * np.float32(gain)
    linear = radiance.astype(np.float32) * balance
    # Beyond clipping the noise no longer matters; the bound keeps its square root small.
    signal = np.clip(linear, 0.0, 4.0)
    deviation = np.sqrt(signal / np.float32(camera.full_well) + np.float32(camera.read_noise**2))
    noise = rng.standard_normal(linear.shape, dtype=np.float32)
    noisy = (signal + deviation * noise).astype(np.float32, copy=False)
    encoded = encode_response(noisy, camera)
    if camera.sharpening:
        blurred = cv2.GaussianBlur(encoded, (0, 0), SHARPENING_SIGMA_PX)
        encoded = encoded + np.float32(camera.sharpening) * (encoded - blurred)
    picture = np.rint(np.clip(encoded, 0, 1) * 255).astype(np.uint8)
    if camera.jpeg_quality is None:
        return picture
    options = [cv2.IMWRITE_JPEG_QUALITY, camera.jpeg_quality]
    _, stored = cv2.imencode(".jpg", picture[..., ::-1], options)
    decoded = cv2.imdecode(stored, cv2.IMREAD_COLOR_RGB)
    if decoded is None:
        raise DataError("OpenCV could not read back its own JPEG")
    return decoded.astype(np.uint8, copy=False)


def find_correct_gain(
    radiance: NDArray[np.float32], target_lightness: float, camera: Camera
) -> float:
    """The gain at which the picture's mean lightness is the target: the mid-tone rule.

    A bisection over the exposure, on a thinned grid and without noise, as an averaging light
    meter would do. A black scene has no correct exposure; its gain is the largest one searched.

    Args:
        radiance: Linear scene radiance. Shape (H, W, 3), float32.
        target_lightness: Mean L* wanted, 0..100.
        camera: The camera.

    Returns:
        The gain for `expose`.
    """
    stride = max(1, round(np.sqrt(radiance.shape[0] * radiance.shape[1] / GAIN_SEARCH_PIXELS)))
    balance = np.asarray(camera.white_balance, np.float32)
    thinned = radiance[::stride, ::stride] * balance
    luminance: NDArray[np.float32] = (thinned @ REC709_LUMINANCE).astype(np.float32, copy=False)
    low, high = -GAIN_SEARCH_RANGE_EV, GAIN_SEARCH_RANGE_EV
    for _ in range(GAIN_SEARCH_STEPS):
        middle = (low + high) / 2
        encoded = encode_response(luminance * np.float32(2.0**middle), camera)
        if float(luminance_to_lightness(_srgb_to_linear(encoded)).mean()) < target_lightness:
            low = middle
        else:
            high = middle
    return float(2.0**high)


def rgb_to_lightness(rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
    r"""CIELAB lightness of an sRGB picture.

    .. math::
        L^* = 116 f(Y) - 16, \qquad f(Y) = \begin{cases} Y^{1/3} & Y > (6/29)^3 \\
        Y (29/6)^2 / 3 + 4/29 & \text{otherwise} \end{cases}

    Written out here because OpenCV's conversion interpolates in a table and misses by 0.15.

    Args:
        rgb: Picture. Shape (H, W, 3), uint8.

    Returns:
        L*, 0..100. Shape (H, W), float32.

    Example:
        >>> grey = np.full((1, 1, 3), 119, np.uint8)
        >>> round(float(rgb_to_lightness(grey)[0, 0]), 2)
        50.03
    """
    return luminance_to_lightness(SRGB_TO_LINEAR[rgb] @ REC709_LUMINANCE)


def luminance_to_lightness(luminance: NDArray[np.float32]) -> NDArray[np.float32]:
    """L*, 0..100, of linear luminance, 0..1; any shape, float32."""
    knee = (6 / 29) ** 3
    slope, offset = np.float32((29 / 6) ** 2 / 3), np.float32(4 / 29)
    root = np.where(luminance > knee, np.cbrt(luminance), luminance * slope + offset)
    return (116 * root - 16).astype(np.float32, copy=False)


def rgb_to_luma(rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
    """8-bit ITU-R 601 luma, as the authors' programme trains on, brought to 0..100.

    Args:
        rgb: Picture. Shape (H, W, 3), uint8.

    Returns:
        Luma times 100 / 255. Shape (H, W), float32.
    """
    grey = cv2.cvtColor(np.ascontiguousarray(rgb), cv2.COLOR_RGB2GRAY)
    return grey.astype(np.float32) * np.float32(100 / 255)
