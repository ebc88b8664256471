"""Taking the time of something, and writing it down with what it takes to repeat it."""

from __future__ import annotations

import json
import os
import platform
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter, process_time
from typing import TypeVar

import cv2
import numpy as np
import onnxruntime
import torch

from bench.repository import read_commit
from model.exposure import AlignmentReport, ExposureStack, StackAlignment

Result = TypeVar("Result")

MOTION = StackAlignment(
    reference=1,
    reports=(
        AlignmentReport(
            model="homography",
            homography=(1.01, 0.02, 1.5, -0.015, 0.99, -2.0, 1e-5, 2e-5, 1.0),
            inliers=100,
            inlier_ratio=0.9,
            max_corner_shift_px=30.0,
            refused=None,
        ),
        None,
    ),
)


@dataclass(frozen=True, slots=True)
class Cost:
    """Seconds that something took, by the wall and by all threads of this process."""

    wall_s: float
    cpu_s: float

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.wall_s + other.wall_s, self.cpu_s + other.cpu_s)

    def __sub__(self, other: Cost) -> Cost:
        return Cost(self.wall_s - other.wall_s, self.cpu_s - other.cpu_s)


def measure(work: Callable[[], Result]) -> tuple[Result, Cost]:
    """Run once and take the time."""
    wall_s, cpu_s = perf_counter(), process_time()
    result = work()
    return result, Cost(perf_counter() - wall_s, process_time() - cpu_s)


def make_pair(height: int, width: int) -> ExposureStack:
    """A smooth seeded scene as an under and an over exposure, uint8."""
    return make_stack(height, width, 2)


def make_stack(height: int, width: int, count: int) -> ExposureStack:
    """A smooth seeded scene in so many exposures, two stops from the first to the last, uint8."""
    scene = cv2.GaussianBlur(np.random.default_rng(0).random((height, width, 3)), (0, 0), 2)
    scene = (scene - scene.min()) / (scene.max() - scene.min())
    return ExposureStack.from_images(
        [
            np.rint(255 * (gain * scene).clip(0, 1)).astype(np.uint8)
            for gain in np.geomspace(0.4, 1.6, count)
        ]
    )


def spread(values: list[float]) -> dict[str, float]:
    """Median and extremes."""
    return {
        "median": round(float(np.median(values)), 4),
        "min": round(min(values), 4),
        "max": round(max(values), 4),
    }


def spread_costs(
    rounds: Mapping[str, Sequence[Cost]], *, megapixels: float
) -> dict[str, dict[str, float]]:
    """Seconds a megapixel by either clock of everything that was measured in rounds."""
    return {
        f"{name}_{clock}_per_megapixel": spread(
            [getattr(cost, clock) / megapixels for cost in costs]
        )
        for name, costs in rounds.items()
        for clock in ("wall_s", "cpu_s")
    }


def describe_machine() -> dict[str, object]:
    """Processor, cores, load and versions."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return {
        "cpu": names[0] if names else platform.processor(),
        "cores": len(os.sched_getaffinity(0)),
        "load_average": [round(value, 2) for value in os.getloadavg()],
        "python": platform.python_version(),
        "torch": torch.__version__,
        "onnxruntime": onnxruntime.__version__,
        "numpy": np.__version__,
        "opencv": cv2.__version__,
        "opencv_threads": cv2.getNumThreads(),
    }


def write_record(path: Path, record: dict[str, object]) -> None:
    """Write a result with what it takes to repeat it."""
    module = Path(sys.argv[0]).stem
    command = shlex.join(["python", "-m", f"bench.{module}", *sys.argv[1:]])
    document = {
        "command": command,
        "commit": read_commit(),
        "machine": describe_machine(),
        **record,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(document, indent=1))
