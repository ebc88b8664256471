"""Measure what a megapixel costs by each network of the study of other networks.

Every network fuses the lightness of one megapixel by torch on one thread, in a process of its own:
DenseFuse's shape whole, the others in the windows in which the evaluation runs them. Parameters are
random, which costs the same. From the repository root:

    python -m bench.other_networks [--rounds 3] [--out bench/results/other-networks.json]
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path

import torch

from bench.processes import read_own_mib, reset_own_peak
from bench.repository import ROOT
from bench.timing import measure, write_record
from model.manifest import NetworkConfig
from trainer.peers.definition import TransMefConfig, U2FusionConfig
from trainer.peers.networks import TrainedNetwork, build_trained
from trainer.peers.peer import PeerNetwork, count_parameters
from trainer.peers.pictures import fuse_planes

DEFAULT_RESULT = ROOT / "bench" / "results" / "other-networks.json"
CONFIGS = {
    "densefuse": NetworkConfig(encoders="tied", feature_fusion="sum"),
    "transmef": TransMefConfig(),
    "u2fusion": U2FusionConfig(),
}
SIDE_PX = 1000


def measure_network(name: str, rounds: int) -> dict[str, object]:
    """Fuse a megapixel several times in this process, after one that does not count."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    network = build_trained(CONFIGS[name]).eval()
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    planes = 100 * torch.rand(2, 1, 1, SIDE_PX, SIDE_PX)
    idle_mib = read_own_mib("VmRSS")
    reset_own_peak()
    with torch.inference_mode():
        fuse(network, planes)
        peak_mib = read_own_mib("VmHWM")
        costs = [measure(lambda: fuse(network, planes))[1] for _ in range(rounds)]
    return {
        "parameters": count_parameters(network),
        "wall_s": round(statistics.median(cost.wall_s for cost in costs), 2),
        "cpu_s": round(statistics.median(cost.cpu_s for cost in costs), 2),
        "memory_mib": round(peak_mib - idle_mib),
    }


def fuse(network: TrainedNetwork, planes: torch.Tensor) -> torch.Tensor:
    """Fuse two lightness planes, shape (2, 1, 1, H, W)."""
    if isinstance(network, PeerNetwork):
        return fuse_planes(network, planes[0], planes[1])
    fused: torch.Tensor = network(planes[0], planes[1])
    return fused


def main() -> None:
    """Measure each network in a process of its own and write the result."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", choices=CONFIGS, help="measure one here, and write nothing")
    parser.add_argument("--out", type=Path, default=DEFAULT_RESULT)
    options = parser.parse_args()
    if options.only:
        print(json.dumps(measure_network(options.only, options.rounds)))
        return
    found = {}
    for name in CONFIGS:
        command = [sys.executable, "-m", "bench.other_networks", "--only", name]
        command += ["--rounds", str(options.rounds)]
        ended = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
        found[name] = json.loads(ended.stdout)
    write_record(options.out, {"megapixels": SIDE_PX**2 / 1e6, "threads": 1, "networks": found})


if __name__ == "__main__":
    main()
