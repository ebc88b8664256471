"""Measure how long every quality metric takes, alone and all together.

A seeded scene stands in for the pair, with clipped places in both exposures. Every round runs each
metric once and then all of them by `score_fusion`. The peak is the most memory that the process
has held before (libraries and pictures) and after. From the repository root:

    python -m bench.metrics [--height 1000 --width 1000] [--repeats 3]
"""

from __future__ import annotations

import argparse
import resource
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from bench.timing import Cost, measure, spread, write_record
from trainer.metrics import METRICS, score_fusion

DEFAULT_RESULT = Path(__file__).resolve().parent / "results" / "metrics.json"
FEATURE_PREFIX = "FMI"

Triple = tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint8]]


def make_triple(height: int, width: int) -> Triple:
    """A seeded scene of several grains as two exposures and their mean, grey uint8."""
    noise = np.random.default_rng(0).standard_normal((height, width))
    scene = sum(grain * cv2.GaussianBlur(noise, (0, 0), grain) for grain in (0.7, 3.0, 30.0))
    scene = (scene - scene.min()) / np.ptp(scene)
    under, over = (
        np.rint(255 * (gain * scene - 0.1).clip(0, 1)).astype(np.uint8) for gain in (0.6, 2.2)
    )
    fused = ((under.astype(np.uint16) + over + 1) // 2).astype(np.uint8)
    return under, over, fused


def measure_metrics(triple: Triple, *, repeats: int) -> dict[str, object]:
    """Time each metric, all of them, and all but the mutual information of features."""
    *pair, fused = triple
    works = {name: partial(metric.compute, pair, fused) for name, metric in METRICS.items()}
    others = [name for name in METRICS if not name.startswith(FEATURE_PREFIX)]
    works["all"] = partial(score_fusion, pair, fused)
    works["all without FMI"] = partial(score_fusion, pair, fused, others)
    costs: dict[str, list[Cost]] = {name: [] for name in works}
    for _ in range(repeats):
        for name, work in works.items():
            costs[name].append(measure(work)[1])
    return {
        name: {
            clock: spread([getattr(cost, clock) for cost in of_name])
            for clock in ("wall_s", "cpu_s")
        }
        for name, of_name in costs.items()
    }


def read_peak_gb() -> float:
    """Read the most memory that this process has held."""
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9, 3)


def main() -> None:
    """Measure and write the result."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--height", type=int, default=1000)
    parser.add_argument("--width", type=int, default=1000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path, default=DEFAULT_RESULT)
    options = parser.parse_args()
    triple = make_triple(options.height, options.width)
    before_gb = read_peak_gb()
    seconds = measure_metrics(triple, repeats=options.repeats)
    write_record(
        options.out,
        {
            "device": "cpu",
            "height": options.height,
            "width": options.width,
            "repeats": options.repeats,
            "peak_memory_gb": {"before": before_gb, "after": read_peak_gb()},
            "seconds": seconds,
        },
    )


if __name__ == "__main__":
    main()
