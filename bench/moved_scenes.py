"""Scenes in which something moves, beside the same scenes at rest.

Rendered scenes are views of the CC0 panoramas with textured layers that move between exposures,
through a camera with noise and JPEG, each exposure displaced by up to half a pixel.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from expofuse.files.pixels import to_8_bit
from trainer.data.camera import Camera, expose, find_correct_gain, sample_camera
from trainer.data.panorama import read_panorama, render_view, sample_view
from trainer.evaluation.pictures import Picture, read_picture

SIDE_PX = 400

Region = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class MovedScene:
    """A stack in which something moves, beside the same stack at rest.

    Attributes:
        moved: Exposures, dark to bright.
        still: The same, had nothing moved away from where the reference shows it.
        region: Pixels that differ in an exposure.
        reference: Index of the exposure that both share.
    """

    moved: list[Picture]
    still: list[Picture]
    region: Region
    reference: int


@dataclass(frozen=True, slots=True)
class Layer:
    """A textured blob that moves by the same step from each exposure to the next."""

    texture: NDArray[np.float32]
    centre: NDArray[np.float64]
    axes: NDArray[np.float64]
    angle: float
    softness_px: float
    step_px: NDArray[np.float64]

    def put_on(
        self, scene: NDArray[np.float32], steps: float
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """The scene with the layer in front, and its opacity, (H, W)."""
        height, width = scene.shape[:2]
        x, y = self.step_px * steps
        rows, columns = np.mgrid[:height, :width]
        right, down = columns - self.centre[0] - x, rows - self.centre[1] - y
        cosine, sine = np.cos(self.angle), np.sin(self.angle)
        u = (cosine * right + sine * down) / self.axes[0]
        v = (cosine * down - sine * right) / self.axes[1]
        radius = np.hypot(u, v) * (1 + 0.2 * np.sin(3 * np.arctan2(v, u)))
        distance = (1 - radius) * self.axes.min() / self.softness_px
        opacity = np.clip(distance + 0.5, 0, 1).astype(np.float32)
        texture = translate(self.texture, x, y, cv2.BORDER_WRAP)
        mixed = scene + opacity[..., None] * (texture - scene)
        return np.asarray(mixed, np.float32), opacity


def translate(picture: NDArray[np.float32], x: float, y: float, border: int) -> NDArray[np.float32]:
    """Shift by (x, y) pixels, bilinear."""
    matrix = np.array([[1.0, 0.0, x], [0.0, 1.0, y]])
    size = picture.shape[1::-1]
    return np.asarray(cv2.warpAffine(picture, matrix, size, borderMode=border), np.float32)


def render_scene(panoramas: Sequence[Path], seed: int) -> MovedScene:
    """Render a scene of two to five exposures with one to three moving layers."""
    rng = np.random.default_rng(seed)
    count = int(rng.choice([2, 2, 3, 3, 5]))
    first, second = rng.choice(len(panoramas), 2, replace=False)
    scene = render_view(read_panorama(panoramas[first]), sample_view(rng, (80, 110)), SIDE_PX)
    texture = render_view(read_panorama(panoramas[second]), sample_view(rng, (60, 90)), SIDE_PX)
    drawn = sample_camera(rng)
    camera = Camera(
        drawn.gamma, drawn.contrast, drawn.white_balance, drawn.full_well, drawn.read_noise,
        drawn.sharpening, 92,
    )  # fmt: skip
    gain = find_correct_gain(scene, 50.0, camera)
    span = rng.uniform(1.5, 3.0) if count == 2 else rng.uniform(1.0, 2.0)
    evs = (np.arange(count) - (count - 1) / 2) * span
    if count == 2:
        evs = np.array([-span, 0.6 * span])
    relative = np.median(scene[..., 1]) / max(float(np.median(texture[..., 1])), 1e-6)
    layers = [draw_layer(rng, texture, relative, count) for _ in range(int(rng.integers(1, 4)))]
    reference = int(rng.integers(0, count)) if count == 2 else count // 2
    shifts = [rng.uniform(-0.5, 0.5, 2) * (k != reference) for k in range(count)]

    def shoot(*, is_moving: bool) -> tuple[list[Picture], Region]:
        pictures, region = [], np.zeros((SIDE_PX, SIDE_PX), bool)
        for index in range(count):
            radiance = scene
            for layer in layers:
                radiance, opacity = layer.put_on(radiance, (index - reference) * is_moving)
                region |= opacity > 0.02
            radiance = translate(radiance, *shifts[index], cv2.BORDER_REFLECT_101)
            noise = np.random.default_rng((seed, index))
            pictures.append(expose(radiance, gain * 2.0 ** evs[index], camera, noise))
        return pictures, region

    moved, region = shoot(is_moving=True)
    still, _ = shoot(is_moving=False)
    return MovedScene(moved, still, region, reference)


def draw_layer(
    rng: np.random.Generator, texture: NDArray[np.float32], relative: float, count: int
) -> Layer:
    """Draw a layer: size, place, brightness from a quarter to 2.8 times the scene's, motion."""
    radius = rng.uniform(0.05, 0.16) * SIDE_PX
    brightness = np.float32(relative * 2 ** rng.uniform(-2, 1.5))
    angle = rng.uniform(0, 2 * np.pi)
    length = rng.uniform(0.02, 0.2) * SIDE_PX * (1.0 if count == 2 else 0.6)
    return Layer(
        texture=np.asarray(texture * brightness, np.float32),
        centre=rng.uniform(0.2, 0.8, 2) * SIDE_PX,
        axes=radius * rng.uniform(0.6, 1.6, 2),
        angle=float(rng.uniform(0, np.pi)),
        softness_px=float(rng.uniform(0.5, 2)),
        step_px=length * np.array([np.cos(angle), np.sin(angle)]),
    )


def read_given_scene(folder: Path) -> MovedScene:
    """A scene whose under exposure was rendered at rest and moved."""
    over, moved, still = (
        to_8_bit(read_picture(folder / f"{name}.png"))
        for name in ("over", "under-moved", "under-static")
    )
    differs = (cv2.absdiff(moved, still).max(axis=2) > 8).astype(np.uint8)
    region = cv2.dilate(differs, np.ones((5, 5), np.uint8)) > 0
    return MovedScene([moved, over], [still, over], region, reference=1)
