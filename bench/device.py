"""Says what a GPU does during one fusion: kernel by kernel, beside what it can copy at all.

The device's time is the profiler's, summed over its streams: what is copied while something else is
computed counts twice in the sum, and not in the seconds of the wall beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from time import perf_counter
from typing import NamedTuple

import numpy as np
import torch
from torch.profiler import ProfilerActivity, profile

from bench.measurement import OURS, describe_costs, describe_ratios, run_rounds, shorten
from bench.roofline import count_work
from bench.scenes import take_still
from model.blend.levels import plan_levels, size_at
from model.blend.pipeline import BlendPipeline, Engine
from model.blend.torch_engine import TorchEngine
from model.blend.torch_fused import FusedEngine
from model.blend.torch_network import BlendNetwork
from model.exposure import ExposureStack
from model.kernels.grids import Launcher
from model.torch_kernels import open_kernels

GOALS_MS = {8.3: 2.0, 12.0: 6.0}
"""Device time of a pair of so many megapixels, from uint8 to uint8, that is aimed at."""

COPY_BYTES = 2**28
TIMES = 10
ROUNDS = 6
NO_GRAPHS = "expofuse, kernels one by one"
OPERATIONS = "torch's own operations"
TO_DEVICE, TO_HOST = "Memcpy HtoD", "Memcpy DtoH"


class Share(NamedTuple):
    """What of a device's time went into one kernel or kind of copy."""

    name: str
    calls: int
    ms: float


def find_launcher(device: torch.device) -> Launcher | None:
    """What computes the kernels on a device; None where only torch's own operations are there."""
    return open_kernels(device) if device.type == "cuda" else None


def measure_pairs(network: BlendNetwork, device: torch.device) -> dict[str, object]:
    """Measure pairs of the sizes that have a goal, kernel by kernel and beside other ways.

    Args:
        network: In evaluation mode.
        device: Where to compute; on a CPU there is no profile.
    """
    launcher = find_launcher(device)
    roof = measure_roof(device)
    pairs = {
        f"{megapixels:g} MP": measure_pair(
            network, device, launcher, take_still(megapixels, 2).exposures, goal_ms, roof
        )
        for megapixels, goal_ms in GOALS_MS.items()
    }
    return {"roof_gb_per_s": roof, "pairs": pairs}


def measure_pair(
    network: BlendNetwork,
    device: torch.device,
    launcher: Launcher | None,
    exposures: Iterable[np.ndarray],
    goal_ms: float,
    roof: Mapping[str, float],
) -> dict[str, object]:
    """See `measure_pairs`; one pair."""
    stack = ExposureStack.from_images(list(exposures))
    engines = make_engines(network, device, launcher)
    fuse = {name: partial(BlendPipeline(one).fuse, stack) for name, one in engines.items()}
    for work in fuse.values():
        # once as it comes first, once to capture
        for _ in range(2):
            work()
    rounds = run_rounds(fuse, repeats=ROUNDS)
    first = next(iter(fuse.values()))
    shares = profile_device(first, device)
    pixels = stack.height * stack.width
    return {
        "width": stack.width,
        "height": stack.height,
        "rounds": {name: describe_costs(costs) for name, costs in rounds.items()},
        "ratios": describe_ratios(rounds),
        "look_ms": measure_look(network, device, launcher, stack),
        "peak_device_mib": measure_peak(first, device),
        **(
            {}
            if not shares
            else describe_shares(
                shares,
                goal_ms=goal_ms,
                least_bytes=count_work(stack.height, stack.width, 2, network.config).bytes,
                # both exposures reduced and blended, the picture written
                moved_bytes=float(3 * pixels * (2 * 2 + 1)),
                roof=roof,
            )
        ),
    }


def make_engines(
    network: BlendNetwork, device: torch.device, launcher: Launcher | None
) -> dict[str, Engine]:
    """The ways to compute the passes on one device, ours first."""
    engines: dict[str, Engine] = {}
    if launcher is not None:
        engines[OURS] = FusedEngine(network, launcher=launcher, device=device)
        engines[NO_GRAPHS] = FusedEngine(network, launcher=launcher, device=device, most_graphs=0)
    engines[OPERATIONS] = TorchEngine(network, device=device)
    return engines


def measure_look(
    network: BlendNetwork, device: torch.device, launcher: Launcher | None, stack: ExposureStack
) -> dict[str, float]:
    """Milliseconds of everything at and above the reduced level, by the wall, in each way."""
    if launcher is None:
        return {}
    levels = plan_levels(stack.height, stack.width, network_side_px=network.config.network_side_px)
    size = size_at(stack.height, stack.width, levels.reduction)
    found = {}
    for name, most_graphs, layout in (
        ("graph", 1, torch.contiguous_format),
        ("one by one", 0, torch.contiguous_format),
        ("graph, channels last", 1, torch.channels_last),
    ):
        engine = FusedEngine(network, launcher=launcher, device=device, most_graphs=most_graphs)
        engine.network.to(memory_format=layout)
        with torch.inference_mode(), engine.graphs.computing():
            reduced = torch.rand((3 * len(stack), *size), device=device)
            work = partial(engine.look, reduced, levels)
            for _ in range(2):
                work()
            found[name] = time_device(work, device)
    return found


def measure_roof(device: torch.device) -> dict[str, float]:
    """Gigabytes a second that the device copies within itself, and from and to the host."""
    is_cuda = device.type == "cuda"
    here = torch.zeros(COPY_BYTES, dtype=torch.uint8, device=device)
    there = torch.zeros_like(here)
    host = torch.zeros(COPY_BYTES, dtype=torch.uint8, pin_memory=is_cuda)
    copies = {
        "within the device, read and written": (2, there, here),
        "from the host": (1, here, host),
        "to the host": (1, host, here),
    }
    return {
        name: shorten(
            COPY_BYTES
            * factor
            / 1e6
            / time_device(partial(into.copy_, source, non_blocking=True), device)
        )
        for name, (factor, into, source) in copies.items()
    }


def time_device(work: Callable[[], object], device: torch.device) -> float:
    """Milliseconds of one turn of work that is given to the caller's stream several times."""
    work()
    _wait(device)
    begin = perf_counter()
    for _ in range(TIMES):
        work()
    _wait(device)
    return shorten(1000 * (perf_counter() - begin) / TIMES)


def profile_device(work: Callable[[], object], device: torch.device) -> list[Share] | None:
    """What the device did in one turn of work, the longest first; None on a CPU.

    Nothing where the system does not let it be watched.
    """
    if device.type != "cuda":
        return None
    for _ in range(2):
        # The first time the profiler sets itself up.
        with profile(activities=[ProfilerActivity.CUDA]) as profiled:
            work()
            _wait(device)
    shares = [
        Share(one.key, one.count, one.self_device_time_total / 1000)
        for one in profiled.key_averages()
        if one.self_device_time_total > 0
    ]
    return sorted(shares, key=lambda share: -share.ms)


def describe_shares(
    shares: Iterable[Share],
    *,
    goal_ms: float,
    least_bytes: float,
    moved_bytes: float,
    roof: Mapping[str, float],
) -> dict[str, object]:
    """Sum a profile up, beside the goal and the roof.

    Args:
        shares: Of the device's time.
        goal_ms: Computed from uint8 to uint8 on the device.
        least_bytes: What no fusion can do without: exposures read once, the picture written.
        moved_bytes: What ours moves of them: exposures read twice.
        roof: See `measure_roof`.

    Example:
        >>> found = describe_shares(
        ...     [Share("blend", 1, 1.5), Share("Memcpy HtoD (Pinned -> Device)", 2, 1.0)],
        ...     goal_ms=2.0, least_bytes=75e6, moved_bytes=150e6,
        ...     roof={"within the device, read and written": 1000.0},
        ... )
        >>> found["computed_ms"], found["to_device_ms"], found["is_within_goal"]
        (1.5, 1.0, True)
        >>> found["moved_gb_per_s"], found["share_of_copy"]
        (100.0, 0.1)
    """
    shares = list(shares)
    to_device, to_host = (
        sum(share.ms for share in shares if share.name.startswith(kind))
        for kind in (TO_DEVICE, TO_HOST)
    )
    busy = sum(share.ms for share in shares)
    computed = busy - to_device - to_host
    moved = moved_bytes / 1e6 / computed
    copied = roof["within the device, read and written"]
    return {
        "goal_ms": goal_ms,
        "computed_ms": shorten(computed),
        "is_within_goal": computed < goal_ms,
        "to_device_ms": shorten(to_device),
        "to_host_ms": shorten(to_host),
        "busy_ms": shorten(busy),
        "least_gb_per_s": shorten(least_bytes / 1e6 / computed),
        "moved_gb_per_s": shorten(moved),
        "share_of_copy": shorten(moved / copied),
        "kernels": [{**share._asdict(), "ms": shorten(share.ms)} for share in shares],
    }


def measure_peak(work: Callable[[], object], device: torch.device) -> float | None:
    """Most mebibytes of the device that torch gave out in one turn of work; None on a CPU."""
    if device.type != "cuda":
        return None
    torch.cuda.reset_peak_memory_stats(device)
    work()
    return shorten(torch.cuda.max_memory_allocated(device) / 2**20)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
