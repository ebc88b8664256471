"""Runs every test that needs a GPU, then times fusion on it, beside MergeMertens on the CPU.

For a machine that is lent for minutes: one command, bounded in time, that writes what it found to
`bench/results`. A picture goes from uint8 in the host's memory to uint8 in the host's memory; what
the device did in between is the profiler's, see `bench.device`. From the repository root:

    make gpu-check
    python -m bench.gpu_check [--device cuda:0] [--repeats 10] [--out FOLDER]
"""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import cv2
import torch

from bench.device import measure_pairs, profile_device
from bench.gpu_files import RECORD, measure_files
from bench.measurement import OURS, describe_costs, describe_ratios, run_rounds
from bench.repository import ROOT
from bench.scenes import take_still
from bench.timing import write_record
from model.blend.torch_network import BlendNetwork
from model.device import resolve_device
from model.exposure import ExposureStack
from model.release.torch_networks import build_loaded
from model.release.weights import load_weights
from model.torch_pipeline import create_torch_pipeline

WEIGHTS = ("pyramid-blend-2.1.0", "hyperp-mb-1.1.0")
SIZES_MP = (8.3, 12.0)
"""A frame of 4K, and a photograph."""

COUNTS = (2, 5)
MERTENS = "opencv MergeMertens, CPU"
TESTS = (
    "tests/model",
    "tests/service/device",
    "tests/service/codec",
    "tests/expofuse/files/test_device_jpeg.py",
    "tests/trainer/run",
    "tests/bench/test_device.py",
)
"""Where tests are marked `gpu`: to collect all there are takes a minute."""

TESTS_TIMEOUT_S, REPORT_TIMEOUT_S = 240.0, 15.0
"""For the tests; and then for the report on those that were done."""

PRECISION = "float16"


def run_tests(out: Path) -> int:
    """Run the tests marked `gpu`; their report is `gpu-tests.xml`.

    Where they take too long they are interrupted, and the report says of what was done until then:
    pytest writes it as it ends, and one that is killed writes none.

    Returns:
        pytest's exit status; 124 where they took too long.
    """
    command = [sys.executable, "-m", "pytest", "-m", "gpu", "-q", *TESTS]
    command.append(f"--junit-xml={out / 'gpu-tests.xml'}")
    with subprocess.Popen(command, cwd=ROOT) as tests:
        try:
            return tests.wait(TESTS_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            tests.send_signal(signal.SIGINT)
        try:
            tests.wait(REPORT_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            tests.kill()
    return 124


def measure_weights(
    name: str, *, device: str, sizes_mp: Sequence[float], repeats: int
) -> dict[str, object]:
    """Time one version at every size, and stacks where it takes any.

    Args:
        name: Folder of `weights/`.
        device: `cuda:N`; `cpu` runs the same code by torch's CPU.
        sizes_mp: Megapixels of an exposure.
        repeats: Counted rounds.
    """
    weights = load_weights(ROOT / "weights" / name)
    rule = weights.manifest.chroma
    pipeline = create_torch_pipeline(weights, device=device, precision=PRECISION, rule=rule)
    most = weights.manifest.accepted_exposures[1]
    record: dict[str, object] = {}
    for megapixels in sizes_mp:
        for count in (count for count in COUNTS if count <= most):
            scene = take_still(megapixels, count)
            stack = ExposureStack.from_images(scene.exposures)
            ours = partial(pipeline.fuse, stack)
            ways: dict[str, Callable[[], object]] = {
                OURS: ours,
                MERTENS: partial(cv2.createMergeMertens().process, list(stack.exposures)),
            }
            rounds = run_rounds(ways, repeats=repeats)
            record[f"{count} of {megapixels:g} MP"] = {
                "source": scene.source,
                "rounds": {way: describe_costs(costs) for way, costs in rounds.items()},
                "ratios": describe_ratios(rounds),
                "device_busy_ms": measure_busy(ours, device),
            }
    return record


def measure_busy(work: Callable[[], object], device: str) -> float | None:
    """Milliseconds that the device computed and copied in one run; None on a CPU."""
    shares = profile_device(work, torch.device(device))
    return None if shares is None else round(sum(share.ms for share in shares), 3)


def measure_kernels(device: str) -> dict[str, object]:
    """What the device does while the default version fuses pairs, see `bench.device`."""
    network = build_loaded(load_weights(ROOT / "weights" / WEIGHTS[0]))
    assert isinstance(network, BlendNetwork)
    return measure_pairs(network, torch.device(device))


FURTHER: dict[str, Callable[[str], dict[str, object]]] = {"kernels": measure_kernels}
"""Everything else that is measured on a device, by its name in the record. What is added here is
given the device's name and returns what JSON takes; all of them together have a minute."""


def attempt(work: Callable[[], dict[str, object]]) -> dict[str, object]:
    """What is measured, or why it could not be: the minutes of the rest are not lost with it."""
    try:
        return work()
    except Exception as error:
        traceback.print_exc()
        return {"failed": f"{type(error).__name__}: {error}"}


def main(arguments: list[str] | None = None) -> int:
    """Test, measure, write; the exit status is that of the tests, or 1 if a measurement failed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--device", default="cuda:0")
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--out", type=Path, default=ROOT / "bench" / "results")
    options = parser.parse_args(arguments)
    device = resolve_device(options.device)
    options.out.mkdir(parents=True, exist_ok=True)
    status = run_tests(options.out)
    named = torch.cuda.get_device_name(device) if device != "cpu" else device
    # the shortest first
    further = {name: attempt(partial(work, device)) for name, work in FURTHER.items()}
    sizes = {"device": device, "sizes_mp": SIZES_MP, "repeats": options.repeats}
    measured = {name: attempt(partial(measure_weights, name, **sizes)) for name in WEIGHTS}
    record = {"device": named, "tests_exit_status": status, **further, "weights": measured}
    write_record(options.out / "gpu.json", record)
    if device != "cpu":
        write_record(options.out / RECORD, attempt(partial(measure_files, device)))
    has_failed = any("failed" in one for one in (*further.values(), *measured.values()))
    return status or int(has_failed)


if __name__ == "__main__":
    sys.exit(main())
