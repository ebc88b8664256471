"""Loads the service with 1 to 16 clients at once: requests a second, latency, memory.

What the machine allows is measured in the same round: as many processes as there are cores do the
stages at the same time, and nothing else. A service that costs nothing would reach that. What the
stages take while the other cores are idle is said too: less, for cores share a cache. The clients
share the cores with the service, as it is on one machine; what they take is said.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np

from bench.client import connect, make_form
from bench.measurement import OURS, Measurement, describe_values
from bench.processes import NO_MEMORY, Memory, read_family_core_time, watch_memory
from bench.running_service import RunningService, watched_service
from bench.scenes import SAMPLE, Scene, take_photographs
from bench.scope import Curve, Outcome, Scope
from bench.stages import measure_stages, open_pipeline, stage_processes
from bench.timing import Cost, count_cores

ALLOWED = "what the stages allow"
WARM_UP_REQUESTS = 2


@dataclass(slots=True)
class Load:
    """What came of so many clients in each round.

    Attributes:
        costs: Of one request: seconds between answers, core seconds of the service.
        allowed: Of one request, were there nothing but its stages on every core.
        idle_core_s: Core seconds of its stages while nothing else runs.
        latencies_s: Of every request of all rounds.
        queued_s: Likewise, what it waited for the device.
        client_core_s: Core seconds of the clients, for one request.
        answers_differ: Not every answer was the same picture.
        peak: Of all processes of the service.
    """

    costs: list[Cost] = field(default_factory=list)
    allowed: list[Cost] = field(default_factory=list)
    idle_core_s: list[float] = field(default_factory=list)
    latencies_s: list[float] = field(default_factory=list)
    queued_s: list[float] = field(default_factory=list)
    client_core_s: list[float] = field(default_factory=list)
    answers_differ: bool = False
    peak: Memory = NO_MEMORY


def run(scope: Scope) -> Outcome:
    """Load one service with every number of clients, in rounds."""
    scene = take_photographs(SAMPLE)
    loads = {clients: Load() for clients in scope.clients}
    pipeline, files = open_pipeline(scope.weights_dir), scene.encode()
    measure_stages(files, pipeline)
    with (
        stage_processes(files, scope.weights_dir, count=count_cores()) as do_stages,
        watched_service() as service,
    ):
        send_all(service, scene, clients=1, requests=WARM_UP_REQUESTS, load=Load())
        for _ in range(scope.load_rounds):
            for clients, load in loads.items():
                load.allowed.append(do_stages(scope.requests))
                stages = measure_stages(files, pipeline)
                load.idle_core_s.append(sum(cost.cpu_s for cost in stages.values()))
                send_all(service, scene, clients=clients, requests=scope.requests, load=load)
        for clients, load in loads.items():
            with watch_memory(service.pid) as peak:
                send_all(service, scene, clients=clients, requests=1, load=Load())
            load.peak = peak.memory
    measurements = [describe_load(clients, load, scene) for clients, load in loads.items()]
    return Outcome(measurements, draw_loads(loads), {"requests_per_client": scope.requests})


def send_all(
    service: RunningService, scene: Scene, *, clients: int, requests: int, load: Load
) -> None:
    """Have every client send its requests, and add to what is known of that load.

    Args:
        service: What they are sent to.
        scene: What each of them sends.
        clients: How many at once, each with a connection of its own.
        requests: Of each.
        load: What is added to.
    """
    form = make_form(scene.encode())

    def send(_: int) -> set[bytes]:
        pictures: set[bytes] = set()
        with connect(service.url) as client:
            for _ in range(requests):
                begin_s = time.perf_counter()
                answer = client.fuse(form)
                load.latencies_s.append(time.perf_counter() - begin_s)
                load.queued_s.append(answer.stages_s["queue"])
                pictures.add(answer.picture)
        return pictures

    with ThreadPoolExecutor(clients) as pool:
        core_s, own_s = read_family_core_time(service.pid), time.process_time()
        begin_s = time.perf_counter()
        pictures = set().union(*pool.map(send, range(clients)))
        wall_s = time.perf_counter() - begin_s
    sent = clients * requests
    core_s = read_family_core_time(service.pid) - core_s
    load.costs.append(Cost(wall_s / sent, core_s / sent))
    load.client_core_s.append((time.process_time() - own_s) / sent)
    load.answers_differ |= len(pictures) > 1


def describe_load(clients: int, load: Load, scene: Scene) -> Measurement:
    """One number of clients."""
    facts: dict[str, object] = {
        "clients": clients,
        "requests_per_s": describe_values([1 / cost.wall_s for cost in load.costs]),
        "share_of_allowed": describe_values(
            [
                allowed.wall_s / cost.wall_s
                for cost, allowed in zip(load.costs, load.allowed, strict=True)
            ]
        ),
        "share_of_allowed_by_idle_stages": describe_values(
            [
                core_s / count_cores() / cost.wall_s
                for cost, core_s in zip(load.costs, load.idle_core_s, strict=True)
            ]
        ),
        "latency_s": describe_quantiles(load.latencies_s),
        "queue_s": describe_quantiles(load.queued_s),
        "client_core_s_per_request": describe_values(load.client_core_s),
        "load_average": os.getloadavg()[0],
        "answers_differ": load.answers_differ,
    }
    name = f"{clients} {'client' if clients == 1 else 'clients'}"
    rounds = {OURS: load.costs, ALLOWED: load.allowed}
    return scene.describe(name, rounds, facts, peaks={OURS: load.peak})


def describe_quantiles(values: Sequence[float]) -> dict[str, float]:
    """Median, tails and extremes."""
    p50, p95, p99 = np.percentile(values, [50, 95, 99])
    named = {"p50": p50, "p95": p95, "p99": p99, "min": min(values), "max": max(values)}
    return {name: round(float(value), 4) for name, value in named.items()}


def draw_loads(loads: dict[int, Load]) -> list[Curve]:
    """Requests a second, latency and peak memory along the number of clients."""

    def rate(costs: Sequence[Cost]) -> float:
        return float(np.median([1 / cost.wall_s for cost in costs]))

    each = [(float(clients), load) for clients, load in loads.items()]
    served = [(clients, rate(load.costs)) for clients, load in each]
    allowed = [(clients, rate(load.allowed)) for clients, load in each]
    waited = [(clients, float(np.median(load.latencies_s))) for clients, load in each]
    held = [(clients, load.peak.mib) for clients, load in each]
    return [
        Curve("requests a second", "1/s", "clients", {OURS: served, ALLOWED: allowed}),
        Curve("latency, median", "s", "clients", {OURS: waited}),
        Curve("peak memory of all processes", "MiB", "clients", {OURS: held}),
    ]
