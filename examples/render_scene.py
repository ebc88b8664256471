"""Make the sample pair: a path-traced room with a bright window, taken at two exposures.

The scene is built from boxes, meshes and computed textures; nothing in it is anybody else's. The
renderer is no dependency of the project; beside the project's own environment the script needs

    pip install mitsuba        # 3.5 or newer

    python -m examples.render_scene --radiance /tmp/room.npy --variant llvm_ad_rgb

renders the radiance to the given file (about five minutes of one core; without an LLVM library of
version 16 or newer leave the variant out, which takes three times as long), or reads it when it
is there, and writes examples/under.jpg and examples/over.jpg through the trainer's camera model.
"""

from __future__ import annotations

import argparse
import importlib
import tempfile
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
from numpy.typing import NDArray

from examples.scene_denoise import smooth_radiance
from examples.scene_room import (
    add_bookshelf,
    add_curtains,
    add_right_side,
    add_seat_and_rug,
    add_shell,
    add_table,
)
from examples.scene_stage import Stage
from examples.scene_village import add_light, add_village
from trainer.data.camera import Camera, expose

FOLDER = Path(__file__).resolve().parent
SIZE = (960, 640)
SAMPLES_PER_PASS = 8
MAX_DEPTH = 9
SMOOTHING_ROUNDS = 4
FEATURES = "albedo:albedo,normal:sh_normal,position:position"

UNDER_GAIN = 0.45
GAP_EV = 5.5
CAMERA = Camera(gamma=1.0, contrast=0.4, full_well=30_000.0, read_noise=0.0002)
JPEG_QUALITY = 87
NOISE_SEED = 11


def build_scene(renderer: ModuleType, folder: Path, size: tuple[int, int]) -> dict[str, object]:
    """Put the whole scene together, in the renderer's dictionary format.

    Args:
        renderer: The renderer's module, its variant set.
        folder: Where meshes are written for it to read.
        size: Width and height of the picture in pixels.
    """
    stage = Stage(renderer, folder)
    for add in (
        add_shell,
        add_curtains,
        add_bookshelf,
        add_right_side,
        add_table,
        add_seat_and_rug,
        add_village,
        add_light,
    ):
        add(stage)
    view = renderer.ScalarTransform4f().look_at(
        origin=[-1.95, -2.75, 1.38], target=[0.75, 3.0, 1.08], up=[0, 0, 1]
    )
    film = {"type": "hdrfilm", "width": size[0], "height": size[1], "rfilter": {"type": "gaussian"}}
    camera = {"type": "perspective", "fov": 66, "to_world": view, "film": film}
    return stage.objects | {"camera": camera}


def render_radiance(*, variant: str, passes: int, size: tuple[int, int]) -> NDArray[np.float32]:
    """Path-trace the scene and smooth what noise is left.

    Args:
        variant: Build of the renderer: llvm_ad_rgb (fast, needs an LLVM library of 16 or newer)
            or scalar_rgb.
        passes: Number of passes of 8 samples a pixel, each with its own seed; at least 2.
        size: Width and height in pixels.

    Returns:
        Radiance in the renderer's units, Rec. 709 primaries. Shape (H, W, 3), float32.
    """
    renderer = importlib.import_module("mitsuba")
    renderer.set_variant(variant)
    total = np.zeros((size[1], size[0], 12), np.float64)
    squares = np.zeros((size[1], size[0]), np.float64)
    with tempfile.TemporaryDirectory() as folder:
        scene = renderer.load_dict(build_scene(renderer, Path(folder), size))
        tracer = {"type": "path", "max_depth": MAX_DEPTH}
        integrator = renderer.load_dict({"type": "aov", "aovs": FEATURES, "tracer": tracer})
        for number in range(passes):
            channels = np.array(
                renderer.render(scene, integrator=integrator, spp=SAMPLES_PER_PASS, seed=number)
            )
            planes = np.concatenate([channels[..., :3], channels[..., -9:]], axis=2)
            total += planes
            squares += planes[..., :3].mean(axis=2) ** 2
            print(f"\rpass {number + 1} of {passes}", end="", flush=True)
    print()
    mean = total / passes
    variance = np.maximum(squares / passes - mean[..., :3].mean(axis=2) ** 2, 0) / (passes - 1)
    radiance, albedo, normal, position = np.split(mean.astype(np.float32), 4, axis=2)
    error = np.sqrt(variance).astype(np.float32)
    return smooth_radiance(radiance, error, albedo, normal, position, rounds=SMOOTHING_ROUNDS)


def write_pair(radiance: NDArray[np.float32], folder: Path) -> None:
    """Take the scene at both exposures and write under.jpg and over.jpg."""
    rng = np.random.default_rng(NOISE_SEED)
    for name, gain in (("under", UNDER_GAIN), ("over", UNDER_GAIN * 2**GAP_EV)):
        picture = expose(radiance, gain, CAMERA, rng)
        options = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
        cv2.imwrite(str(folder / f"{name}.jpg"), picture[..., ::-1], options)


def main(argv: list[str] | None = None) -> None:
    """Render the radiance unless it is there, then write the pair."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--radiance", type=Path, required=True, help="radiance file (.npy)")
    parser.add_argument("--passes", type=int, default=14)
    parser.add_argument("--variant", choices=("llvm_ad_rgb", "scalar_rgb"), default="scalar_rgb")
    parser.add_argument("--out", type=Path, default=FOLDER, help="folder of the pair")
    arguments = parser.parse_args(argv)
    if not arguments.radiance.exists():
        radiance = render_radiance(variant=arguments.variant, passes=arguments.passes, size=SIZE)
        np.save(arguments.radiance, radiance)
    write_pair(np.load(arguments.radiance), arguments.out)


if __name__ == "__main__":
    main()
