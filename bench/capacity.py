"""What a service can do: pairs of several sizes, the work of each, and a mix of them per second."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
import uvloop

from bench.client import QUERY, make_form
from bench.line import Lines, LostError, make_request
from bench.open_loop import OK, Asker, Kind, share_by_work
from bench.processes import read_family_core_time
from bench.running_service import RunningService
from bench.scenes import take_still

Result = TypeVar("Result")

TIMEOUT_S = 120.0
WARM_UP_REQUESTS = 2
COST_REQUESTS = 4
CLIENTS = 8
"""At once, each of an address of its own, when capacity is measured: enough that no core waits."""

LOST = 0
BACK_OFF_S = 0.2
"""What a client in a closed loop waits when it is refused."""


@dataclass(frozen=True, slots=True)
class Capacity:
    """What a service can do.

    Attributes:
        per_s: Requests of the mix that it answers in a second, sent in a closed loop.
        shares: How often each kind comes in the mix, so that all make the same work.
        core_s: Core seconds of the service that one request of each kind takes alone.
        client_share: Core seconds of the clients over those of clients and service.
    """

    per_s: float
    shares: dict[str, float]
    core_s: dict[str, float]
    client_share: float

    def describe(self) -> dict[str, object]:
        """As a record holds it."""
        return {
            "requests_per_s": round(self.per_s, 3),
            "shares": {name: round(share, 4) for name, share in self.shares.items()},
            "core_s_per_request": {name: round(cost, 4) for name, cost in self.core_s.items()},
            "client_share_of_core_time": round(self.client_share, 4),
        }


def run_in_loop(work: Awaitable[Result]) -> Result:
    """Run in an event loop that costs little."""

    async def wait() -> Result:
        return await work

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(wait())


def make_kind(megapixels: float, options: str = "") -> Kind:
    """A pair at rest.

    Args:
        megapixels: Of each exposure.
        options: More of the query, as `&align=off`.
    """
    scene = take_still(megapixels)
    request = make_request(make_form(scene.encode()), target=QUERY + options)
    return Kind(f"{megapixels:g} MP", request, scene.width * scene.height / 1e6)


async def learn_pictures(asker: Asker, kinds: Sequence[Kind]) -> dict[str, Kind]:
    """Send each kind alone, twice; its picture is what every later answer must be.

    Raises:
        RuntimeError: There was another answer than a picture.
    """
    learnt: dict[str, Kind] = {}
    for kind in kinds:
        for _ in range(WARM_UP_REQUESTS):
            reply = await asker.ask(kind.request, timeout_s=TIMEOUT_S)
            if reply.status != OK:
                raise RuntimeError(f"expected a picture, got {reply.status}: {reply.content!r}")
        learnt[kind.name] = replace(kind, picture=reply.content)
    return learnt


async def measure_capacity(
    service: RunningService, kinds: Mapping[str, Kind], *, seconds: float
) -> Capacity:
    """Weigh every kind alone, then have clients send the mix as fast as they are answered.

    Args:
        service: Warm.
        kinds: By name, warm too.
        seconds: How long.
    """
    lines = Lines(service.url)
    core_s = {name: await weigh(service, lines, kind) for name, kind in kinds.items()}
    lines.close()
    shares = share_by_work(core_s)
    service_s, own_s = read_family_core_time(service.pid), time.process_time()
    begin_s = time.monotonic()
    answers = await load_closed(service.url, kinds, shares, clients=CLIENTS, seconds=seconds)
    wall_s = time.monotonic() - begin_s
    own_s = time.process_time() - own_s
    service_s = read_family_core_time(service.pid) - service_s
    return Capacity(answers[OK] / wall_s, shares, core_s, own_s / (own_s + service_s))


async def weigh(service: RunningService, asker: Asker, kind: Kind) -> float:
    """Core seconds of the service that a request takes when it is alone."""
    begin_s = read_family_core_time(service.pid)
    for _ in range(COST_REQUESTS):
        await asker.ask(kind.request, timeout_s=TIMEOUT_S)
    return (read_family_core_time(service.pid) - begin_s) / COST_REQUESTS


async def load_closed(
    url: str,
    kinds: Mapping[str, Kind],
    shares: Mapping[str, float],
    *,
    clients: int,
    seconds: float,
) -> Counter[int]:
    """Clients that each send a request when the one before is answered.

    Args:
        url: Of the service.
        kinds: By name.
        shares: How often each comes.
        clients: How many, each of an address of its own.
        seconds: After which no more are sent.

    Returns:
        How many answers came with each status; `LOST` for none.
    """
    answers: Counter[int] = Counter()
    end_s = time.monotonic() + seconds

    async def send(number: int) -> None:
        rng = np.random.default_rng(number)
        lines = Lines(url, range(number, number + 1))
        while time.monotonic() < end_s:
            kind = kinds[str(rng.choice(list(shares), p=list(shares.values())))]
            try:
                status = (await lines.ask(kind.request, timeout_s=TIMEOUT_S)).status
            except LostError:
                status = LOST
            answers[status] += 1
            if status != OK:
                await asyncio.sleep(BACK_OFF_S)
        lines.close()

    await asyncio.gather(*map(send, range(clients)))
    return answers
