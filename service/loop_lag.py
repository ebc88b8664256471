"""Measures how long the event loop keeps those waiting whose turn it is."""

import asyncio
from collections.abc import Callable

INTERVAL_S = 0.1
"""A hold of the loop that is longer is met by a sample for certain, a shorter one by chance."""


async def watch_loop_lag(observe: Callable[[float], object]) -> None:
    """Sleep again and again, and tell by how much each sleep was too long; runs until cancelled.

    Args:
        observe: Takes each lag, in seconds.
    """
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + INTERVAL_S
        await asyncio.sleep(INTERVAL_S)
        observe(max(0.0, loop.time() - due))
