"""Blocks that wait for the next job: who gets them, when they go, and who never gets them."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from service.errors import SharedMemoryError
from service.processes.block_pool import BlockPool, round_size
from service.processes.job_blocks import JobBlocks
from service.processes.shared_memory import (
    MOUNT,
    PREFIX,
    AttachedBlock,
    SharedArray,
    shared_memory_free_bytes,
)

MIB = 1 << 20


@dataclass
class Processes:
    """What a pool asks of child processes, as a test says it is."""

    restarts: int = 0
    pings: int = 0
    used: set[str] = field(default_factory=set)

    def is_using(self, block: str) -> bool:
        return block in self.used

    def ping(self) -> None:
        self.pings += 1


@asynccontextmanager
async def pooling(
    max_bytes: int = 64 * MIB, idle_s: float = 60.0
) -> AsyncIterator[tuple[BlockPool, Processes]]:
    processes = Processes()
    pool = BlockPool(max_bytes, [Processes(), processes], idle_s=idle_s)
    try:
        yield pool, processes
    finally:
        await pool.close()
    assert not names()


def names() -> set[str]:
    return {path.name for path in MOUNT.glob(f"{PREFIX}{os.getpid()}-*")}


async def use(pool: BlockPool, *sizes: int) -> list[str]:
    """What a job does that needs blocks of these sizes."""
    with JobBlocks(pool) as blocks:
        return [(await blocks.take((size,), "uint8")).name for size in sizes]


async def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.005)


async def until_gone(name: str) -> None:
    await until(lambda: not (MOUNT / name).exists())


@pytest.mark.parametrize("n_bytes", [1, 65_536, 65_537, 900_000, 36_000_000, 384_000_001])
def test_a_size_is_rounded_up_by_little(n_bytes):
    size = round_size(n_bytes)
    assert n_bytes <= size <= max(n_bytes + 65_535, n_bytes * 17 / 16 + 1)
    assert round_size(size) == size


async def test_the_next_job_gets_the_blocks_of_the_last():
    async with pooling() as (pool, _):
        first = await use(pool, 3 * MIB, 3 * MIB, MIB)
        assert set(await use(pool, 3 * MIB - 17, MIB)) < set(first)
        assert pool.idle_bytes == pool.held_bytes == 7 * MIB


async def test_two_jobs_at_one_time_have_no_block_in_common():
    async with pooling() as (pool, _):
        await use(pool, MIB, MIB)
        with JobBlocks(pool) as one, JobBlocks(pool) as other:
            taken = [(await job.take((MIB,), "uint8")).name for job in (one, other, one, other)]
        assert len(set(taken)) == 4


async def test_a_block_of_another_size_is_another_block():
    async with pooling() as (pool, _):
        (large,) = await use(pool, 8 * MIB)
        (small,) = await use(pool, MIB)
        assert large != small
        assert pool.idle_bytes == 9 * MIB


async def test_a_block_has_the_bytes_and_the_description_that_were_asked_for():
    async with pooling() as (pool, _):
        with JobBlocks(pool) as blocks:
            described = await blocks.take((100, 200, 3), "uint16")
            assert (described.shape, described.dtype) == ((100, 200, 3), "uint16")
            assert AttachedBlock(described.name).view(described).shape == (100, 200, 3)


async def test_a_block_that_a_process_still_works_on_is_not_used_again():
    async with pooling() as (pool, processes):
        with JobBlocks(pool) as blocks:
            busy = (await blocks.take((MIB,), "uint8")).name
            free = (await blocks.take((MIB,), "uint8")).name
            processes.used = {busy}
        assert await use(pool, MIB) == [free]
        await until_gone(busy)
        assert pool.held_bytes == MIB
        assert busy not in await use(pool, MIB, MIB)
        await until(lambda: processes.pings >= 1)


async def test_no_block_of_a_job_that_cost_a_process_is_used_again():
    async with pooling() as (pool, processes):
        (known,) = await use(pool, MIB)
        with JobBlocks(pool) as blocks:
            assert (await blocks.take((MIB,), "uint8")).name == known
            processes.restarts += 1
        await until_gone(known)
        assert pool.held_bytes == 0
        (later,) = await use(pool, MIB)  # of a job that began after it
        assert await use(pool, MIB) == [later]


async def test_a_block_that_a_process_may_write_into_keeps_its_memory():
    async with pooling() as (pool, processes):
        with JobBlocks(pool) as blocks:
            described = await blocks.take((MIB,), "uint8")
            attached = AttachedBlock(described.name)
            processes.used = {described.name}
        await until_gone(described.name)
        attached.view(described)[:] = 1  # No bus error.
        attached.close()


async def test_idle_blocks_go_after_a_while_with_their_memory():
    async with pooling(idle_s=0.2) as (pool, processes):
        with JobBlocks(pool) as blocks:
            described = await blocks.take((MIB,), "uint8")
            attached = AttachedBlock(described.name)  # as a process that keeps it mapped
        held = (MOUNT / described.name).stat().st_blocks
        assert held * 512 >= MIB
        await until_gone(described.name)
        assert pool.held_bytes == pool.idle_bytes == 0
        assert count_blocks_of_open_file(described.name) == 0
        attached.close()
        await until(lambda: processes.pings >= 1)


def count_blocks_of_open_file(name: str) -> int:
    """Blocks of the disk, as it were, that a file of this name takes that a mapping holds open."""
    files = list(Path("/proc/self/fd").iterdir())
    (block,) = (file for file in files if file.is_symlink() and name in str(file.readlink()))
    return block.stat().st_blocks


async def test_a_block_in_use_does_not_expire():
    async with pooling(idle_s=0.1) as (pool, _):
        await use(pool, MIB)
        with JobBlocks(pool) as blocks:
            name = (await blocks.take((MIB,), "uint8")).name
            await asyncio.sleep(0.3)
            assert (MOUNT / name).exists()


async def test_a_hundred_sizes_stay_within_the_budget():
    async with pooling(max_bytes=8 * MIB) as (pool, _):
        for size in range(1, 101):
            await use(pool, size * MIB // 20, size * MIB // 20)
            assert pool.idle_bytes == pool.held_bytes <= 12 * MIB
        sizes = sum((MOUNT / name).stat().st_size for name in names())
        assert sizes == pool.held_bytes


async def test_those_that_were_idle_longest_give_way_to_what_is_needed():
    async with pooling(max_bytes=4 * MIB) as (pool, _):
        (first,) = await use(pool, MIB)
        (second,) = await use(pool, 2 * MIB)
        await use(pool, 3 * MIB // 2)
        assert not (MOUNT / first).exists()
        assert (MOUNT / second).exists()
        with JobBlocks(pool) as blocks:
            for _ in range(3):  # What jobs need is not refused here.
                await blocks.take((2 * MIB,), "uint8")
            assert pool.held_bytes == 6 * MIB


async def test_a_full_shared_memory_is_an_error_that_leaves_nothing():
    async with pooling() as (pool, _):
        await use(pool, MIB)
        with JobBlocks(pool) as blocks, pytest.raises(SharedMemoryError):
            await blocks.take((2 * shared_memory_free_bytes() // 30_000, 10_000, 3), "uint8")
        assert pool.held_bytes == 0, "what was idle should have made room"


async def test_idle_blocks_make_room_where_shared_memory_is_full(monkeypatch):
    create, refusals = SharedArray.create, []

    def create_once_there_is_room(shape, dtype):
        if names():
            refusals.append(1)
            raise SharedMemoryError("expected room, got none")
        return create(shape, dtype)

    async with pooling() as (pool, _):
        await use(pool, MIB)
        monkeypatch.setattr(SharedArray, "create", create_once_there_is_room)
        await use(pool, 2 * MIB)
        assert refusals == [1]
        assert pool.held_bytes == 2 * MIB


async def test_a_block_that_is_ready_only_after_a_cancel_is_removed(monkeypatch):
    create = SharedArray.create

    def create_slowly(shape, dtype):
        time.sleep(0.1)
        return create(shape, dtype)

    monkeypatch.setattr(SharedArray, "create", create_slowly)
    async with pooling() as (pool, _):
        with pytest.raises(TimeoutError), JobBlocks(pool) as blocks:
            async with asyncio.timeout(0.02):
                await blocks.take((MIB,), "uint8")
        assert pool.held_bytes == 0
        await asyncio.sleep(0.3)


async def test_a_block_that_somebody_else_removed_is_not_given_out():
    async with pooling() as (pool, _):
        (lost,) = await use(pool, MIB)
        (MOUNT / lost).unlink()
        (MOUNT / lost).touch()  # The resource tracker still holds the name.
        (other,) = await use(pool, MIB)
        assert other != lost
        await until_gone(lost)
        assert pool.held_bytes == MIB


async def test_a_closed_pool_keeps_nothing():
    async with pooling() as (pool, _):
        with JobBlocks(pool) as blocks:
            name = (await blocks.take((MIB,), "uint8")).name
            await pool.close()
            assert (MOUNT / name).exists()
        await until_gone(name)
