"""Taking the time of something, and writing it down with what it takes to repeat it."""

from __future__ import annotations

import json
import os
import platform
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from time import perf_counter, process_time
from typing import TypeVar

import cv2
import numpy as np

from bench.repository import read_commit
from model.exposure import AlignmentReport, ExposureStack, StackAlignment

Result = TypeVar("Result")

VERSIONED = ("numpy", "pillow", "pyvips", "simplejpeg", "onnxruntime", "torch")
"""Distributions whose versions a record names."""

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


def measure(
    work: Callable[[], Result], cpu_clock: Callable[[], float] = process_time
) -> tuple[Result, Cost]:
    """Run once and take the time.

    Args:
        work: What is run.
        cpu_clock: Core seconds of whoever does the work; this process when not given.
    """
    cpu_s = cpu_clock()  # Reading that of other processes takes time, which is not the work's.
    begin_s = perf_counter()
    result = work()
    wall_s = perf_counter() - begin_s
    return result, Cost(wall_s, cpu_clock() - cpu_s)


def make_pair(height: int, width: int) -> ExposureStack:
    """A smooth seeded scene as an under and an over exposure, two stops apart, uint8."""
    scene = cv2.GaussianBlur(np.random.default_rng(0).random((height, width, 3)), (0, 0), 2)
    scene = (scene - scene.min()) / (scene.max() - scene.min())
    return ExposureStack.from_images(
        [np.rint(255 * (gain * scene).clip(0, 1)).astype(np.uint8) for gain in (0.4, 1.6)]
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
    """Processor, cores, memory, load and versions."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    memory_bytes = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {
        "cpu": names[0] if names else platform.processor(),
        "cores": count_cores(),
        "memory_gib": round(memory_bytes / 2**30, 1),
        "load_average": [round(value, 2) for value in os.getloadavg()],
        "system": platform.platform(),
        "python": platform.python_version(),
        "opencv": cv2.__version__,
        "opencv_threads": cv2.getNumThreads(),
        **{name: find_version(name) for name in VERSIONED},
    }


def count_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0))


def find_version(distribution: str) -> str | None:
    """Version of an installed distribution; None where it is not installed."""
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


def make_document(record: Mapping[str, object]) -> dict[str, object]:
    """A result with what it takes to repeat it."""
    program = Path(sys.argv[0])
    module = "bench" if program.stem == "__main__" else f"bench.{program.stem}"
    return {
        "command": shlex.join(["python", "-m", module, *sys.argv[1:]]),
        "commit": read_commit(),
        "machine": describe_machine(),
        **record,
    }


def write_record(path: Path, record: Mapping[str, object]) -> None:
    """Write a result with what it takes to repeat it, and print it."""
    text = json.dumps(make_document(record), indent=1)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text + "\n", encoding="utf-8")
    print(text)
