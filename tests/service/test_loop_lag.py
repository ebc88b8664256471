"""What holds the event loop up is measured."""

import asyncio
import time

from service.loop_lag import INTERVAL_S, watch_loop_lag

HOLD_S = 0.6


async def test_a_hold_is_seen_in_its_length():
    lags = []
    watch = asyncio.create_task(watch_loop_lag(lags.append))
    await asyncio.sleep(2 * INTERVAL_S)
    time.sleep(HOLD_S)  # noqa: ASYNC251 - holding the loop up is what is measured
    await asyncio.sleep(2 * INTERVAL_S)
    watch.cancel()
    assert max(lags) >= HOLD_S - INTERVAL_S
    assert min(lags) >= 0
