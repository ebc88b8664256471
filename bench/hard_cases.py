"""Draw sheets of stacks that fusions fail on: exposures, the fusions, and MergeMertens.

Views of panoramas and drawn scenes are exposed by the trainer's camera model and fused by
`model.fuse.fuse_stack`, as the service does it. What should be seen is written beside each case in
`CASES`; of two it is measured as well. The panorama of the coloured lamps was trained on, without
them; the others were not. From the repository root:

    python -m bench.hard_cases SHEETS [--weights NAME-VERSION ...]
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from bench.rendered_views import (
    CAMERA,
    SEED,
    TARGET_LIGHTNESS,
    draw_radiance,
    draw_row,
    shoot,
    write_jpeg,
)
from bench.repository import ROOT, SHARED_DATA
from bench.timing import write_record
from expofuse.files.pixels import to_8_bit
from model.exposure import ExposureStack
from model.fuse import Fusion, fuse_stack
from model.manifest import Manifest
from model.pipeline import FusionPipeline, create_pipeline
from model.release.weights import load_weights
from trainer.commands.evaluate import resolve_weights
from trainer.data.camera import find_correct_gain
from trainer.data.lamps import GLOW
from trainer.data.panorama import read_panorama
from trainer.evaluation.pictures import Picture
from trainer.evaluation.report.sheets import name_exposures
from trainer.mertens import fuse_as_mertens
from trainer.metrics import rgb_to_grey

DEFAULT_RESULT = ROOT / "bench" / "results" / "hard-cases.json"
DEFAULT_WEIGHTS = ("pyramid-blend-2.1.0",)
SIDE_PX = 512
CELL_SIDE_PX = 320

LAMP_COLOURS = ((1.0, 0.08, 0.05), (1.0, 0.5, 0.08), (0.1, 0.9, 0.2), (0.1, 0.25, 1.0))
"""Red, amber, green and blue."""

LAMPS_ABOVE_WHITE = 20.0
"""So many times as bright as white in the correct exposure."""

Radiance = NDArray[np.float32]
Measures = dict[str, float]
DrawScene = Callable[[Path, int], Radiance]


@dataclass(frozen=True, slots=True)
class Case:
    """A stack that is hard to fuse.

    Attributes:
        draw: Radiance of the scene, from the folder of the data and the side of the picture.
        evs: Exposure values over that of the correct exposure.
        expected: What a good fusion shows.
        measure: Puts that in numbers, of a picture of this scene; None where only the eye can tell.
    """

    draw: DrawScene
    evs: tuple[float, ...]
    expected: str
    measure: Callable[[Picture], Measures] | None = None


def draw_view(name: str, number: int, data: Path, side_px: int) -> Radiance:
    """A view of a panorama, see `bench.rendered_views.draw_radiance`."""
    panorama = read_panorama(data / "hdri" / f"{name}.hdr")
    return draw_radiance(panorama, name, number, side_px)


def draw_lamps(name: str, number: int, data: Path, side_px: int) -> Radiance:
    """The same with a row of coloured lamps, each with the glow that a lens scatters round it."""
    scene = draw_view(name, number, data, side_px)
    level = LAMPS_ABOVE_WHITE / find_correct_gain(scene, TARGET_LIGHTNESS, CAMERA)
    light = np.zeros_like(scene)
    for index, colour in enumerate(LAMP_COLOURS, start=1):
        centre = (round(index * side_px / (len(LAMP_COLOURS) + 1)), side_px // 3)
        shown = tuple(level * channel for channel in colour)
        cv2.circle(light, centre, side_px // 24, shown, cv2.FILLED)
    soft = cv2.GaussianBlur(light, (0, 0), 1)
    glow = cv2.GaussianBlur(light, (0, 0), side_px / 20)
    return np.asarray(np.maximum(scene, soft) + GLOW * glow, np.float32)


def draw_step_beside_ramp(_: Path, side_px: int) -> Radiance:
    """A ramp over eight stops above, two even fields five stops apart below; all neutral."""
    ramp = np.tile(2.0 ** np.linspace(-4, 4, side_px), (side_px, 1))
    is_left = np.arange(side_px) < side_px // 2
    ramp[side_px // 2 :] = np.where(is_left, 2.0**-2.5, 2.0**2.5)
    return np.repeat(ramp[..., None], 3, axis=2).astype(np.float32)


def draw_wall_beside_panel(_: Path, side_px: int) -> Radiance:
    """A neutral wall in shadow, a blue panel below it, and a bright neutral floor."""
    rows = np.arange(side_px)[:, None, None]
    scene = np.where(rows < side_px // 4, np.full(3, 0.015), np.array((0.002, 0.037, 0.06)))
    scene = np.where(rows < side_px * 7 // 12, scene, 0.26)
    grain = np.random.default_rng(SEED).normal(1, 0.03, (side_px, side_px, 1))
    return np.asarray(scene * grain.clip(0.8, 1.2), np.float32)


def measure_step_beside_ramp(picture: Picture) -> Measures:
    """How far the ramp falls back, and how uneven the two fields are, in levels of grey.

    Both of the means of columns; 4 pixels beside the edge between the fields do not count.
    """
    height, width = picture.shape[:2]
    grey = rgb_to_grey(picture).astype(np.float64)
    ramp, step = (
        grey[rows].mean(axis=0) for rows in (slice(height // 4), slice(-height // 4, None))
    )
    fields = step[: width // 2 - 4], step[width // 2 + 4 :]
    return {
        "ramp_falls_by": float((np.maximum.accumulate(ramp) - ramp).max()),
        "fields_uneven_by": float(max(np.ptp(field) for field in fields)),
    }


def measure_wall_beside_panel(picture: Picture) -> Measures:
    """Largest difference of the channels of the wall, of the mean of a row, in levels."""
    wall = picture[: picture.shape[0] // 4].mean(axis=1)
    return {"channels_apart_by": float(np.ptp(wall, axis=1).max())}


CASES: Mapping[str, Case] = {
    "gap-of-10-ev": Case(
        partial(draw_view, "royal_esplanade_1k", 0),
        (-5.0, 5.0),
        "daylight and shade of the hall, without flat grey or rims",
    ),
    "black-under": Case(
        partial(draw_view, "crystal_falls_1k", 0),
        (-16.0, 0.0),
        "the other exposure as it is",
    ),
    "white-over": Case(
        partial(draw_view, "noon_grass_1k", 0),
        (0.0, 16.0),
        "the other exposure as it is",
    ),
    "equal-exposures": Case(
        partial(draw_view, "circus_arena_1k", 0),
        (0.0, 0.0),
        "the same picture again",
    ),
    "step-beside-ramp": Case(
        draw_step_beside_ramp,
        (-3.0, 3.0),
        "a ramp that rises everywhere, and even fields without rims",
        measure_step_beside_ramp,
    ),
    "wall-beside-panel": Case(
        draw_wall_beside_panel,
        (-1.8, 1.8),
        "a neutral wall: channels less than 6 levels apart",
        measure_wall_beside_panel,
    ),
    "coloured-lamps": Case(
        partial(draw_lamps, "st_peters_square_night_1k", 3),
        (-6.0, 0.0),
        "lamps in their colours, and no colour of theirs beyond their glow",
    ),
}


def fuse_case(
    exposures: Sequence[Picture], pipelines: Mapping[str, tuple[FusionPipeline, Manifest]]
) -> dict[str, Fusion]:
    """Fuse a stack by each weights version as the service does."""
    stack = ExposureStack.from_images(exposures)
    return {
        label: fuse_stack(stack, pipeline, default=manifest.reference)
        for label, (pipeline, manifest) in pipelines.items()
    }


def open_pipeline(directory: Path) -> tuple[FusionPipeline, Manifest]:
    """A weights version on the CPU, and its manifest."""
    weights = load_weights(directory)
    return create_pipeline(weights, device="cpu"), weights.manifest


def main(argv: list[str] | None = None) -> None:
    """Draw the sheets, and write and print what was measured."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("sheets", type=Path, help="folder of the sheets")
    parser.add_argument(
        "--weights", nargs="+", default=DEFAULT_WEIGHTS, help="names below ./weights, or paths"
    )
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--data", type=Path, default=SHARED_DATA)
    parser.add_argument("--side-px", type=int, default=SIDE_PX)
    parser.add_argument("--out", type=Path, default=DEFAULT_RESULT, help="result file")
    options = parser.parse_args(argv)
    opened = [open_pipeline(resolve_weights(name)) for name in options.weights]
    pipelines = {manifest.label: (pipeline, manifest) for pipeline, manifest in opened}
    record: dict[str, dict[str, object]] = {}
    for name in options.cases:
        case = CASES[name]
        exposures = shoot(case.draw(options.data, options.side_px), case.evs).exposures
        fusions = fuse_case(exposures, pipelines)
        fused = {label: to_8_bit(fusion.picture) for label, fusion in fusions.items()}
        fused["MergeMertens"] = fuse_as_mertens(exposures)
        shown = dict(zip(name_exposures(len(exposures)), exposures, strict=True))
        write_jpeg(options.sheets / f"{name}.jpg", draw_row({**shown, **fused}, CELL_SIDE_PX))
        record[name] = {
            "evs": case.evs,
            "expected": case.expected,
            "fused_exposures": {
                label: len(fusion.registered.used) for label, fusion in fusions.items()
            },
        }
        if case.measure:
            record[name]["measured"] = {
                label: {key: round(value, 2) for key, value in case.measure(picture).items()}
                for label, picture in fused.items()
            }
    write_record(options.out, {"side_px": options.side_px, "cases": record})


if __name__ == "__main__":
    main()
