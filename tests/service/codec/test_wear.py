"""Codec processes that have worked enough are renewed, and no call notices."""

import asyncio
from contextlib import ExitStack
from dataclasses import replace

import numpy as np
import pytest

from service.codec.pool import CodecPool
from service.codec.wear import Wear, WearLimits
from service.errors import CodecTimeoutError
from service.processes.memory import measure_private_bytes
from service.processes.shared_memory import SharedArray
from tests import images
from tests.service.codec.test_hostile import CONFIG, SHAPE, Work, running_pool, until
from tests.service.codec.test_pool import PNG, SLOW


async def test_processes_are_renewed_after_so_many_calls_one_at_a_time_and_no_call_is_lost():
    config = replace(CONFIG, processes=2, wear=WearLimits(calls=10))
    pool = CodecPool(config)
    await pool.start()
    try:
        first = set(pool.pids)
        with ExitStack() as stack:
            works = [Work(stack) for _ in range(4)]
            # Of two processes one may get more calls: it may be renewed twice before the other.
            while pool.renewals < 3 or not first.isdisjoint(pool.pids):
                await asyncio.gather(*(work.decode(pool) for work in works))
                assert pool.alive >= 2, "the new one is there before the old one ends"
            await until(lambda: len(pool.pids) == 2)
        assert first.isdisjoint(pool.pids)
        assert pool.restarts == pool.start_failures == 0
    finally:
        await pool.stop()
    assert pool.pids == []


async def test_a_process_that_has_grown_is_renewed(tmp_path):
    wear = WearLimits(growth_bytes=100 << 20)
    with ExitStack() as stack:
        work = Work(stack)
        async with running_pool(tmp_path, wear=wear) as pool:
            (first,) = pool.pids
            await work.decode(pool)
            assert pool.renewals == 0
            (tmp_path / "grow").touch()
            await work.decode(pool)
            (tmp_path / "grow").unlink()
            await until(lambda: pool.renewals == 1)
            await work.decode(pool)
            assert first not in pool.pids
            assert (pool.restarts, pool.violations) == (0, 0)


async def test_stop_ends_a_renewal_that_is_under_way(tmp_path):
    with ExitStack() as stack:
        work = Work(stack)
        async with running_pool(tmp_path, wear=WearLimits(calls=1)) as pool:
            await work.decode(pool)
            await until(lambda: pool._renewal is not None)
        assert pool.pids == []


@pytest.mark.parametrize(("calls", "is_worn"), [(2, False), (3, True)])
def test_a_process_is_worn_after_its_calls(calls, is_worn):
    wear = Wear(WearLimits(calls=3))
    wear.begin(None)
    for _ in range(calls):
        wear.count_call()
    assert wear.is_worn(None) is is_worn
    wear.begin(None)
    assert not wear.is_worn(None)


def test_the_memory_of_a_process_that_is_gone_is_unknown():
    assert measure_private_bytes(None) is None


async def test_a_call_over_its_cpu_time_is_ended_and_told_so():
    pool = CodecPool(replace(CONFIG, cpu_limit_s=0.3))
    await pool.start()
    try:
        with SharedArray.create((2000, 2500, 3), "uint16") as block:
            rng = np.random.default_rng(0)
            block.array[:] = rng.integers(0, 65536, block.array.shape, dtype=np.uint16)
            with pytest.raises(CodecTimeoutError, match="2 processes"):
                await pool.encode(block.descriptor, options=SLOW, metadata=PNG)
        with SharedArray.create(SHAPE, "uint8") as block:
            await pool.decode(images.encoded("png"), destination=block.descriptor)
        assert pool.restarts == 2
    finally:
        await pool.stop()
