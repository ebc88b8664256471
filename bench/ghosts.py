"""Measure the removal of ghosts: scenes with truth, still scenes, and what it costs.

Truth is the fusion of the same stack had nothing moved. From the repository root:

    python -m bench.ghosts [DATA]

Rendered scenes are views of the CC0 panoramas with textured layers that move between exposures,
through a camera with noise and JPEG, each exposure displaced by up to half a pixel.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from bench.repository import ROOT, SHARED_DATA
from bench.timing import Cost, measure, spread, spread_costs, write_record
from expofuse.files.images import to_8_bit
from model.blend.network import BlendNetwork
from model.ghosts.find import find_ghosts
from model.ghosts.proxies import choose_reference
from model.ghosts.replace import replace_ghosts
from model.release.weights import load_weights
from model.tiling import Rect
from trainer.data.camera import Camera, expose, find_correct_gain, sample_camera
from trainer.data.panorama import read_panorama, render_view, sample_view
from trainer.evaluation.pictures import Picture, read_picture
from trainer.metrics import rgb_to_grey
from trainer.metrics.quality.mef_ssim import SCALE_WEIGHTS, _scale_quality
from trainer.metrics.windows import halve

DEFAULT_RESULT = ROOT / "bench" / "results" / "ghosts.json"
WEIGHTS = ROOT / "weights" / "pyramid-blend-1.1.0"
SIDE_PX = 400
STRIP_PX = 512
MAX_SIDE_PX = 1_000
COST_SIZE = (3_000, 4_000)

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


def free(exposures: Sequence[Picture], reference: int) -> tuple[list[Picture], list[float]]:
    """The stack freed of ghosts in strips, and the share taken from the reference for each."""
    ghosts = find_ghosts(exposures, reference=reference)
    height, width = exposures[0].shape[:2]
    result = [np.empty_like(exposure) for exposure in exposures]
    for top in range(0, height, STRIP_PX):
        window = Rect(top, 0, min(STRIP_PX, height - top), width)
        parts = replace_ghosts(
            [exposure[window.slices] for exposure in exposures],
            ghosts, reference=reference, window=window, height=height, width=width,
        )  # fmt: skip
        for target, part in zip(result, parts, strict=True):
            target[window.slices] = part
    return result, [ghost.share if ghost else 0.0 for ghost in ghosts]


def fuse(network: BlendNetwork, exposures: Sequence[Picture]) -> Picture:
    """Fuse a stack by the network on whole tensors."""
    with torch.inference_mode():
        planes = [
            torch.from_numpy(one.copy()).permute(2, 0, 1)[None].float() / 255 for one in exposures
        ]
        fused = network.fuse(planes)[0].permute(1, 2, 0).clamp(0, 1).numpy()
    return np.rint(fused * 255).astype(np.uint8)


def psnr(picture: Picture, truth: Picture, region: Region) -> float:
    """PSNR in a region, dB."""
    error = (picture.astype(np.float64) - truth)[region]
    return float(10 * np.log10(255**2 / max(float(np.mean(error**2)), 1e-3)))


def mef_ssim_of_stack(exposures: Sequence[Picture], fused: Picture) -> float:
    """MEF-SSIM against any number of exposures; of two it is the metric of the table."""
    planes = [rgb_to_grey(one).astype(np.float64) for one in (*exposures, fused)]
    score = 1.0
    for scale, weight in enumerate(SCALE_WEIGHTS):
        planes = [halve(plane) for plane in planes] if scale else planes
        score *= max(_scale_quality(planes[:-1], planes[-1]), 0.0) ** weight
    return score


def measure_truth(network: BlendNetwork, data: Path, count: int) -> dict[str, object]:
    """Inside what moved: PSNR to the truth without and with the removal of ghosts."""
    panoramas = sorted((data / "hdri").rglob("*.hdr"))
    scenes: dict[str, MovedScene] = {
        f"rendered-{seed}": render_scene(panoramas, seed) for seed in range(count)
    }
    for name in ("hall118", "bench129"):
        scenes[name] = read_given_scene(data / "moving" / name)
    rows: dict[str, dict[str, object]] = {}
    for name, scene in scenes.items():
        truth = fuse(network, scene.still)
        freed, shares = free(scene.moved, scene.reference)
        off, on = fuse(network, scene.moved), fuse(network, freed)
        error = np.abs(on.astype(int) - truth)[scene.region]
        error_off = np.abs(off.astype(int) - truth)[scene.region]
        rows[name] = {
            "exposures": len(scene.moved),
            "moved_share": round(float(scene.region.mean()), 4),
            "replaced_share": round(max(shares), 4),
            "off_db": round(psnr(off, truth, scene.region), 2),
            "on_db": round(psnr(on, truth, scene.region), 2),
            "off_p99": float(np.percentile(error_off, 99)),
            "on_p99": float(np.percentile(error, 99)),
            "replaced_share_at_rest": round(max(free(scene.still, scene.reference)[1]), 4),
        }
    gains = [float(str(row["on_db"])) - float(str(row["off_db"])) for row in rows.values()]
    return {"gain_db": spread(gains), "scenes": rows}


def read_still_stacks(data: Path) -> Iterator[tuple[str, list[Picture]]]:
    """The pairs of `eval/` and the stacks of `brackets/`, up to 1000 pixels a side."""
    for folder in ("eval", "brackets"):
        for item in sorted((data / folder).iterdir()):
            paths = [path for path in sorted(item.glob("*.*")) if path.is_file()]
            if len(paths) < 2:
                continue
            pictures = [limit_side(to_8_bit(read_picture(path))) for path in paths]
            yield f"{folder}/{item.name}", sorted(pictures, key=lambda one: float(one.mean()))


def limit_side(picture: Picture) -> Picture:
    """Reduce to at most `MAX_SIDE_PX` pixels a side."""
    scale = MAX_SIDE_PX / max(picture.shape[:2])
    if scale >= 1:
        return picture
    return np.asarray(cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA))


def measure_still(network: BlendNetwork, data: Path) -> dict[str, object]:
    """What still scenes lose: MEF-SSIM with the removal of ghosts minus without."""
    rows: dict[str, dict[str, object]] = {}
    losses: dict[str, list[float]] = {"eval": [], "brackets": []}
    for name, exposures in read_still_stacks(data):
        freed, shares = free(exposures, choose_reference(exposures))
        change = 0.0
        if max(shares) > 0:
            off = mef_ssim_of_stack(exposures, fuse(network, exposures))
            change = mef_ssim_of_stack(exposures, fuse(network, freed)) - off
        losses[name.partition("/")[0]].append(change)
        rows[name] = {"mef_ssim_change": round(change, 5), "shares": np.round(shares, 4).tolist()}
    summary = {
        folder: {
            "stacks": len(changes),
            "mean_change": round(float(np.mean(changes)), 5),
            "worst_change": round(min(changes), 5),
        }
        for folder, changes in losses.items()
    }
    return {**summary, "stacks": rows}


def measure_cost(data: Path, repeats: int) -> dict[str, object]:
    """Seconds a megapixel and further exposure at 12 megapixels, of a scene that moves."""
    height, width = COST_SIZE
    paths = sorted((data / "moving" / "horse").glob("0*.jpg"))
    exposures = [
        np.asarray(cv2.resize(to_8_bit(read_picture(path)), (width, height))) for path in paths
    ]
    rounds: dict[str, list[Cost]] = {"find": [], "find_and_replace": []}
    shares: list[float] = []
    for _ in range(repeats):
        _, finding = measure(lambda: find_ghosts(exposures, reference=1))
        (_, shares), whole = measure(lambda: free(exposures, 1))
        rounds["find"].append(finding)
        rounds["find_and_replace"].append(whole)
    megapixels = height * width / 1e6 * (len(exposures) - 1)
    costs: Mapping[str, object] = spread_costs(rounds, megapixels=megapixels)
    return {"exposures": len(exposures), "replaced_shares": np.round(shares, 3).tolist(), **costs}


def main(argv: list[str] | None = None) -> None:
    """Measure, and write and print the result."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("data", type=Path, nargs="?", default=SHARED_DATA)
    parser.add_argument("--scenes", type=int, default=24, help="rendered scenes")
    parser.add_argument("--repeats", type=int, default=7, help="rounds of the timing")
    parser.add_argument("--out", type=Path, default=DEFAULT_RESULT, help="result file")
    arguments = parser.parse_args(argv)
    network = load_weights(WEIGHTS).network
    if not isinstance(network, BlendNetwork):
        raise TypeError("expected weights of pyramid-blend")
    network.eval()
    record: dict[str, object] = {
        "weights": WEIGHTS.name,
        "cost": measure_cost(arguments.data, arguments.repeats),
        "truth": measure_truth(network, arguments.data, arguments.scenes),
        "still": measure_still(network, arguments.data),
    }
    write_record(arguments.out, record)


if __name__ == "__main__":
    main()
