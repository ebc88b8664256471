"""Perspective views of equirectangular HDR panoramas."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from trainer.errors import DataError


@dataclass(frozen=True, slots=True)
class View:
    """Where a virtual camera looks.

    Attributes:
        yaw: Heading, radians.
        pitch: Elevation, radians, up positive.
        roll: Rotation about the viewing direction, radians.
        field_of_view: Horizontal angle that the view spans, radians.
    """

    yaw: float
    pitch: float
    roll: float
    field_of_view: float


def read_panorama(path: Path) -> NDArray[np.float32]:
    """Read a Radiance .hdr panorama.

    Returns:
        Linear radiance, RGB, non-negative and finite. Shape (H, 2H, 3), float32.

    Raises:
        DataError: The file is not an equirectangular HDR image.
    """
    image = cv2.imread(str(path), cv2.IMREAD_ANYDEPTH | cv2.IMREAD_COLOR)
    if image is None or image.dtype != np.float32 or image.shape[1] != 2 * image.shape[0]:
        raise DataError(f"expected a 2:1 HDR panorama, '{path.name}' is none")
    radiance = np.ascontiguousarray(image[..., ::-1], np.float32)
    if not np.isfinite(radiance).all() or radiance.min() < 0:
        raise DataError(f"expected finite, non-negative radiance in '{path.name}'")
    return radiance


def sample_view(rng: np.random.Generator, field_of_view_deg: tuple[float, float]) -> View:
    """Draw a view: any heading, mostly level, with a slight roll."""
    return View(
        yaw=float(rng.uniform(-np.pi, np.pi)),
        pitch=float(np.clip(rng.normal(0.0, 0.3), -0.9, 0.9)),
        roll=float(rng.normal(0.0, 0.05)),
        field_of_view=float(np.deg2rad(rng.uniform(*field_of_view_deg))),
    )


def render_view(
    panorama: NDArray[np.float32],
    view: View,
    side_px: int,
    *,
    sampling: Literal["linear", "nearest"] = "linear",
) -> NDArray[np.float32]:
    """Render a square pinhole view.

    The panorama wraps around in heading; rows are clamped.

    Args:
        panorama: Linear radiance, equirectangular, up at the top. Shape (H, 2H, 3), float32.
        view: Direction and field of view.
        side_px: Side of the result, in pixels.
        sampling: Bilinear, or the nearest pixel of the panorama.

    Returns:
        Radiance. Shape (side_px, side_px, 3), float32.
    """
    height, width = panorama.shape[:2]
    half = np.tan(view.field_of_view / 2)
    axis = (np.arange(side_px, dtype=np.float64) + 0.5) / side_px * 2 - 1
    x, y = np.meshgrid(axis * half, -axis * half)
    cosine, sine = np.cos(view.roll), np.sin(view.roll)
    x, y = cosine * x - sine * y, sine * x + cosine * y
    # The viewing direction is +z, tilted up by the pitch.
    up = y * np.cos(view.pitch) + np.sin(view.pitch)
    ahead = np.cos(view.pitch) - y * np.sin(view.pitch)
    longitude = np.arctan2(x, ahead) + view.yaw
    latitude = np.arctan2(up, np.hypot(x, ahead))
    column = np.mod(longitude / (2 * np.pi) + 0.5, 1.0) * width - 0.5
    row = (0.5 - latitude / np.pi) * height - 0.5
    # One column beyond each side carries the wrap-around into the interpolation.
    wrapped = cv2.copyMakeBorder(panorama, 0, 0, 1, 1, cv2.BORDER_WRAP)
    return cv2.remap(
        wrapped,
        (column + 1).astype(np.float32),
        row.astype(np.float32),
        cv2.INTER_LINEAR if sampling == "linear" else cv2.INTER_NEAREST,
        borderMode=cv2.BORDER_REPLICATE,
    ).astype(np.float32, copy=False)
