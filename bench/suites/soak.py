"""Keeps a service at 70 % of what it can do for half an hour, and weighs its processes."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import psutil

from bench.capacity import TIMEOUT_S, learn_pictures, make_kind, measure_capacity, run_in_loop
from bench.line import Lines
from bench.open_loop import describe_sent, draw_arrivals, send_on_time
from bench.processes import MIB, list_family, name_role
from bench.running_service import RunningService, watched_service
from bench.scope import Curve, Outcome, Scope
from bench.suites.load import CALLERS

LOAD = 0.7
SAMPLES = 120
"""Looks at the processes, evenly spread; never more than one a second."""

WARM_UP_SHARE = 1 / 6
"""Share of the time after which what a process holds is compared."""

FLAT = 0.05
"""A process is flat where it stays within this share of what it held at the end of the warm-up."""


@dataclass(frozen=True, slots=True)
class Sample:
    """What one process holds at one time.

    Attributes:
        minute: Since the begin.
        name: Role and number of the process.
        pid: Of the process.
        resident_mib: Its resident set.
        private_mib: Of it, what no other process shares.
        open_files: Descriptors.
    """

    minute: float
    name: str
    pid: int
    resident_mib: float
    private_mib: float
    open_files: int


def run(scope: Scope) -> Outcome:
    """Soak one service."""
    with watched_service() as service:
        facts, samples = run_in_loop(_soak(service, scope))
    return Outcome([], draw_samples(samples), facts, headline=tell_processes(facts))


async def _soak(service: RunningService, scope: Scope) -> tuple[dict[str, object], list[Sample]]:
    lines = Lines(service.url)
    kinds = await learn_pictures(lines, [make_kind(size) for size in scope.load_sizes_mp])
    lines.close()
    capacity = await measure_capacity(service, kinds, seconds=scope.load_s / 2)
    seconds = 60 * scope.soak_minutes
    arrivals = draw_arrivals(LOAD * capacity.per_s, seconds, capacity.shares, seed=1)
    lines = Lines(service.url, CALLERS)
    watching = asyncio.create_task(watch(service.pid, seconds))
    sent = await send_on_time(lines, kinds, arrivals, timeout_s=TIMEOUT_S)
    samples = await watching
    facts: dict[str, object] = {
        "minutes": scope.soak_minutes,
        "capacity": capacity.describe(),
        "load": LOAD,
        **describe_sent(sent, kinds, seconds=seconds),
        "surplus_bytes": lines.close(),
        "processes": describe_samples(samples, warm_up_minutes=scope.soak_minutes * WARM_UP_SHARE),
    }
    return facts, samples


async def watch(pid: int, seconds: float) -> list[Sample]:
    """Look at a family of processes now and then."""
    every_s = max(1.0, seconds / SAMPLES)
    begin_s = time.monotonic()
    samples: list[Sample] = []
    while (now_s := time.monotonic() - begin_s) < seconds:
        samples += look(pid, now_s / 60)
        await asyncio.sleep(every_s)
    return samples


def look(pid: int, minute: float) -> list[Sample]:
    """What every process of a family holds now; one that is just ending is left out."""
    samples: list[Sample] = []
    numbers: Counter[str] = Counter()
    for one in list_family(pid):
        try:
            process = psutil.Process(one)
            memory = process.memory_info()
            role = name_role(one)
            numbers[role] += 1
            samples.append(
                Sample(
                    minute,
                    f"{role} {numbers[role]}",
                    one,
                    memory.rss / MIB,
                    (memory.rss - memory.shared) / MIB,
                    process.num_fds(),
                )
            )
        except (psutil.NoSuchProcess, psutil.ZombieProcess):
            continue
    return samples


def describe_samples(
    samples: Sequence[Sample], *, warm_up_minutes: float
) -> dict[str, dict[str, object]]:
    """For each process: what it held when it was warm, how that went on, and restarts.

    Args:
        samples: In the order of time.
        warm_up_minutes: What came before does not count.

    Returns:
        By the name of the process: medians of the first and the last tenth, slope of a line of
        least squares, the largest deviation from the first median, and whether that is flat.
    """
    described: dict[str, dict[str, object]] = {}
    for name in dict.fromkeys(one.name for one in samples):
        own = [one for one in samples if one.name == name and one.minute >= warm_up_minutes]
        if len(own) < 2:
            continue
        described[name] = {
            "restarts": len({one.pid for one in own}) - 1,
            "open_files": [own[0].open_files, max(one.open_files for one in own)],
            "resident_mib": describe_trend([(one.minute, one.resident_mib) for one in own]),
            "private_mib": describe_trend([(one.minute, one.private_mib) for one in own]),
        }
    return described


def describe_trend(points: Sequence[tuple[float, float]]) -> dict[str, object]:
    """How a figure goes on.

    Args:
        points: Minutes and figures, in the order of time, at least two.

    Example:
        >>> describe_trend([(0.0, 100.0), (1.0, 100.0), (2.0, 103.0)])["is_flat"]
        True
    """
    minutes, values = np.array(points).T
    tenth = max(1, len(values) // 10)
    first, last = np.median(values[:tenth]), np.median(values[-tenth:])
    slope = np.polyfit(minutes, values, 1)[0] if np.ptp(minutes) else 0.0
    deviation = float(np.abs(values - first).max() / first) if first else 0.0
    drift = float((last - first) / first) if first else 0.0
    return {
        "first": round(float(first), 1),
        "last": round(float(last), 1),
        "least": round(float(values.min()), 1),
        "most": round(float(values.max()), 1),
        "slope_per_hour": round(float(slope) * 60, 2),
        "drift": round(drift, 4),
        "largest_deviation": round(deviation, 4),
        "is_flat": abs(drift) <= FLAT,
    }


def draw_samples(samples: Sequence[Sample]) -> list[Curve]:
    """Private memory, resident memory and open files of every process along the time."""
    curves = []
    for title, unit, field in (
        ("private memory", "MiB", "private_mib"),
        ("resident memory", "MiB", "resident_mib"),
        ("open files", "", "open_files"),
    ):
        points: dict[str, list[tuple[float, float]]] = {}
        for one in samples:
            figure = round(float(getattr(one, field)), 1)
            points.setdefault(one.name, []).append((round(one.minute, 3), figure))
        curves.append(Curve(title, unit, "minutes", points))
    return curves


def tell_processes(facts: dict[str, object]) -> str:
    """One line for each process."""
    lines = [f"  {facts['answered']} of {facts['sent']} answered, {facts['lost']} lost"]
    for name, found in facts["processes"].items():  # type: ignore[attr-defined]
        private = found["private_mib"]
        lines.append(
            f"  {name}: {private['first']} to {private['last']} MiB private, deviates by "
            f"{100 * private['largest_deviation']:.1f} %, {found['restarts']} restarts"
        )
    return "\n".join(lines)
