"""What the measurements of speed and exactness ask of weights that blend."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from bench.timing import MOTION, Cost, make_pair, make_stack, measure, spread, spread_costs
from model.blend.levels import blend_halo, plan_levels
from model.blend.pipeline import PASSES, BlendPipeline, Engine
from model.blend.torch_engine import TorchEngine
from model.blend.torch_network import BlendNetwork
from model.exposure import ExposureStack, Pixels
from model.pipeline import create_pipeline
from model.registration import AS_THEY_ARE, Registration
from model.release.torch_networks import build_loaded
from model.release.weights import load_weights
from model.run import FusionRun
from model.tiling import Window
from model.torch_colour import to_pixels
from model.torch_pipeline import create_blend_engine

MEGAPIXEL = 1e6
LIGHTNESS_LIMIT_PX = 3_000_000
"""Above it the first architecture would take most of the measurement's time."""

EXACT_SIZES = ((16, 16), (16, 333), (31, 47), (97, 131), (257, 401), (899, 1151))
HALO_SIZE = (257, 401)
SMALL_TILE_PX = 64
UINT16_MAX = 65535


def measure_rounds(
    weights_dir: Path,
    lightness_dir: Path,
    *,
    height: int,
    width: int,
    threads: int,
    repeats: int,
) -> dict[str, object]:
    """Interleave the blend, pass by pass and whole, with Mertens's and with `hyperp-mb`.

    Mertens's runs with as many threads of OpenCV's, and returns floats, not pixels.
    """
    pipeline = BlendPipeline(
        create_blend_engine(take_network(weights_dir), device="cpu", threads=threads)
    )
    pair = make_pair(height, width)
    megapixels = height * width / MEGAPIXEL
    work: dict[str, Callable[[], object]] = {
        "fusion": partial(pipeline.fuse, pair),
        "fusion_warped": partial(pipeline.fuse, pair, Registration(MOTION.reference, MOTION)),
        "mertens": partial(cv2.createMergeMertens().process, [pair.darkest, pair.brightest]),
    }
    if height * width <= LIGHTNESS_LIMIT_PX:
        lightness = create_pipeline(load_weights(lightness_dir), device="cpu", threads=threads)
        work["hyperp_mb"] = partial(lightness.fuse, pair)
    rounds: dict[str, list[Cost]] = {}
    torch.set_num_threads(1)
    for index in range(repeats + 1):
        cv2.setNumThreads(threads)
        costs = {name: measure(one)[1] for name, one in work.items()}
        costs |= measure_passes(pipeline, pair)
        if index > 0:
            for name, cost in costs.items():
                rounds.setdefault(name, []).append(cost)
    summary: dict[str, object] = dict(spread_costs(rounds, megapixels=megapixels))
    for name in ("mertens", "hyperp_mb"):
        if name in rounds:
            pairs = list(zip(rounds[name], rounds["fusion"], strict=True))
            summary[f"{name}_over_fusion_wall"] = spread([a.wall_s / b.wall_s for a, b in pairs])
            summary[f"{name}_over_fusion_cpu"] = spread([a.cpu_s / b.cpu_s for a, b in pairs])
    return summary


def measure_stacks(
    weights_dir: Path, counts: Sequence[int], *, height: int, width: int, repeats: int
) -> dict[str, object]:
    """Interleave the blend of so many exposures with Mertens's of the same, on every core."""
    pipeline = BlendPipeline(create_blend_engine(take_network(weights_dir), device="cpu"))
    megapixels = height * width / MEGAPIXEL
    torch.set_num_threads(1)
    record: dict[str, object] = {}
    for count in counts:
        stack = make_stack(height, width, count)
        rounds: dict[str, list[Cost]] = {"fusion": [], "mertens": []}
        for index in range(repeats + 1):
            _, fusion = measure(partial(pipeline.fuse, stack))
            _, mertens = measure(partial(cv2.createMergeMertens().process, list(stack.exposures)))
            if index > 0:
                rounds["fusion"].append(fusion)
                rounds["mertens"].append(mertens)
        pairs = list(zip(rounds["fusion"], rounds["mertens"], strict=True))
        record[f"{count}"] = {
            **spread_costs(rounds, megapixels=megapixels),
            "fusion_over_mertens_wall": spread([a.wall_s / b.wall_s for a, b in pairs]),
            "fusion_over_mertens_cpu": spread([a.cpu_s / b.cpu_s for a, b in pairs]),
        }
    return record


def measure_passes(pipeline: BlendPipeline, pair: ExposureStack) -> dict[str, Cost]:
    """Time each pass of one picture."""
    run = pipeline.begin(pair, AS_THEY_ARE)
    return {
        f"pass_{name}": measure(partial(fuse_pass, pipeline, run, windows))[1]
        for name, windows in zip(PASSES, run.passes, strict=True)
    }


def fuse_pass(pipeline: BlendPipeline, run: FusionRun, windows: Sequence[Window]) -> None:
    """Fuse the windows of one pass, which make one micro-batch."""
    pipeline.fuse_windows([(run, window) for window in windows])


def measure_exactness(weights_dir: Path) -> dict[str, object]:
    """Windows against the whole, the CPU's kernels against torch; differences in codes."""
    network = take_network(weights_dir)
    engines: dict[str, Engine] = {
        "cpu": create_blend_engine(network, device="cpu"),
        "torch": TorchEngine(network, device=torch.device("cpu")),
    }
    record: dict[str, object] = {}
    for height, width in EXACT_SIZES:
        pair = make_pair(height, width)
        deep = ExposureStack(
            (pair.darkest * np.uint16(257), pair.brightest * np.uint16(257)), (0, 1)
        )
        record[f"{height}x{width}"] = {
            f"{name}_tiled_against_torch_whole_{one.darkest.dtype}": compare(
                BlendPipeline(engine, tile_px=SMALL_TILE_PX).fuse(one), fuse_whole(network, one)
            )
            for name, engine in engines.items()
            for one in (pair, deep)
        }
    return {"codes": record, **measure_halo(network)}


def measure_halo(network: BlendNetwork) -> dict[str, object]:
    """The derived halo against one grid step less of it, on noise of 16 bit."""
    height, width = HALO_SIZE
    levels = plan_levels(height, width, network_side_px=network.config.network_side_px)
    noise = np.random.default_rng(0).integers(0, UINT16_MAX, (2, height, width, 3), np.uint16)
    pair = ExposureStack((noise[0], noise[1]), (0, 1))
    engine = TorchEngine(network, device=torch.device("cpu"))
    whole = fuse_whole(network, pair)
    halo_px = blend_halo(levels.reduction)
    return {
        "uint16_codes_by_halo": {
            margin_px: compare(
                BlendPipeline(engine, tile_px=SMALL_TILE_PX, halo_px=margin_px).fuse(pair), whole
            )
            for margin_px in (halo_px, halo_px - 2**levels.reduction)
        }
    }


def fuse_whole(network: BlendNetwork, pair: ExposureStack) -> Pixels:
    """The network on whole pictures, rounded as the pipeline does."""
    full = np.iinfo(pair.darkest.dtype).max

    def to_planes(pixels: Pixels) -> Tensor:
        planes = torch.from_numpy(pixels.astype(np.float32) / full)
        return planes.permute(2, 0, 1).unsqueeze(0)

    fused = network(to_planes(pair.darkest), to_planes(pair.brightest))
    return to_pixels(fused[0], pair.darkest)


def compare(one: Pixels, other: Pixels) -> dict[str, float]:
    """Largest difference in codes, and the share of values that differ at all."""
    difference = np.abs(one.astype(np.int64) - other)
    return {"max": int(difference.max()), "share": float((difference > 0).mean())}


def take_network(weights_dir: Path) -> BlendNetwork:
    """The network of weights that blend."""
    network = build_loaded(load_weights(weights_dir))
    if not isinstance(network, BlendNetwork):
        raise ValueError(f"expected weights of pyramid-blend, got {weights_dir.name}")
    return network
