"""Measure how exact the windowed path is, and what memory it takes, of either architecture.

Largest differences of `hyperp-mb` are shares of full scale (L* 100), those of `pyramid-blend` are
codes of the picture. From the repository root:

    python -m bench.exactness [--weights weights/NAME-VERSION]
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from bench import blend
from bench.repository import ROOT
from bench.timing import MOTION, make_pair, write_record
from model.device import Precision
from model.exposure import ExposureStack
from model.lightness.cpu_engine import CPU_TILE_PX, OnnxNetwork
from model.lightness.definition import HALO_PX, LIGHTNESS_MAX, Padding
from model.lightness.torch_engine import CUDA_TILE_PX, TorchNetwork
from model.lightness.torch_network import FusionNetwork
from model.manifest import read_manifest
from model.pipeline import create_pipeline
from model.registration import Registration
from model.release.torch_networks import build_loaded
from model.release.weights import load_weights
from model.run import fuse_run
from model.tiling import plan_windows
from model.torch_colour import linear_to_lab, pixels_to_linear

DEFAULT_WEIGHTS = ROOT / "weights" / "hyperp-mb-1.1.0"
RESULTS = ROOT / "bench" / "results"
RESULT_NAMES = {"hyperp-mb": "exactness.json", "pyramid-blend": "exactness-pyramid-blend.json"}
SIZES = ((16, 16), (16, 333), (31, 47), (97, 131), (257, 401), (899, 1151))
PEAK_SIZE = (4000, 6000)
HALO_SIZE = (257, 401)
MIB = 1024


def read_lightness(pair: ExposureStack) -> tuple[Tensor, Tensor]:
    """L* planes of a pair, shape (1, 1, H, W)."""
    under, over = (
        linear_to_lab(pixels_to_linear(torch.from_numpy(image).permute(2, 0, 1)[None]))[:, :1]
        for image in (pair.darkest, pair.brightest)
    )
    return under, over


class OnnxOnTensors:
    """The network in ONNX Runtime with the arguments of the one in torch."""

    def __init__(self, network: OnnxNetwork) -> None:
        self.network = network

    def run(self, under_l: Tensor, over_l: Tensor, *, padding: Padding) -> Tensor:
        """See `TorchNetwork.run`, of one window."""
        under, over = (np.ascontiguousarray(plane[0, 0].numpy()) for plane in (under_l, over_l))
        return torch.from_numpy(self.network.run(under, over, padding=padding))[None, None]


def fuse_tiled(
    network: OnnxOnTensors | TorchNetwork, under: Tensor, over: Tensor, *, tile_px: int
) -> Tensor:
    """Lightness of every core, put together before anything is rounded."""
    height, width = under.shape[-2:]
    fused = torch.full_like(under, torch.nan)
    for window in plan_windows(height, width, halo_px=HALO_PX, tile_px=tile_px):
        rows, columns = window.source.slices
        is_interior = window.kind == "interior"
        result = network.run(
            under[..., rows, columns],
            over[..., rows, columns],
            padding="valid" if is_interior else "reflect",
        )
        covered = window.source.shrunk(HALO_PX if is_interior else 0)
        rows, columns = window.core.relative_to(covered).slices
        core = window.core
        fused[..., core.top : core.bottom, core.left : core.right] = result[..., rows, columns]
    return fused


def fuse_with_halo(network: FusionNetwork, under: Tensor, over: Tensor, halo_px: int) -> Tensor:
    """Lightness from padded windows with a halo of our choice, in the network's own dtype."""
    height, width = under.shape[-2:]
    fused = torch.full_like(under, torch.nan)
    for window in plan_windows(height, width, halo_px=halo_px, tile_px=64):
        rows, columns = window.source.slices
        result = network(under[..., rows, columns], over[..., rows, columns])
        core = window.core
        rows, columns = core.relative_to(window.source).slices
        fused[..., core.top : core.bottom, core.left : core.right] = result[..., rows, columns]
    return fused


def compare(one: Tensor, other: Tensor) -> float:
    """Largest difference as a share of full scale."""
    return float((one - other).abs().max()) / LIGHTNESS_MAX


def measure_exactness(weights_dir: Path) -> dict[str, object]:
    """Tiled against whole and ONNX Runtime against torch, on seeded scenes."""
    weights = load_weights(weights_dir)
    network = build_loaded(weights)
    if not isinstance(network, FusionNetwork):
        raise ValueError(f"expected weights of hyperp-mb, got {weights.manifest.label}")
    onnx = OnnxOnTensors(OnnxNetwork(weights.directory))
    eager = TorchNetwork(network, device=torch.device("cpu"))
    sizes: dict[str, object] = {}
    for height, width in SIZES:
        under, over = read_lightness(make_pair(height, width))
        whole = network(under, over)
        tiled = fuse_tiled(onnx, under, over, tile_px=CPU_TILE_PX)
        sizes[f"{height}x{width}"] = {
            "onnx_tiled_against_torch_whole": compare(tiled, whole),
            "onnx_tiled_against_onnx_whole": compare(
                tiled, onnx.run(under, over, padding="reflect")
            ),
            "torch_tiled_against_torch_whole": compare(
                fuse_tiled(eager, under, over, tile_px=CUDA_TILE_PX), whole
            ),
            "onnx_whole_against_torch_whole": compare(
                onnx.run(under, over, padding="reflect"), whole
            ),
        }
    return {"lightness": sizes, **measure_halo(network), **measure_precisions(network)}


def measure_halo(network: FusionNetwork) -> dict[str, object]:
    """In float64: the derived halo against one pixel less of it."""
    under, over = (plane.double() for plane in read_lightness(make_pair(*HALO_SIZE)))
    exact = FusionNetwork(network.config).double().requires_grad_(False)
    exact.load_state_dict(network.state_dict())
    whole = exact(under, over)
    return {
        "float64_by_halo": {
            halo_px: compare(fuse_with_halo(exact, under, over, halo_px), whole)
            for halo_px in (network.halo, network.halo - 1)
        }
    }


def measure_precisions(network: FusionNetwork) -> dict[str, object]:
    """What the reduced precisions of the CUDA path cost, computed in torch on the CPU."""
    under, over = read_lightness(make_pair(*HALO_SIZE))
    whole = network(under, over)
    record: dict[str, object] = {}
    precisions: tuple[Precision, ...] = ("float16", "bfloat16")
    for precision in precisions:
        runtime = TorchNetwork(network, device=torch.device("cpu"), precision=precision)
        difference = (runtime.run(under, over, padding="reflect") - whole).abs() / LIGHTNESS_MAX
        record[precision] = {"max": float(difference.max()), "mean": float(difference.mean())}
    return {"reduced_precision_against_float32": record}


def read_status_mib(field: str) -> float:
    """One memory figure of this process."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return int(next(line for line in lines if line.startswith(field)).split()[1]) / MIB


def measure_peak(weights_dir: Path, height: int, width: int) -> None:
    """Fuse a warped pair in this process and print what memory that took."""
    torch.set_num_threads(1)
    pipeline = create_pipeline(load_weights(weights_dir), device="cpu")
    loaded = read_status_mib("VmRSS")
    shape = (height, width, 3)
    pair = ExposureStack((np.full(shape, 60, np.uint8), np.full(shape, 180, np.uint8)), (0, 1))
    output = np.full(shape, 1, np.uint8)
    before = read_status_mib("VmRSS")
    run = pipeline.begin(pair, Registration(MOTION.reference, MOTION), output)
    fuse_run(run, pipeline.fuse_windows, batch_size=pipeline.preferred_batch)
    peak = read_status_mib("VmHWM")
    print(loaded, before, peak)


def measure_peak_elsewhere(weights_dir: Path, height: int, width: int) -> dict[str, float]:
    """The same in a process of its own, whose peak is nobody else's."""
    command = [sys.executable, "-m", "bench.exactness", "--peak", "--weights", str(weights_dir)]
    command += ["--peak-size", str(height), str(width)]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    loaded, before, peak = (float(word) for word in result.stdout.split())
    return {
        "megapixels": height * width / 1e6,
        "process_with_weights_mib": round(loaded, 1),
        "inputs_and_output_mib": round(before - loaded, 1),
        "peak_mib": round(peak, 1),
        "peak_above_weights_inputs_and_output_mib": round(peak - before, 1),
        "peak_above_inputs_and_output_mib": round(peak - before + loaded, 1),
    }


def main() -> None:
    """Measure and write the record."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--weights", type=Path, default=DEFAULT_WEIGHTS)
    parser.add_argument("--out", type=Path, help="default: a file of bench/results")
    parser.add_argument("--peak", action="store_true", help="only the memory, in this process")
    parser.add_argument(
        "--peak-size", type=int, nargs=2, default=PEAK_SIZE, metavar=("HEIGHT", "WIDTH")
    )
    options = parser.parse_args()
    weights_dir = options.weights.resolve()
    if options.peak:
        measure_peak(weights_dir, *options.peak_size)
        return
    manifest = read_manifest(weights_dir)
    is_blend = manifest.network.architecture == "pyramid-blend"
    with torch.inference_mode():
        exactness = (blend.measure_exactness if is_blend else measure_exactness)(weights_dir)
    write_record(
        options.out or RESULTS / RESULT_NAMES[manifest.network.architecture],
        {
            "weights": manifest.label,
            **exactness,
            "memory": measure_peak_elsewhere(weights_dir, *options.peak_size),
        },
    )


if __name__ == "__main__":
    main()
