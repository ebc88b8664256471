"""Knows the work of all admitted jobs, measures how fast it is done, and tells how long one waits.

Work is core time that a price list expects (`service.fusing.price`). How much of it a second gets
done depends on the machine, its other tenants and the device, so it is measured while there is
enough to do for every core. What the prices are wrong by is in the rate, too.
"""

import math
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from service.request_record import Stage
from service.turns import Turn, find_worth_s

Work = Mapping[Stage, float]
"""Core seconds that each stage of a job is expected to take."""

NO_WORK: Work = {}

MEMORY_S = 20.0
"""Seconds under load after which a measurement counts by a third."""

IDLE_MEMORY_S = 60.0
"""Seconds without load after which it does: what held the machine back may be over."""

BELIEVED_S = 10.0
"""Seconds under load that the rate at the start is worth."""

OVERTAKING_AT_START = 0.5
MOST_OVERTAKING = 1.0
"""What is later for other reasons, such as a machine that others slow down, is no overtaking: a
share of more would turn large jobs away alone, as nothing overtakes the small ones."""

OVERTAKING_STEP = 0.02

CAUTION = 1.25
"""Expected waits are told longer by this: half of them would be too short otherwise, and it is for
the longest ones that there is a bound."""

LEAST_OVERTAKEN_S = 1.0
"""A job that can be overtaken for a shorter time tells nothing: its own work may be as wrong."""

LEAST_SHARE, MOST_SHARE = 1 / 6, 8.0
"""The rate is never held to be outside of these multiples of the number of cores: a machine that
was busy with other things for a moment is no reason to turn everybody away."""


@dataclass(slots=True, eq=False)
class Job:
    """An admitted job.

    Attributes:
        caller: Who asked for it.
        turn: When its calls and windows are run.
        admitted_s: When it was, on the clock of the backlog.
        ahead_s: How long the cores were busy then with what stood before it.
        left: Work of the stages that are not over.
    """

    caller: str
    turn: Turn
    admitted_s: float
    ahead_s: float
    left: dict[Stage, float] = field(default_factory=dict)

    @property
    def left_s(self) -> float:
        """Work that is left of it."""
        return sum(self.left.values())


class RateOfWork:
    """Expected core seconds that are done in a second of the clock while there is enough to do.

    Both are sums in which the past counts less and less; at the start they are as if every core
    had done a second's work a second for `BELIEVED_S`.

    Args:
        cores: That the service may use.

    Example:
        >>> rate = RateOfWork(2)
        >>> for _ in range(200):
        ...     rate.advance(1.0, is_busy=True)
        ...     rate.count(0.5)
        >>> round(rate.per_s, 1)
        0.5
    """

    def __init__(self, cores: int) -> None:
        self._cores = cores
        self._work_s = cores * BELIEVED_S
        self._time_s = BELIEVED_S

    @property
    def per_s(self) -> float:
        """The rate."""
        measured = self._work_s / self._time_s
        return min(max(measured, self._cores * LEAST_SHARE), self._cores * MOST_SHARE)

    def advance(self, passed_s: float, *, is_busy: bool) -> None:
        """Note that time has passed.

        Args:
            passed_s: Since the last time, at least 0.
            is_busy: There was enough to do for every core meanwhile.
        """
        if is_busy:
            kept = math.exp(-passed_s / MEMORY_S)
            self._work_s *= kept
            self._time_s = self._time_s * kept + passed_s
        else:
            kept = math.exp(-passed_s / IDLE_MEMORY_S)
            self._work_s += (1 - kept) * (self._cores * BELIEVED_S - self._work_s)
            self._time_s += (1 - kept) * (BELIEVED_S - self._time_s)

    def count(self, work_s: float) -> None:
        """Note that work was done."""
        self._work_s += work_s


class Overtaking:
    """Of the time for which jobs may be overtaken, the share by which they end later for it.

    It depends on what else comes, so it is learned from the jobs that end: it follows what half of
    them stay below (the median by stochastic approximation: Robbins and Monro, "A stochastic
    approximation method", Annals of Mathematical Statistics, 1951).

    Example:
        >>> overtaking = Overtaking()
        >>> for late in [0.1, 0.2, 0.3, 0.8, 2.0] * 200:
        ...     overtaking.learn(late)
        >>> 0.2 <= overtaking.share <= 0.4
        True
    """

    def __init__(self) -> None:
        self._share = OVERTAKING_AT_START

    @property
    def share(self) -> float:
        """The share, 0 to `MOST_OVERTAKING`."""
        return self._share

    def learn(self, late: float) -> None:
        """Take note of a job that has ended.

        Args:
            late: How much later it ended than what stood before it said, as such a share.
        """
        step = OVERTAKING_STEP if late > self._share else -OVERTAKING_STEP
        self._share = min(max(self._share + step, 0.0), MOST_OVERTAKING)


class Backlog:
    """The work of all admitted jobs that is left.

    Args:
        cores: That the service may use.
        clock: Monotonic, in seconds.
    """

    def __init__(self, cores: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._cores = cores
        self._clock = clock
        self._rate = RateOfWork(cores)
        self._overtaking = Overtaking()
        self._jobs: set[Job] = set()
        self._last_s = clock()
        self._age_s = 0.0

    @property
    def work_s(self) -> float:
        """Core seconds that are left of all jobs."""
        return sum(job.left_s for job in self._jobs)

    @property
    def rate(self) -> float:
        """Core seconds that are done in a second."""
        return self._rate.per_s

    @property
    def _is_busy(self) -> bool:
        """There is enough to do for every core."""
        return len(self._jobs) >= self._cores

    def sum_by_caller(self) -> dict[str, float]:
        """Core seconds that are left of each caller's jobs."""
        sums: dict[str, float] = defaultdict(float)
        for job in self._jobs:
            sums[job.caller] += job.left_s
        return dict(sums)

    def make_turn(self, work_s: float, caller: str) -> Turn:
        """When a new job is run: by its own work, and by what its caller has here beside.

        Where all jobs are of one caller, as behind a proxy that tells no addresses, its own
        work alone decides.

        Args:
            work_s: Of the new job.
            caller: Whose it is.
        """
        self._advance()
        sums = self.sum_by_caller()
        held_s = sums.get(caller, 0.0)
        share_s = sum(sums.values()) / len(sums.keys() | {caller})
        return Turn(work_s, self._age_s, held_s - share_s)

    def expect_wait_s(self, turn: Turn) -> float:
        """How long the cores are busy with what is before this turn, or will come before it.

        While a job waits, smaller ones come; they overtake it for as long as its work is worth.
        """
        ahead_s = self._find_ahead_s(turn)
        overtaken_s = self._overtaking.share * min(ahead_s, find_worth_s(turn))
        return CAUTION * (ahead_s + overtaken_s)

    def add(self, work: Work, turn: Turn, caller: str) -> Job:
        """Take a job in."""
        self._advance()
        job = Job(caller, turn, self._last_s, self._find_ahead_s(turn), dict(work))
        self._jobs.add(job)
        return job

    def finish(self, job: Job, stage: Stage) -> None:
        """Take off what a stage was expected to take; it is over."""
        self._advance()
        done_s = job.left.pop(stage, 0.0)
        if self._is_busy:
            self._rate.count(done_s)
        if done_s and not job.left:
            self._learn_from(job)

    def remove(self, job: Job) -> None:
        """Forget a job that is over; what it has not done is not counted as done."""
        self._advance()
        self._jobs.discard(job)

    def _find_ahead_s(self, turn: Turn) -> float:
        """How long the cores are busy with what is here and stands before a turn."""
        ahead_s = sum(job.left_s for job in self._jobs if job.turn.rank <= turn.rank)
        return ahead_s / self.rate

    def _learn_from(self, job: Job) -> None:
        """Note by how much a job that is done was overtaken."""
        overtaken_s = min(job.ahead_s, find_worth_s(job.turn))
        if overtaken_s < LEAST_OVERTAKEN_S:
            return
        own_s = job.turn.work_s * self._cores / self.rate
        late_s = self._last_s - job.admitted_s - job.ahead_s - own_s
        self._overtaking.learn(late_s / overtaken_s)

    def _advance(self) -> None:
        """Let time pass: for the rate, and for the age of jobs, which a slow machine slows down."""
        now_s = self._clock()
        passed_s, self._last_s = max(0.0, now_s - self._last_s), now_s
        self._age_s += passed_s * (self.rate / self._cores if self._is_busy else 1.0)
        self._rate.advance(passed_s, is_busy=self._is_busy)
