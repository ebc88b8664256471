"""Calls back after a time in which the event loop ran.

A process that is stopped for a while, or a machine that sleeps, finds all its timers due when it
goes on, before it has read what came meanwhile. Here a time is counted in beats, of which a pause
of any length takes one: nobody is held responsible for it.
"""

import asyncio
from collections.abc import Callable

BEATS = 8
"""Parts that a time is counted in."""


class CountedTimer:
    """Calls back once, unless it is cancelled before.

    Args:
        delay_s: Time until then, in which the event loop runs.
        callback: What is called.
    """

    def __init__(self, delay_s: float, callback: Callable[[], None]) -> None:
        self._beat_s = delay_s / BEATS
        self._left = BEATS
        self._callback = callback
        self._handle = asyncio.get_running_loop().call_later(self._beat_s, self._beat)

    def cancel(self) -> None:
        """Call nobody back."""
        self._handle.cancel()

    def _beat(self) -> None:
        self._left -= 1
        if self._left:
            self._handle = asyncio.get_running_loop().call_later(self._beat_s, self._beat)
        else:
            self._callback()
