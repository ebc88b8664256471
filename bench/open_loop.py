"""Open-loop load: requests are sent when a clock says so, whether or not others were answered.

The latency of a request counts from the moment at which it was due, not from when it was sent: a
client that is late, or a service that holds it up, cannot hide a wait (coordinated omission).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from bench.line import LostError, Reply

OK = 200
REFUSED = 503


@dataclass(frozen=True, slots=True)
class Kind:
    """What is sent.

    Attributes:
        name: As a record calls it.
        request: See `bench.line.make_request`.
        megapixels: Of one exposure.
        picture: The answer that it must get; None where any will do.
    """

    name: str
    request: bytes
    megapixels: float
    picture: bytes | None = None


@dataclass(frozen=True, slots=True)
class Arrival:
    """A request that is due.

    Attributes:
        due_s: Seconds after the begin.
        kind: Which.
    """

    due_s: float
    kind: str


@dataclass(frozen=True, slots=True)
class Sent:
    """What became of a request.

    Attributes:
        kind: Which.
        due_s: When it was due, seconds after the begin.
        late_s: How much later it was sent.
        latency_s: From when it was due to the end of its answer.
        status: Of the answer; None: there was none.
        retry_after_s: What a refused one was told to wait; None: nothing.
        is_wrong: It is another picture than it must be.
    """

    kind: str
    due_s: float
    late_s: float
    latency_s: float
    status: int | None
    retry_after_s: float | None = None
    is_wrong: bool = False


class Asker(Protocol):
    """Whoever sends a request; see `bench.line.Lines`."""

    async def ask(self, request: bytes, *, timeout_s: float) -> Reply:
        """Send a request and take its answer."""


def draw_arrivals(
    rate: float, seconds: float, shares: Mapping[str, float], seed: int
) -> list[Arrival]:
    """Arrivals of a Poisson process.

    Gaps between them are independent, of an exponential distribution, so that what is due in one
    second says nothing of the next.

    Args:
        rate: Requests a second, on average.
        seconds: How long.
        shares: How often each kind comes; they need not add up to one.
        seed: The same one gives the same arrivals.
    """
    rng = np.random.default_rng(seed)
    weights = np.array(list(shares.values())) / sum(shares.values())
    arrivals: list[Arrival] = []
    due_s = rng.exponential(1 / rate)
    while due_s < seconds:
        arrivals.append(Arrival(float(due_s), str(rng.choice(list(shares), p=weights))))
        due_s += rng.exponential(1 / rate)
    return arrivals


def share_by_work(costs: Mapping[str, float]) -> dict[str, float]:
    """Shares of requests with which every kind makes the same work.

    Args:
        costs: Work of one request of each kind.

    Example:
        >>> share_by_work({"small": 1.0, "large": 3.0})
        {'small': 0.75, 'large': 0.25}
    """
    whole = sum(1 / cost for cost in costs.values())
    return {kind: 1 / cost / whole for kind, cost in costs.items()}


async def send_on_time(
    asker: Asker, kinds: Mapping[str, Kind], arrivals: Sequence[Arrival], *, timeout_s: float
) -> list[Sent]:
    """Send every request when it is due, and wait for all answers.

    Args:
        asker: Sends.
        kinds: By name.
        arrivals: In the order of time.
        timeout_s: After it was due, a request without an answer is lost.

    Returns:
        What became of each, in the order of arrivals.
    """
    begin_s = time.monotonic()

    async def send(arrival: Arrival) -> Sent:
        kind, late_s = kinds[arrival.kind], time.monotonic() - begin_s - arrival.due_s
        try:
            reply = await asker.ask(kind.request, timeout_s=timeout_s - late_s)
        except LostError:
            reply = None
        latency_s = time.monotonic() - begin_s - arrival.due_s
        return judge(arrival, kind, reply, late_s=late_s, latency_s=latency_s)

    tasks: list[asyncio.Task[Sent]] = []
    for arrival in arrivals:
        await asyncio.sleep(max(0.0, begin_s + arrival.due_s - time.monotonic()))
        tasks.append(asyncio.create_task(send(arrival)))
    return list(await asyncio.gather(*tasks))


def judge(
    arrival: Arrival, kind: Kind, reply: Reply | None, *, late_s: float, latency_s: float
) -> Sent:
    """What became of a request.

    Args:
        arrival: That was due.
        kind: What was sent.
        reply: None: no answer.
        late_s: See `Sent`.
        latency_s: Likewise.
    """
    is_picture = reply is not None and reply.status == OK
    return Sent(
        arrival.kind,
        arrival.due_s,
        late_s,
        latency_s,
        None if reply is None else reply.status,
        None if reply is None else reply.retry_after_s,
        is_picture and kind.picture is not None and reply.content != kind.picture,  # type: ignore[union-attr]
    )


def describe_sent(
    sent: Iterable[Sent], kinds: Mapping[str, Kind], *, seconds: float
) -> dict[str, object]:
    """Goodput, latencies of what was answered, sheds and losses.

    Args:
        sent: Of the time that counts.
        kinds: By name.
        seconds: That time.
    """
    counted = list(sent)
    answered = [one for one in counted if one.status == OK]
    refused = [one for one in counted if one.status == REFUSED]
    others = [one for one in counted if one.status not in (OK, REFUSED, None)]
    waits = [one.retry_after_s for one in refused if one.retry_after_s is not None]
    return {
        "sent": len(counted),
        "answered": len(answered),
        "refused": len(refused),
        "refused_without_retry_after": len(refused) - len(waits),
        "retry_after_s": quantiles(waits),
        "lost": sum(one.status is None for one in counted),
        "others": sorted({str(one.status) for one in others}),
        "other": len(others),
        "wrong_pictures": sum(one.is_wrong for one in counted),
        "offered_per_s": round(len(counted) / seconds, 3),
        "goodput_per_s": round(len(answered) / seconds, 3),
        "goodput_megapixels_per_s": round(
            sum(kinds[one.kind].megapixels for one in answered) / seconds, 3
        ),
        "refusal_latency_s": quantiles([one.latency_s for one in refused]),
        "latency_s": quantiles([one.latency_s for one in answered]),
        "latency_by_kind_s": {
            name: quantiles([one.latency_s for one in answered if one.kind == name])
            for name in kinds
        },
        "sender_late_s": quantiles([one.late_s for one in counted]),
    }


def quantiles(values: Sequence[float]) -> dict[str, float] | None:
    """Number, median, tails and the most; None of no values.

    The p-th percentile is the smallest value that at least p % do not exceed, so that it is one of
    the values and never flatters few of them.

    Example:
        >>> quantiles([3.0, 1.0, 2.0, 4.0])
        {'count': 4, 'p50': 2.0, 'p95': 4.0, 'p99': 4.0, 'max': 4.0}
    """
    if not values:
        return None
    found = {
        f"p{rank}": round(float(np.percentile(values, rank, method="inverted_cdf")), 4)
        for rank in (50, 95, 99)
    }
    return {"count": len(values), **found, "max": round(max(values), 4)}
