"""How much a run measures: everything, or small versions of everything."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from bench.measurement import Measurement
from expofuse.bundled_weights import DEFAULT_WEIGHTS, locate_weights


@dataclass(frozen=True, slots=True)
class Scope:
    """Sizes and numbers of a run.

    Attributes:
        name: `full` or `quick`, as a record says.
        repeats: Counted rounds; one goes before them that does not count.
        curve_repeats: The same of the points of a curve.
        case_mp: Cases with larger pictures are left out.
        sizes_mp: Megapixels along the curves.
        counts: Exposures along the curves.
        count_mp: Megapixels of the pictures along those.
        clients: Numbers of clients at once.
        requests: That each of them sends.
        load_rounds: Rounds over the numbers of clients.
        program_cases: Cases of requests in which Hugin's programs run too, at most; they are slow.
        starts: How often the service is started.
        load_levels: Open-loop load, in times of what the service can do.
        load_s: Seconds of each level that count; a sixth as many go before them that do not.
        load_sizes_mp: Megapixels of the kinds of pairs that are mixed.
        neighbour_rounds: Rounds of small requests, alone and beside large ones.
        soak_minutes: How long steady load lasts.
        fault_s: Seconds for which each fault lasts.
        only_faults: Names of the faults that are tried; none: all.
        weights_dir: The weights that fuse in this process; the service takes those of its settings.
    """

    name: str
    repeats: int
    curve_repeats: int
    case_mp: float
    sizes_mp: tuple[float, ...]
    counts: tuple[int, ...]
    count_mp: float
    clients: tuple[int, ...]
    requests: int
    load_rounds: int
    program_cases: int
    starts: int
    load_levels: tuple[float, ...]
    load_s: float
    load_sizes_mp: tuple[float, ...]
    neighbour_rounds: int
    soak_minutes: float
    fault_s: float
    only_faults: tuple[str, ...] = ()
    weights_dir: Path = field(default_factory=lambda: locate_weights(DEFAULT_WEIGHTS))

    @property
    def points(self) -> list[Point]:
        """Every point of the curves, once: pairs of every size, and stacks of one."""
        pairs = [(size, 2) for size in self.sizes_mp]
        return list(dict.fromkeys([*pairs, *((self.count_mp, count) for count in self.counts)]))


FULL = Scope(
    name="full",
    repeats=5,
    curve_repeats=3,
    case_mp=50.0,
    sizes_mp=(0.25, 0.6, 1.0, 2.0, 6.0, 12.0, 24.0, 49.9),
    counts=(2, 3, 5, 7, 9),
    count_mp=6.0,
    clients=(1, 2, 4, 8, 16),
    requests=8,
    load_rounds=2,
    program_cases=99,
    starts=5,
    load_levels=(0.5, 0.75, 1.0, 1.5, 2.0, 3.0),
    load_s=48.0,
    load_sizes_mp=(0.3, 2.0, 12.0),
    neighbour_rounds=3,
    soak_minutes=30.0,
    fault_s=10.0,
)
QUICK = Scope(
    name="quick",
    repeats=1,
    curve_repeats=1,
    case_mp=1.0,
    sizes_mp=(0.25, 1.0),
    counts=(2, 4),
    count_mp=0.25,
    clients=(1, 4),
    requests=2,
    load_rounds=1,
    program_cases=1,
    starts=1,
    load_levels=(0.5, 2.0),
    load_s=6.0,
    load_sizes_mp=(0.1, 0.3),
    neighbour_rounds=1,
    soak_minutes=0.2,
    fault_s=3.0,
)


Point = tuple[float, int]
"""Megapixels of an exposure, and how many there are."""


@dataclass(frozen=True, slots=True)
class Curve:
    """How something grows with one number.

    Attributes:
        name: What grows.
        unit: Of what grows.
        along: What it grows with.
        points: By the name of each way: pairs of that number and the figure.
    """

    name: str
    unit: str
    along: str
    points: dict[str, list[tuple[float, float]]]

    def describe(self) -> dict[str, object]:
        """As a record holds it."""
        points = {name: [list(point) for point in found] for name, found in self.points.items()}
        return {"name": self.name, "unit": self.unit, "along": self.along, "points": points}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a suite found.

    Attributes:
        measurements: Each job in several ways.
        curves: What is drawn.
        facts: Whatever else it says, as JSON takes it.
        headline: Of them, what a person at the terminal is told.
    """

    measurements: list[Measurement]
    curves: list[Curve] = field(default_factory=list)
    facts: dict[str, object] = field(default_factory=dict)
    headline: str = ""


def draw_points(found: Mapping[Point, Measurement], scope: Scope) -> list[Curve]:
    """Curves against megapixels and against exposures.

    Args:
        found: What was measured at each of `Scope.points`, or at some of them.
        scope: Says which curve they belong to.
    """
    sizes = [found[size, 2] for size in scope.sizes_mp]
    stacks = [
        found[point] for point in ((scope.count_mp, one) for one in scope.counts) if point in found
    ]
    return [*draw_costs(sizes, "megapixels"), *draw_costs(stacks, "exposures")]


def draw_costs(
    measurements: Sequence[Measurement], along: Literal["megapixels", "exposures"]
) -> list[Curve]:
    """Seconds, and peak memory, of measurements that differ in one number."""
    seconds: dict[str, list[tuple[float, float]]] = {}
    memory: dict[str, list[tuple[float, float]]] = {}
    for one in measurements:
        number = one.megapixels if along == "megapixels" else float(one.exposures)
        for way in one.rounds:
            seconds.setdefault(way, []).append((number, one.median_s(way)))
        for way, peak in one.peaks.items():
            memory.setdefault(way, []).append((number, peak.mib))
    return [Curve("time", "s", along, seconds), Curve("peak memory", "MiB", along, memory)]
