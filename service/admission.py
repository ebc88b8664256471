"""Decides which requests are let in: budgets that refuse at once and never make anybody wait."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from expofuse.errors import PixelLimitError
from expofuse.files.headers import ImageHeader
from service.errors import QueueFullError, WorkerStoppedError
from service.metrics import Metrics
from service.settings import LimitSettings

PIXELS_PER_MEGAPIXEL = 1e6
PICTURES_OF_A_PAIR = 3
"""Two exposures and the result."""


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


class Admission:
    """The one place that decides whether a request may use memory and time.

    Args:
        limits: The bounds, already lowered to the shared memory there is.
        metrics: Where the levels are shown.
    """

    def __init__(self, limits: LimitSettings, metrics: Metrics) -> None:
        self._limits = limits
        self._metrics = metrics
        self._jobs = 0
        self._megapixels = 0.0
        self._upload_bytes = 0
        self._response_bytes = 0
        self._is_closed = False
        self._is_idle = asyncio.Event()
        self._is_idle.set()

    @property
    def jobs(self) -> int:
        """Jobs admitted and not yet settled."""
        return self._jobs

    def close(self) -> None:
        """Refuse every new job from now on; those admitted stay."""
        self._is_closed = True

    async def wait_idle(self) -> None:
        """Wait until no admitted job is left."""
        await self._is_idle.wait()

    def check_open(self) -> None:
        """Refuse before a body is read, where it is certain that its job would be refused.

        Raises:
            WorkerStoppedError: The service is draining.
            QueueFullError: The places for jobs, or the megapixels, are all taken.
        """
        self._check_room(0.0)

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
    def admit(self, megapixels: float) -> Iterator[None]:
        """Admit one job for the length of a `with`.

        Args:
            megapixels: From `count_megapixels`, at least 0.

        Raises:
            WorkerStoppedError: The service is draining.
            QueueFullError: There is no room for the job now.
            PixelLimitError: There would be none in an empty service either.
        """
        self._check_room(megapixels)
        self._change(1, megapixels)
        try:
            yield
        finally:
            self._change(-1, -megapixels)

    @contextmanager
    def admit_more(self, megapixels: float) -> Iterator[None]:
        """Count for the length of a `with` what an admitted job turns out to need beside.

        Raises:
            QueueFullError: There is no room for it now.
        """
        most = self._limits.max_megapixels_in_flight
        if self._megapixels + megapixels > most:
            raise QueueFullError(
                f"expected at most {most:g} megapixels in flight, {self._megapixels:.1f} are, and "
                f"exposures to be turned need {megapixels:.1f} more"
            )
        self._change(0, megapixels)
        try:
            yield
        finally:
            self._change(0, -megapixels)

    def _change_upload_bytes(self, n_bytes: int) -> None:
        most = self._limits.max_upload_bytes
        if self._upload_bytes + n_bytes > most:
            raise QueueFullError(
                f"expected at most {most} bytes of bodies at one time, "
                f"{self._upload_bytes} are held"
            )
        self._upload_bytes += n_bytes
        self._metrics.upload_bytes.set(self._upload_bytes)

    def _change_response_bytes(self, n_bytes: int) -> None:
        self._response_bytes += n_bytes
        self._metrics.response_bytes.set(self._response_bytes)

    def _check_room(self, megapixels: float) -> None:
        if self._is_closed:
            raise WorkerStoppedError("the service is stopping and takes no new jobs")
        if self._jobs >= self._limits.max_jobs:
            raise QueueFullError(
                f"expected fewer than {self._limits.max_jobs} jobs at one time, got {self._jobs}"
            )
        if self._response_bytes >= self._limits.max_response_bytes:
            raise QueueFullError(
                f"expected less than {self._limits.max_response_bytes} bytes of pictures that "
                f"clients have not read yet, got {self._response_bytes}"
            )
        most = self._limits.max_megapixels_in_flight
        if megapixels > most:
            raise PixelLimitError(
                f"expected at most {most:g} megapixels, each exposure beyond two counting a third, "
                f"one of another size another third, and 16 bits twice, got {megapixels:.1f}"
            )
        if self._megapixels >= most or self._megapixels + megapixels > most:
            raise QueueFullError(
                f"expected at most {most:g} megapixels in flight, "
                f"{self._megapixels:.1f} are, and {megapixels:.1f} came"
            )

    def _change(self, jobs: int, megapixels: float) -> None:
        self._jobs += jobs
        self._megapixels = self._megapixels + megapixels if self._jobs else 0.0
        self._metrics.jobs_in_flight.set(self._jobs)
        self._metrics.megapixels_in_flight.set(self._megapixels)
        if self._jobs:
            self._is_idle.clear()
        else:
            self._is_idle.set()
