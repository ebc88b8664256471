"""Chooses when those who were refused come back: not all at once."""

import math
import time
from collections.abc import Callable

MAX_WAIT_S = 60
"""No client is asked to wait longer: what is known now is worth little then."""


class ComeBack:
    """Tells each refused client a time at which there should be room, behind those told before.

    The work that clear away the wait is known; what was refused meanwhile comes back too, and takes
    the room one after the other, as it would in a queue.

    Args:
        clock: Monotonic, in seconds.

    Example:
        >>> come_back = ComeBack(clock=lambda: 0.0)
        >>> [come_back.choose(0.5, 1.0) for _ in range(3)]
        [2, 3, 4]
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._told_until_s = -math.inf

    def choose(self, excess_s: float, work_s: float) -> int:
        """Seconds after which a client should come back.

        Args:
            excess_s: Until the wait of all that is admitted is below its bound.
            work_s: What the client's job will take of the service.

        Returns:
            Whole seconds, from 1 to `MAX_WAIT_S`.
        """
        now_s = self._clock()
        until_s = max(now_s, self._told_until_s) + work_s
        # What nobody is told is not kept for anybody.
        self._told_until_s = min(until_s, now_s + MAX_WAIT_S)
        return min(max(1, math.ceil(excess_s + until_s - now_s)), MAX_WAIT_S)
