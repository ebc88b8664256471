import asyncio
import os
import time

import pytest

from service.errors import DisconnectedError, SharedMemoryError
from service.http.disconnect import cancel_when_client_leaves
from service.processes.job_blocks import JobBlocks
from service.processes.shared_memory import MOUNT, SharedArray, shared_memory_free_bytes


def receiver(*messages):
    waiting = list(messages)

    async def receive():
        if not waiting:
            await asyncio.sleep(3600)
        return waiting.pop(0)

    return receive


LEFT = {"type": "http.disconnect"}
END = {"type": "http.request", "body": b""}


async def test_a_client_that_leaves_cancels_the_block():
    reached = []

    async def wait_long():
        async with cancel_when_client_leaves(receiver(END, LEFT)):
            reached.append("in")
            await asyncio.sleep(3600)
            reached.append("never")

    with pytest.raises(DisconnectedError):
        await wait_long()
    assert reached == ["in"]
    assert asyncio.current_task().cancelling() == 0


async def test_a_client_that_stays_changes_nothing():
    async with cancel_when_client_leaves(receiver()):
        await asyncio.sleep(0)


async def test_another_cancellation_stays_a_cancellation():
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01), cancel_when_client_leaves(receiver()):
            await asyncio.sleep(3600)


async def test_an_error_of_the_block_is_passed_on():
    with pytest.raises(ZeroDivisionError):
        async with cancel_when_client_leaves(receiver()):
            raise ZeroDivisionError


async def test_blocks_are_freed_when_their_job_is_settled():
    with JobBlocks() as blocks:
        first = await blocks.create((4, 5, 3), "uint8")
        second = await blocks.create((4, 5, 3), "uint16")
        assert (MOUNT / first.name).stat().st_size >= 60
        assert second.dtype == "uint16"
    assert not (MOUNT / first.name).exists()
    assert not (MOUNT / second.name).exists()


async def test_a_block_that_is_ready_only_after_a_cancel_is_freed_too(monkeypatch):
    made = []
    create = SharedArray.create

    def create_slowly(shape, dtype):
        time.sleep(0.1)
        made.append(create(shape, dtype))
        return made[0]

    monkeypatch.setattr(SharedArray, "create", create_slowly)
    with JobBlocks() as blocks, pytest.raises(TimeoutError):
        async with asyncio.timeout(0.02):
            await blocks.create((4, 5, 3), "uint8")
    await asyncio.sleep(0.3)
    assert not (MOUNT / made[0].descriptor.name).exists()


async def test_shared_memory_that_is_full_is_an_error_and_nothing_is_left_behind():
    before = set(MOUNT.iterdir())
    rows = 2 * shared_memory_free_bytes() // 30_000
    with JobBlocks() as blocks, pytest.raises(SharedMemoryError):
        await blocks.create((rows, 10_000, 3), "uint8")
    ours = f"expofuse-{os.getpid()}-"
    assert not {path for path in set(MOUNT.iterdir()) - before if path.name.startswith(ours)}
