"""Views of HDR panoramas as still stacks of exposures, beside what they should be fused to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from trainer.data.camera import Camera, expose, find_correct_gain
from trainer.data.panorama import render_view, sample_view
from trainer.data.pixels import limit_side
from trainer.data.tone_curve import apply_tone_curve
from trainer.evaluation.pictures import Picture
from trainer.evaluation.report.cells import draw_cell, join_cells
from trainer.files import write_whole

FIELD_OF_VIEW_DEG = 90.0
TARGET_LIGHTNESS = 50.0
"""Mean L* of the correct exposure and of the truth."""

CAMERA = Camera(full_well=20_000.0, read_noise=0.0005)
"""The sRGB response with the noise of a small sensor, stored without loss."""

SEED = 2000
JPEG_QUALITY = 88


@dataclass(frozen=True, slots=True)
class RenderedView:
    """One view of a scene at rest.

    Attributes:
        exposures: Dark to bright. Shape (S, S, 3) each, uint8.
        truth: The radiance through the tone curve, see `trainer.data.tone_curve`. Likewise.
    """

    exposures: tuple[Picture, ...]
    truth: Picture


def draw_radiance(
    panorama: NDArray[np.float32], name: str, number: int, side_px: int
) -> NDArray[np.float32]:
    """One of the views of a panorama; which one depends on its name and number alone.

    Args:
        panorama: See `trainer.data.panorama.read_panorama`.
        name: Name of the panorama.
        number: Number of the view, from 0.
        side_px: Side of the result.

    Returns:
        Linear radiance. Shape (side_px, side_px, 3).
    """
    rng = np.random.default_rng((SEED, number, *name.encode()))
    view = sample_view(rng, (FIELD_OF_VIEW_DEG, FIELD_OF_VIEW_DEG))
    return render_view(panorama, view, side_px)


def shoot(radiance: NDArray[np.float32], evs: Sequence[float], seed: int = SEED) -> RenderedView:
    """Expose a scene.

    Args:
        radiance: Linear, Rec. 709 primaries, non-negative. Shape (S, S, 3).
        evs: Exposure value of each exposure over that of the correct one, ascending.
        seed: Seed of the noise.
    """
    gain = find_correct_gain(radiance, TARGET_LIGHTNESS, CAMERA)
    exposures = tuple(
        expose(radiance, gain * 2.0**ev, CAMERA, np.random.default_rng((seed, index)))
        for index, ev in enumerate(evs)
    )
    shown = apply_tone_curve(radiance, TARGET_LIGHTNESS, CAMERA)
    return RenderedView(exposures, np.rint(shown * 255).astype(np.uint8))


def draw_row(pictures: Mapping[str, Picture], side_px: int) -> Picture:
    """Pictures side by side under their names, reduced to a longest side."""
    return join_cells(
        [draw_cell(limit_side(picture, side_px), name) for name, picture in pictures.items()]
    )


def write_jpeg(path: Path, picture: Picture) -> None:
    """Write a sheet."""
    options = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
    _, encoded = cv2.imencode(".jpg", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), options)
    write_whole(path, encoded.tobytes())
