"""Decides which requests are let in: budgets that refuse at once and never make anybody wait.

Jobs are bounded by their number, by their megapixels and by how long a new one would wait. Where a
budget is more than half used, callers have shares in it (`service.shares`), so that nobody takes
all of it before others come.
"""

import asyncio
import math
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NoReturn

from expofuse.errors import PixelLimitError
from expofuse.files.headers import ImageHeader
from service.backlog import NO_WORK, Backlog, Job, Work
from service.come_back import ComeBack
from service.errors import QueueFullError, WorkerStoppedError
from service.metrics import Metrics, RefusalReason
from service.settings import LimitSettings
from service.shares import Budget

PIXELS_PER_MEGAPIXEL = 1e6
PICTURES_OF_A_PAIR = 3
"""Two exposures and the result."""

BUDGETS_OF_JOBS = ("jobs", "megapixels", "share")
"""Reasons for a refusal that are over when a job is."""


def count_resized(headers: Sequence[ImageHeader], reference: int | None) -> int:
    """How many exposures may have to be brought to the size of the reference, at most.

    The orientation, which no header tells, may turn an exposure; one that has the reference's sides
    the other way round is refused later.

    Args:
        headers: Of the exposures, as sent.
        reference: Number of the reference, from 1; None where any may become it.

    Example:
        >>> small, large = ImageHeader("png", 3000, 2000, 8), ImageHeader("png", 6000, 4000, 8)
        >>> count_resized([small] * 2, None), count_resized([small, small, large], None)
        (0, 2)
        >>> count_resized([small, small, large], 1)
        1
    """
    counts = Counter(header.sides for header in headers)
    if reference is not None and reference <= len(headers):
        return len(headers) - counts[headers[reference - 1].sides]
    return len(headers) - min(counts.values())


def count_turned(orientations: Sequence[int]) -> int:
    """How many exposures may have to be turned as the reference lies, at most.

    Args:
        orientations: Of each exposure, 1 to 8; known once they are decoded.

    Example:
        >>> count_turned([1, 1, 1]), count_turned([1, 6, 1])
        (0, 2)
    """
    return len(orientations) - min(Counter(orientations).values())


def count_megapixels(headers: Sequence[ImageHeader], *, resized: int = 0) -> float:
    """What a stack counts against the budget: what a pair of its largest exposure would.

    A pair counts as one of its exposures, and so every further exposure, and every one that may be
    turned or brought to another size, as a third of one; a stack of 16 bits counts twice.

    Args:
        headers: Of the exposures.
        resized: From `count_resized` and `count_turned`.

    Example:
        >>> header = ImageHeader("png", 4000, 3000, 16)
        >>> count_megapixels([header, header])
        24.0
        >>> count_megapixels([ImageHeader("png", 4000, 3000, 8)] * 5)
        24.0
    """
    depth_factor = 2 if 16 in (header.bits for header in headers) else 1
    pictures = len(headers) + 1 + resized
    largest = max(header.pixels for header in headers)
    return largest * depth_factor * pictures / PICTURES_OF_A_PAIR / PIXELS_PER_MEGAPIXEL


class Allowance:
    """Bytes that one request holds, counted against a budget of all requests.

    Args:
        change_level: Adds to the budget's level; refuses by raising.
    """

    def __init__(self, change_level: Callable[[int], None]) -> None:
        self._change_level = change_level
        self._held_bytes = 0

    def take(self, n_bytes: int) -> None:
        """Count bytes that are about to be kept.

        Raises:
            QueueFullError: All requests together would be above their budget.
        """
        self._change_level(n_bytes)
        self._held_bytes += n_bytes

    def pass_on(self) -> "Allowance":
        """Let go of the bytes in favour of another allowance, which holds them from now on."""
        other = Allowance(self._change_level)
        other._held_bytes, self._held_bytes = self._held_bytes, 0
        return other

    def release(self) -> None:
        """Give everything back: the bytes are no longer held."""
        self._change_level(-self._held_bytes)
        self._held_bytes = 0


@dataclass(slots=True)
class Held:
    """What the jobs of one caller count."""

    jobs: int = 0
    megapixels: float = 0.0


class Admission:
    """The one place that decides whether a request may use memory and time.

    Args:
        limits: The bounds, already lowered to the memory there is.
        metrics: Where the levels are shown.
        backlog: The work of the jobs that are admitted here; None: for the cores that this
            process may use.
    """

    def __init__(
        self, limits: LimitSettings, metrics: Metrics, backlog: Backlog | None = None
    ) -> None:
        self._limits = limits
        self._metrics = metrics
        self._backlog = backlog or Backlog(len(os.sched_getaffinity(0)))
        self._come_back = ComeBack()
        self._jobs = 0
        self._megapixels = 0.0
        self._held: dict[str, Held] = {}
        self._upload_bytes = 0
        self._response_bytes = 0
        self._is_closed = False
        self._is_idle = asyncio.Event()
        self._is_idle.set()

    @property
    def jobs(self) -> int:
        """Jobs admitted and not yet settled."""
        return self._jobs

    @property
    def backlog(self) -> Backlog:
        """The work of the admitted jobs."""
        return self._backlog

    def close(self) -> None:
        """Refuse every new job from now on; those admitted stay."""
        self._is_closed = True

    async def wait_idle(self) -> None:
        """Wait until no admitted job is left."""
        await self._is_idle.wait()

    def check_open(self, caller: str = "", *, patience_s: float = math.inf) -> None:
        """Refuse before a body is read, where it is certain that its job would be refused.

        Args:
            caller: Who asks.
            patience_s: Seconds until the caller's deadline.

        Raises:
            WorkerStoppedError: The service is draining.
            QueueFullError: The places for jobs, or the megapixels, are all taken, or even the
                smallest job would wait too long.
        """
        self._check_room(0.0, caller)
        self._check_wait(NO_WORK, caller, patience_s)

    @contextmanager
    def hold_upload(self) -> Iterator[Allowance]:
        """Give an allowance for one body; whatever it still holds is given back at the end."""
        allowance = Allowance(self._change_upload_bytes)
        try:
            yield allowance
        finally:
            allowance.release()

    def hold_response(self, n_bytes: int) -> Allowance:
        """Count a finished picture until it is released.

        It is never refused, the work is done: what it takes is refused to requests that come.
        """
        allowance = Allowance(self._change_response_bytes)
        allowance.take(n_bytes)
        return allowance

    @contextmanager
    def admit(
        self,
        megapixels: float,
        work: Work = NO_WORK,
        caller: str = "",
        *,
        patience_s: float = math.inf,
    ) -> Iterator[Job]:
        """Admit one job for the length of a `with`.

        Args:
            megapixels: From `count_megapixels`, at least 0.
            work: What its stages are expected to take.
            caller: Who asks.
            patience_s: Seconds until the caller's deadline.

        Yields:
            The job in the backlog.

        Raises:
            WorkerStoppedError: The service is draining.
            QueueFullError: There is no room for the job now, or it would wait too long.
            PixelLimitError: There would be none in an empty service either.
        """
        self._check_room(megapixels, caller)
        self._check_wait(work, caller, patience_s)
        turn = self._backlog.make_turn(sum(work.values()), caller)
        job = self._backlog.add(work, turn, caller)
        self._change(1, megapixels, caller)
        try:
            yield job
        finally:
            self._change(-1, -megapixels, caller)
            self._backlog.remove(job)

    @contextmanager
    def admit_more(self, megapixels: float, caller: str = "") -> Iterator[None]:
        """Count for the length of a `with` what an admitted job turns out to need beside.

        Args:
            megapixels: That it needs more.
            caller: Who asked for it.

        Raises:
            QueueFullError: There is no room for it now.
        """
        most = self._limits.max_megapixels_in_flight
        if self._megapixels + megapixels > most:
            self._refuse(
                "megapixels",
                f"expected at most {most:g} megapixels in flight, {self._megapixels:.1f} are, and "
                f"exposures to be turned need {megapixels:.1f} more",
            )
        self._change(0, megapixels, caller)
        try:
            yield
        finally:
            self._change(0, -megapixels, caller)

    def _change_upload_bytes(self, n_bytes: int) -> None:
        most = self._limits.max_upload_bytes
        if self._upload_bytes + n_bytes > most:
            self._refuse(
                "uploads",
                f"expected at most {most} bytes of bodies at one time, "
                f"{self._upload_bytes} are held",
            )
        self._upload_bytes += n_bytes
        self._metrics.upload_bytes.set(self._upload_bytes)

    def _change_response_bytes(self, n_bytes: int) -> None:
        self._response_bytes += n_bytes
        self._metrics.response_bytes.set(self._response_bytes)

    def _check_room(self, megapixels: float, caller: str) -> None:
        if self._is_closed:
            raise WorkerStoppedError("the service is stopping and takes no new jobs")
        if self._jobs >= self._limits.max_jobs:
            self._refuse(
                "jobs",
                f"expected fewer than {self._limits.max_jobs} jobs at one time, got {self._jobs}",
            )
        if self._response_bytes >= self._limits.max_response_bytes:
            self._refuse(
                "responses",
                f"expected less than {self._limits.max_response_bytes} bytes of pictures that "
                f"clients have not read yet, got {self._response_bytes}",
            )
        most = self._limits.max_megapixels_in_flight
        if megapixels > most:
            raise PixelLimitError(
                f"expected at most {most:g} megapixels, each exposure beyond two counting a third, "
                f"one of another size another third, and 16 bits twice, got {megapixels:.1f}"
            )
        if self._megapixels >= most or self._megapixels + megapixels > most:
            self._refuse(
                "megapixels",
                f"expected at most {most:g} megapixels in flight, "
                f"{self._megapixels:.1f} are, and {megapixels:.1f} came",
            )
        held = self._held.get(caller, Held())
        jobs = Budget(self._limits.max_jobs, math.floor(self._limits.max_jobs * self._reserve))
        self._check_share(jobs, self._jobs, held.jobs, 1, caller)
        pixels = Budget(most, most * self._reserve)
        self._check_share(pixels, self._megapixels, held.megapixels, megapixels, caller)

    @property
    def _reserve(self) -> float:
        return self._limits.caller_reserve

    def _check_share(
        self, budget: Budget, used: float, held: float, amount: float, caller: str
    ) -> None:
        callers = len(self._held.keys() | {caller})
        if not budget.has_share(used=used, held=held, amount=amount, callers=callers):
            self._refuse(
                "share",
                f"expected other callers to have room too: {used:.3g} of {budget.most:.3g} are in "
                f"use, {held:.3g} of them by this caller, and {amount:.3g} more came",
            )

    def _check_wait(self, work: Work, caller: str, patience_s: float) -> None:
        """Refuse a job that would begin too late, by the work before its turn."""
        backlog = self._backlog
        work_s = sum(work.values())
        wait_s = backlog.expect_wait_s(backlog.make_turn(work_s, caller))
        most_s = self._limits.max_wait_s
        bound_s = min(most_s, max(0.0, patience_s))
        budget = Budget(most_s, most_s * self._reserve)
        by_caller = backlog.sum_by_caller()
        is_late = wait_s > bound_s
        if is_late or not budget.has_share(
            used=wait_s,
            held=by_caller.get(caller, 0.0) / backlog.rate,
            amount=0.0,
            callers=len(by_caller.keys() | {caller}),
        ):
            excess_s = wait_s - (bound_s if is_late else most_s - budget.reserve)
            self._refuse(
                "wait" if is_late else "share",
                f"expected to begin within {bound_s:.1f} s, but the work before this request "
                f"takes {wait_s:.1f} s",
                retry_after_s=self._come_back.choose(max(0.0, excess_s), work_s / backlog.rate),
            )

    def _refuse(
        self, reason: RefusalReason, message: str, *, retry_after_s: int | None = None
    ) -> NoReturn:
        self._metrics.refusals.labels(reason).inc()
        if retry_after_s is None and reason in BUDGETS_OF_JOBS and self._jobs:
            # Room comes with the end of a job; each client that is refused waits for another one.
            job_s = self._backlog.work_s / self._jobs / self._backlog.rate
            retry_after_s = self._come_back.choose(0.0, job_s)
        raise QueueFullError(message, retry_after_s=retry_after_s)

    def _change(self, jobs: int, megapixels: float, caller: str) -> None:
        self._jobs += jobs
        self._megapixels = self._megapixels + megapixels if self._jobs else 0.0
        held = self._held.setdefault(caller, Held())
        held.jobs += jobs
        held.megapixels += megapixels
        if not held.jobs:
            del self._held[caller]
        self._metrics.jobs_in_flight.set(self._jobs)
        self._metrics.megapixels_in_flight.set(self._megapixels)
        if self._jobs:
            self._is_idle.clear()
        else:
            self._is_idle.set()
