"""Times the alignment of pairs that lie still and of pairs that moved, beside OpenCV's AlignMTB.

All compute on one thread, as alignment does in a busy service, and ours once more on every core, as
in a service that has nothing else to do. Where the motion is known, the error of what was found
stands beside its price: a refusal is cheap, and worth nothing.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial

import cv2
import numpy as np

from bench.measurement import OURS, Measurement, run_rounds
from bench.opponents import opencv_threads
from bench.scenes import (
    HANDHELD,
    Scene,
    has_photographs,
    take_handheld,
    take_photographs,
    take_still,
)
from bench.scope import Curve, Outcome, Scope, draw_costs
from model.describe import summarise_alignment
from model.exposure import ExposureSet
from model.register import RegisteredStack, register
from model.side_by_side import use_threads

SIZES_MP = (0.6, 2.0, 12.0, 24.0)
WITH_GHOSTS = "expofuse, ghosts sought too"
ON_EVERY_CORE = "expofuse, ghosts sought too, on every core"
ALIGN_MTB = "opencv AlignMTB"


def run(scope: Scope) -> Outcome:
    """Measure still and moved pairs of several sizes, and what else is at hand."""
    scenes: dict[str, Scene] = {}
    still: list[Measurement] = []
    moved: list[Measurement] = []
    with opencv_threads(1):
        for size in SIZES_MP:
            if size <= scope.case_mp:
                one, other = f"{size:g} MP, still", f"{size:g} MP, moved"
                still.append(measure_scene(one, take_still(size), repeats=scope.repeats))
                moved.append(measure_scene(other, take_handheld(size), repeats=scope.repeats))
        if has_photographs() and scope.case_mp >= 1.9:
            scenes["1.9 MP, held by hand"] = take_photographs(HANDHELD)
        scenes["3 of 0.1 MP, moved, something moves"] = take_handheld(0.1, 3, moves=True)
        others = [
            measure_scene(name, scene, repeats=scope.repeats) for name, scene in scenes.items()
        ]
    curves: list[Curve] = []
    for name, measurements in (("still", still), ("moved", moved)):
        seconds, _ = draw_costs(measurements, "megapixels")
        curves.append(Curve(f"time, {name}", seconds.unit, seconds.along, seconds.points))
    return Outcome([*still, *moved, *others], curves)


def register_on_every_core(given: ExposureSet) -> RegisteredStack:
    """Register with all that the service does for a request that is alone."""
    with use_threads(len(os.sched_getaffinity(0))):
        return register(given, align="auto", ghosts="auto")


def measure_scene(name: str, scene: Scene, *, repeats: int) -> Measurement:
    """One scene in every way.

    Args:
        name: Of it.
        scene: The exposures.
        repeats: Counted rounds.
    """
    given = ExposureSet.from_images(scene.exposures)
    found: list[RegisteredStack] = []
    ways: dict[str, Callable[[], object]] = {
        OURS: lambda: found.append(register(given, align="auto", ghosts="off")),
        WITH_GHOSTS: partial(register, given, align="auto", ghosts="auto"),
        ON_EVERY_CORE: partial(register_on_every_core, given),
        ALIGN_MTB: partial(align_by_opencv, scene),
    }
    rounds = run_rounds(ways, repeats=repeats)
    facts: dict[str, object] = {
        "outcome": summarise_alignment(found[-1].registration.alignment),
        "corner_error_px": measure_error(scene, found[-1]),
    }
    return scene.describe(name, rounds, facts)


def align_by_opencv(scene: Scene) -> None:
    """Align by OpenCV's median threshold bitmaps."""
    pictures = [one.copy() for one in scene.exposures]
    cv2.createAlignMTB().process(pictures, pictures)


def measure_error(scene: Scene, found: RegisteredStack) -> float | None:
    """How far the worst corner lies from where it belongs, in pixels.

    None where the motion is not known, or an exposure has no accepted alignment.
    """
    alignment = found.registration.alignment
    if scene.maps is None or alignment is None or alignment.refused:
        return None
    right, bottom = scene.width - 1.0, scene.height - 1.0
    corners = np.array([[[0, 0], [right, 0], [0, bottom], [right, bottom]]])
    to_reference = scene.maps[found.used.order[alignment.reference]]
    worst = 0.0
    for index, report in zip(found.used.order, alignment.reports, strict=True):
        if report is None:
            continue
        truth = to_reference @ np.linalg.inv(scene.maps[index])
        homography = np.array(report.homography).reshape(3, 3)
        wanted = cv2.perspectiveTransform(corners, truth)
        got = cv2.perspectiveTransform(corners, homography)
        worst = max(worst, float(np.linalg.norm(wanted - got, axis=-1).max()))
    return round(worst, 3)
