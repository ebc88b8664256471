"""Sends a mix of small and large pairs at 0.5 to 3 times what the service can do, by a clock.

Arrivals follow a Poisson process and wait for nobody. Capacity is measured before, in a closed
loop, in the same run. Then small requests are sent alone and beside eight clients with larger
ones, in turn. The clients share the cores with the service; what they take of them is said.
"""

from __future__ import annotations

import asyncio
import functools
import operator
import time
from collections.abc import Mapping
from statistics import median

from bench.capacity import (
    TIMEOUT_S,
    Capacity,
    learn_pictures,
    load_closed,
    make_kind,
    measure_capacity,
    run_in_loop,
)
from bench.line import Lines, LostError
from bench.measurement import describe_values
from bench.open_loop import OK, Kind, describe_sent, draw_arrivals, quantiles, send_on_time
from bench.processes import read_family_core_time
from bench.running_service import RunningService, watched_service
from bench.scope import Curve, Outcome, Scope

CALLERS = range(40)
"""Numbers of the addresses that open-loop load comes from, in turn."""

WARM_UP_SHARE = 1 / 6
LARGE_CLIENTS = 8
SMALL_CALLER = 100
NEIGHBOUR_REQUESTS = 20
NEIGHBOUR_S, LEAST_NEIGHBOURS = 40.0, 5
"""A round of small requests ends after so many seconds, with so many of them at least."""

TIMES_CAPACITY = "times capacity"


def run(scope: Scope) -> Outcome:
    """Measure capacity, every level, and small requests beside large ones."""
    with watched_service() as service:
        facts = run_in_loop(_measure(service, scope))
    levels: list[dict[str, object]] = facts["levels"]  # type: ignore[assignment]
    return Outcome([], draw_levels(levels), facts, headline=tell_levels(facts))


async def _measure(service: RunningService, scope: Scope) -> dict[str, object]:
    lines = Lines(service.url)
    kinds = await learn_pictures(lines, [make_kind(size) for size in scope.load_sizes_mp])
    lines.close()
    capacity = await measure_capacity(service, kinds, seconds=scope.load_s / 2)
    levels = [
        await run_level(service, kinds, capacity, times=times, scope=scope)
        for times in scope.load_levels
    ]
    small, large = (make_kind(size, "&align=off") for size in scope.load_sizes_mp[:2])
    return {
        "capacity": capacity.describe(),
        "level_s": scope.load_s,
        "levels": levels,
        "small_beside_large": await measure_neighbours(
            service, small, kinds[large.name], rounds=scope.neighbour_rounds
        ),
    }


async def run_level(
    service: RunningService,
    kinds: Mapping[str, Kind],
    capacity: Capacity,
    *,
    times: float,
    scope: Scope,
) -> dict[str, object]:
    """One level of load; its first part, in which queues fill, does not count.

    Args:
        service: Warm.
        kinds: What is sent, by name.
        capacity: What the service can do.
        times: Load over capacity.
        scope: Says how long.
    """
    warm_up_s = scope.load_s * WARM_UP_SHARE
    whole_s = warm_up_s + scope.load_s
    seed = round(100 * times)
    arrivals = draw_arrivals(times * capacity.per_s, whole_s, capacity.shares, seed)
    lines = Lines(service.url, CALLERS)
    service_s, own_s = read_family_core_time(service.pid), time.process_time()
    sent = await send_on_time(lines, kinds, arrivals, timeout_s=TIMEOUT_S)
    own_s = time.process_time() - own_s
    service_s = read_family_core_time(service.pid) - service_s
    counted = [one for one in sent if one.due_s >= warm_up_s]
    return {
        "times_capacity": times,
        **describe_sent(counted, kinds, seconds=scope.load_s),
        "client_share_of_core_time": round(own_s / (own_s + service_s), 4),
        "surplus_bytes": lines.close(),
    }


async def measure_neighbours(
    service: RunningService, small: Kind, large: Kind, *, rounds: int
) -> dict[str, object]:
    """Small requests one after the other, alone and beside clients with large ones, in turn.

    Args:
        service: Warm.
        small: What is looked at.
        large: What eight clients send, each of an address of its own, as fast as it is answered.
        rounds: Of both.
    """
    lines = Lines(service.url, range(SMALL_CALLER, SMALL_CALLER + 1))
    alone: list[list[float]] = []
    beside: list[list[float]] = []
    refused = 0
    for _ in range(rounds):
        seconds, _ = await _time_small(lines, small)
        alone.append(seconds)
        neighbours = asyncio.create_task(
            load_closed(
                service.url, {large.name: large}, {large.name: 1.0}, clients=LARGE_CLIENTS,
                seconds=3600.0,
            )
        )  # fmt: skip
        await asyncio.sleep(2 * median(seconds) * LARGE_CLIENTS)
        seconds, refusals = await _time_small(lines, small)
        beside.append(seconds)
        refused += refusals
        neighbours.cancel()
        await asyncio.gather(neighbours, return_exceptions=True)
    lines.close()
    ratios = [median(two) / median(one) for one, two in zip(alone, beside, strict=True) if two]
    return {
        "small": f"{small.name}, align=off",
        "large": f"{LARGE_CLIENTS} clients with {large.name}",
        "alone_s": quantiles(functools.reduce(operator.iadd, alone, [])),
        "beside_s": quantiles(functools.reduce(operator.iadd, beside, [])),
        "refused_beside": refused,
        "ratio_of_medians": describe_values(ratios) if ratios else None,
        "ratio_of_p95": describe_values(
            [
                quantiles(two)["p95"] / quantiles(one)["p95"]  # type: ignore[index]
                for one, two in zip(alone, beside, strict=True)
                if two
            ]
        )
        if ratios
        else None,
    }


async def _time_small(lines: Lines, small: Kind) -> tuple[list[float], int]:
    """Latencies of requests that were answered, and how many were not."""
    seconds: list[float] = []
    refused = 0
    end_s = time.monotonic() + NEIGHBOUR_S
    for number in range(NEIGHBOUR_REQUESTS):
        begin_s = time.monotonic()
        if begin_s > end_s and number >= LEAST_NEIGHBOURS:
            break
        try:
            reply = await lines.ask(small.request, timeout_s=TIMEOUT_S)
        except LostError:
            refused += 1
            continue
        if reply.status == OK:
            seconds.append(time.monotonic() - begin_s)
        else:
            refused += 1
            await asyncio.sleep(1.0)
    return seconds, refused


def draw_levels(levels: list[dict[str, object]]) -> list[Curve]:
    """Goodput, latency and sheds along the load."""
    rates: dict[str, list[tuple[float, float]]] = {}
    megapixels: list[tuple[float, float]] = []
    latencies: dict[str, list[tuple[float, float]]] = {}
    sheds: list[tuple[float, float]] = []
    for level in levels:
        times = float(level["times_capacity"])  # type: ignore[arg-type]
        rates.setdefault("answered", []).append((times, level["goodput_per_s"]))  # type: ignore[arg-type]
        rates.setdefault("sent", []).append((times, level["offered_per_s"]))  # type: ignore[arg-type]
        megapixels.append((times, level["goodput_megapixels_per_s"]))  # type: ignore[arg-type]
        sheds.append((times, 100 * level["refused"] / max(1, level["sent"])))  # type: ignore[operator, call-overload]
        for kind, found in level["latency_by_kind_s"].items():  # type: ignore[attr-defined]
            for rank in ("p50", "p99"):
                if found is not None:
                    latencies.setdefault(f"{kind}, {rank}", []).append((times, found[rank]))
    curves = [
        Curve("requests", "1/s", TIMES_CAPACITY, rates),
        Curve("goodput", "MP/s", TIMES_CAPACITY, {"answered": megapixels}),
        Curve("refused", "%", TIMES_CAPACITY, {"503": sheds}),
    ]
    return [*curves, Curve("latency", "s", TIMES_CAPACITY, latencies)] if latencies else curves


def tell_levels(facts: Mapping[str, object]) -> str:
    """One line for each level."""
    lines = []
    for level in facts["levels"]:  # type: ignore[attr-defined]
        latency = level["latency_s"] or {"p50": float("nan"), "p99": float("nan")}
        lines.append(
            f"  {level['times_capacity']:g} times: {level['goodput_per_s']:.2f} of "
            f"{level['offered_per_s']:.2f} a second, p50 {latency['p50']:.2f} s, "
            f"p99 {latency['p99']:.2f} s, {level['refused']} refused, {level['lost']} lost"
        )
    return "\n".join(lines)
