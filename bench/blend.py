"""What the measurement of exactness asks of weights that blend."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from bench.timing import make_pair
from model.blend.levels import blend_halo, plan_levels
from model.blend.pipeline import BlendPipeline, Engine
from model.blend.torch_engine import TorchEngine
from model.blend.torch_network import BlendNetwork
from model.exposure import ExposureStack, Pixels
from model.release.torch_networks import build_loaded
from model.release.weights import load_weights
from model.torch_colour import to_pixels
from model.torch_pipeline import create_blend_engine

EXACT_SIZES = ((16, 16), (16, 333), (31, 47), (97, 131), (257, 401), (899, 1151))
HALO_SIZE = (257, 401)
SMALL_TILE_PX = 64
UINT16_MAX = 65535


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
