"""Measures several ways to do one job in interleaved rounds, and sums the rounds up.

Every round runs each of them once, one after the other, so that a busy machine slows all alike; a
ratio is that of two costs of the same round.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from statistics import median

from bench.processes import Memory
from bench.timing import Cost, measure

MEGAPIXEL = 1e6
OURS = "expofuse"
CLOCKS = ("wall_s", "cpu_s")


class CannotError(Exception):
    """A way cannot do this job; the message says why."""


Rounds = dict[str, list[Cost]]
"""What each way cost in each counted round."""


@dataclass(slots=True)
class Measurement:
    """One job, done in several ways.

    Attributes:
        name: What the job is.
        source: Where its pictures come from.
        width: Of the pictures, in pixels.
        height: Likewise.
        exposures: How many there are.
        rounds: See `Rounds`; our own way is called `expofuse`.
        facts: Whatever else is known of it, as JSON takes it.
        peaks: The most memory that a way held.
        skipped: Ways that were left out, and why.
    """

    name: str
    source: str
    width: int
    height: int
    exposures: int
    rounds: Rounds
    facts: dict[str, object] = field(default_factory=dict)
    peaks: dict[str, Memory] = field(default_factory=dict)
    skipped: Mapping[str, str] = field(default_factory=dict)

    @property
    def megapixels(self) -> float:
        """Size of one exposure."""
        return self.width * self.height / MEGAPIXEL

    def median_s(self, way: str) -> float:
        """Median of the seconds by the wall of one way."""
        return median(cost.wall_s for cost in self.rounds[way])

    def describe(self) -> dict[str, object]:
        """The measurement as a record holds it."""
        return {
            "name": self.name,
            "source": self.source,
            "width": self.width,
            "height": self.height,
            "megapixels": round(self.megapixels, 3),
            "exposures": self.exposures,
            "rounds": {name: describe_costs(costs) for name, costs in self.rounds.items()},
            "ratios": describe_ratios(self.rounds),
            "peak_memory": {name: memory.describe() for name, memory in self.peaks.items()},
            "facts": self.facts,
            "skipped": dict(self.skipped),
        }


def run_rounds(
    ways: Mapping[str, Callable[[], object]],
    *,
    repeats: int,
    warm_up: bool = True,
    skipped: dict[str, str] | None = None,
) -> Rounds:
    """Run every way once in each round.

    Args:
        ways: What is run, by name; one that returns a `Cost` has measured itself.
        repeats: Counted rounds.
        warm_up: One round goes before them that is not counted.
        skipped: A way that raises `CannotError` is left out from then on, and its reason put here.
    """
    rounds: Rounds = {name: [] for name in ways}
    for index in range(repeats + warm_up):
        for name in list(rounds):
            try:
                result, cost = measure(ways[name])
            except CannotError as error:
                if skipped is None:
                    raise
                skipped[name] = str(error)
                del rounds[name]
                continue
            if index >= warm_up:
                rounds[name].append(result if isinstance(result, Cost) else cost)
    return rounds


def describe_costs(costs: list[Cost]) -> dict[str, object]:
    """Median, extremes and every value, by either clock, in seconds."""
    return {clock: describe_values([getattr(cost, clock) for cost in costs]) for clock in CLOCKS}


def describe_ratios(rounds: Rounds) -> dict[str, object]:
    """Our cost over each other's of the same round: below one is faster than the other.

    A clock that showed nothing for the other one, or one that shows nothing at all, has no ratio.
    """
    ours = rounds.get(OURS, [])
    ratios: dict[str, object] = {}
    for name, others in rounds.items():
        if name == OURS or len(others) != len(ours):
            continue
        ratios[name] = {
            clock.removesuffix("_s"): describe_values(
                [
                    getattr(one, clock) / getattr(other, clock)
                    for one, other in zip(ours, others, strict=True)
                ]
            )
            for clock in CLOCKS
            if ours and all(getattr(other, clock) > 0 for other in others)
        }
    return ratios


def describe_values(values: list[float]) -> dict[str, object]:
    """Median, extremes, and the values in the order of the rounds."""
    return {
        "median": shorten(median(values)),
        "min": shorten(min(values)),
        "max": shorten(max(values)),
        "values": [shorten(value) for value in values],
    }


def shorten(value: float) -> float:
    """A figure of five digits.

    Example:
        >>> shorten(0.0123456789), shorten(123456.7)
        (0.012346, 123460.0)
    """
    return float(f"{value:.5g}")
