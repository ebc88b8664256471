"""Measure the CPU path: the network in ONNX Runtime over windows against eager torch.

Every round runs each of them once, one after the other, so that a busy machine slows all alike;
the ratio is taken per round. CPU seconds are reported beside wall seconds: with one thread they
do not see what else the machine does. From the repository root:

    python -m bench.speed [--weights weights/NAME-VERSION] [--repeats 7]
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shlex
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import perf_counter, process_time
from typing import TypeVar

import cv2
import numpy as np
import onnxruntime
import torch
from torch import Tensor

from bench.repository import ROOT, read_commit
from model.exposure import AlignmentReport, ExposurePair
from model.lightness_pipeline import LightnessPipeline
from model.network import Padding
from model.runtime import OnnxRuntime
from model.weights import LoadedWeights, load_weights

DEFAULT_WEIGHTS = ROOT / "weights" / "hyperp-mb-1.1.0"
DEFAULT_RESULT = ROOT / "bench" / "results" / "speed.json"
MEGAPIXEL = 1e6

Result = TypeVar("Result")

MOTION = AlignmentReport(
    model="homography",
    homography=(1.01, 0.02, 1.5, -0.015, 0.99, -2.0, 1e-5, 2e-5, 1.0),
    inliers=100,
    inlier_ratio=0.9,
    max_corner_shift_px=30.0,
    refused=None,
    reference="over",
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


class TimedRuntime(OnnxRuntime):
    """ONNX Runtime with a meter on its network calls."""

    def __init__(self, weights: LoadedWeights, *, threads: int) -> None:
        super().__init__(weights, threads=threads)
        self.spent = Cost(0.0, 0.0)

    def run(self, under_l: Tensor, over_l: Tensor, *, padding: Padding) -> Tensor:
        """Run the network and add to the meter."""
        run = partial(super().run, under_l, over_l, padding=padding)
        result, cost = measure(run)
        self.spent += cost
        return result


def make_pair(height: int, width: int) -> ExposurePair:
    """A smooth seeded scene as an under and an over exposure, uint8."""
    scene = cv2.GaussianBlur(np.random.default_rng(0).random((height, width, 3)), (0, 0), 2)
    scene = (scene - scene.min()) / (scene.max() - scene.min())
    under, over = 0.4 * scene, (1.6 * scene).clip(0, 1)
    return ExposurePair.from_images(
        np.rint(255 * under).astype(np.uint8), np.rint(255 * over).astype(np.uint8)
    )


def measure_rounds(
    weights_dir: Path, *, height: int, width: int, threads: int, repeats: int
) -> dict[str, object]:
    """Interleave eager torch with the windowed path, aligned and warped."""
    weights = load_weights(weights_dir)
    runtime = TimedRuntime(weights, threads=threads)
    pipeline = LightnessPipeline(runtime, chroma="mean")
    pair = make_pair(height, width)
    planes = [torch.rand(1, 1, height, width) * 100 for _ in range(2)]
    rounds: dict[str, list[Cost]] = {"eager": [], "network": [], "colour": [], "warp": []}
    for index in range(repeats + 1):
        torch.set_num_threads(threads)
        with torch.inference_mode():
            _, eager = measure(partial(weights.network, *planes))
        torch.set_num_threads(1)
        runtime.spent = Cost(0.0, 0.0)
        _, still = measure(partial(pipeline.fuse, pair))
        network, runtime.spent = runtime.spent, Cost(0.0, 0.0)
        _, warped = measure(partial(pipeline.fuse, pair, MOTION))
        colour = still - network
        if index > 0:
            rounds["eager"].append(eager)
            rounds["network"].append(network)
            rounds["colour"].append(colour)
            rounds["warp"].append(warped - runtime.spent - colour)
    megapixels = height * width / MEGAPIXEL
    summary: dict[str, object] = {
        f"{name}_{clock}_per_megapixel": spread(
            [getattr(cost, clock) / megapixels for cost in costs]
        )
        for name, costs in rounds.items()
        for clock in ("wall_s", "cpu_s")
    }
    for clock in ("wall_s", "cpu_s"):
        ratios = [
            getattr(eager, clock) / getattr(network, clock)
            for eager, network in zip(rounds["eager"], rounds["network"], strict=True)
        ]
        summary[f"network_speedup_{clock.removesuffix('_s')}"] = spread(ratios)
    return summary


def spread(values: list[float]) -> dict[str, float]:
    """Median and extremes."""
    return {
        "median": round(float(np.median(values)), 4),
        "min": round(min(values), 4),
        "max": round(max(values), 4),
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


def main() -> None:
    """Measure with one thread and with every core."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--weights", type=Path, default=DEFAULT_WEIGHTS)
    parser.add_argument("--height", type=int, default=864)
    parser.add_argument("--width", type=int, default=1152)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--out", type=Path, default=DEFAULT_RESULT)
    options = parser.parse_args()
    cores = len(os.sched_getaffinity(0))
    write_record(
        options.out,
        {
            "weights": load_weights(options.weights).manifest.label,
            "height": options.height,
            "width": options.width,
            "repeats": options.repeats,
            "by_threads": {
                threads: measure_rounds(
                    options.weights,
                    height=options.height,
                    width=options.width,
                    threads=threads,
                    repeats=options.repeats,
                )
                for threads in sorted({1, cores})
            },
        },
    )


if __name__ == "__main__":
    main()
