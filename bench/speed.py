"""Measure the speed of fusion on the CPU, of either architecture.

Of `hyperp-mb` the network in ONNX Runtime over windows against eager torch, and what surrounds it;
of `pyramid-blend` every pass and the whole against OpenCV's MergeMertens and `hyperp-mb`, at 1 and
12 megapixels, and of stacks the whole against MergeMertens. Every round runs each of them once, one
after the other, so that a busy machine slows all alike; the ratio is taken per round. CPU seconds
are reported beside wall seconds: with one thread they do not see what else the machine does. From
the repository root:

    python -m bench.speed [--weights weights/NAME-VERSION] [--repeats 7]
"""

from __future__ import annotations

import argparse
import os
from functools import partial
from pathlib import Path

import torch

from bench import blend
from bench.repository import ROOT
from bench.timing import MOTION, Cost, make_pair, measure, spread, spread_costs, write_record
from model.colour import Planes
from model.lightness.cpu_engine import CpuEngine, OnnxNetwork
from model.lightness.definition import Padding
from model.lightness.pipeline import LightnessPipeline
from model.manifest import read_manifest
from model.registration import Registration
from model.release.torch_networks import build_loaded
from model.release.weights import LoadedWeights, load_weights

DEFAULT_WEIGHTS = ROOT / "weights" / "hyperp-mb-1.1.0"
RESULTS = ROOT / "bench" / "results"
RESULT_NAMES = {"hyperp-mb": "speed.json", "pyramid-blend": "speed-pyramid-blend.json"}
MEGAPIXEL = 1e6
STACKS = (3, 5, 9)
"""Numbers of exposures whose fusion is measured, beside pairs."""

SIZE = (864, 1152)
LARGE_SIZE = (3000, 4000)


class TimedNetwork(OnnxNetwork):
    """ONNX Runtime with a meter on its network calls."""

    def __init__(self, weights: LoadedWeights, *, threads: int) -> None:
        super().__init__(weights.directory, threads=threads)
        self.spent = Cost(0.0, 0.0)

    def run(self, under_l: Planes, over_l: Planes, *, padding: Padding) -> Planes:
        """Run the network and add to the meter."""
        run = partial(super().run, under_l, over_l, padding=padding)
        result, cost = measure(run)
        self.spent += cost
        return result


def measure_rounds(
    weights_dir: Path, *, height: int, width: int, threads: int, repeats: int
) -> dict[str, object]:
    """Interleave eager torch with the windowed path, aligned and warped."""
    weights = load_weights(weights_dir)
    timed = TimedNetwork(weights, threads=threads)
    pipeline = LightnessPipeline(CpuEngine(timed), chroma="mean")
    eager_network = build_loaded(weights)
    pair = make_pair(height, width)
    planes = [torch.rand(1, 1, height, width) * 100 for _ in range(2)]
    rounds: dict[str, list[Cost]] = {"eager": [], "network": [], "colour": [], "warp": []}
    for index in range(repeats + 1):
        torch.set_num_threads(threads)
        with torch.inference_mode():
            _, eager = measure(partial(eager_network, *planes))
        torch.set_num_threads(1)
        timed.spent = Cost(0.0, 0.0)
        _, still = measure(partial(pipeline.fuse, pair))
        network, timed.spent = timed.spent, Cost(0.0, 0.0)
        _, warped = measure(partial(pipeline.fuse, pair, Registration(MOTION.reference, MOTION)))
        colour = still - network
        if index > 0:
            rounds["eager"].append(eager)
            rounds["network"].append(network)
            rounds["colour"].append(colour)
            rounds["warp"].append(warped - timed.spent - colour)
    megapixels = height * width / MEGAPIXEL
    summary: dict[str, object] = dict(spread_costs(rounds, megapixels=megapixels))
    for clock in ("wall_s", "cpu_s"):
        ratios = [
            getattr(eager, clock) / getattr(network, clock)
            for eager, network in zip(rounds["eager"], rounds["network"], strict=True)
        ]
        summary[f"network_speedup_{clock.removesuffix('_s')}"] = spread(ratios)
    return summary


def measure_lightness(
    weights_dir: Path, *, size: tuple[int, int], repeats: int
) -> dict[str, object]:
    """Measure weights of `hyperp-mb` with one thread and with every core."""
    height, width = size
    return {
        "height": height,
        "width": width,
        "repeats": repeats,
        "by_threads": {
            threads: measure_rounds(
                weights_dir, height=height, width=width, threads=threads, repeats=repeats
            )
            for threads in count_threads()
        },
    }


def measure_blend(
    weights_dir: Path, *, sizes: list[tuple[int, int]], repeats: int
) -> dict[str, object]:
    """Measure weights of `pyramid-blend` with one thread and with every core."""
    return {
        "beside": read_manifest(DEFAULT_WEIGHTS).label,
        "repeats": repeats,
        "by_size": {
            f"{height}x{width}": {
                threads: blend.measure_rounds(
                    weights_dir,
                    DEFAULT_WEIGHTS,
                    height=height,
                    width=width,
                    threads=threads,
                    repeats=repeats,
                )
                for threads in count_threads()
            }
            for height, width in sizes
        },
        "by_exposures": blend.measure_stacks(
            weights_dir, STACKS, height=sizes[-1][0], width=sizes[-1][1], repeats=repeats
        ),
    }


def count_threads() -> list[int]:
    """One thread and every core."""
    return sorted({1, len(os.sched_getaffinity(0))})


def main() -> None:
    """Measure as the weights' architecture asks."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--weights", type=Path, default=DEFAULT_WEIGHTS)
    parser.add_argument("--height", type=int, help="of the only picture; default: see above")
    parser.add_argument("--width", type=int)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--out", type=Path, help="default: a file of bench/results")
    options = parser.parse_args()
    if (options.height is None) != (options.width is None):
        parser.error("expected --height and --width together")
    manifest = read_manifest(options.weights)
    architecture = manifest.network.architecture
    only = None if options.height is None else (options.height, options.width)
    if architecture == "pyramid-blend":
        sizes = [only] if only else [SIZE, LARGE_SIZE]
        record = measure_blend(options.weights, sizes=sizes, repeats=options.repeats)
    else:
        record = measure_lightness(options.weights, size=only or SIZE, repeats=options.repeats)
    out = options.out or RESULTS / RESULT_NAMES[architecture]
    write_record(out, {"weights": manifest.label, **record})


if __name__ == "__main__":
    main()
