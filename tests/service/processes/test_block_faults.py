"""Blocks of jobs whose processes are stopped, killed or left: never another job's while touched."""

import asyncio
import os
import signal
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import numpy as np
import pytest

from expofuse.errors import ImageDecodeError
from expofuse.files.headers import PixelLimits
from service.codec.pool import CodecPool, CodecPoolConfig
from service.device.job_queue import JobQueue
from service.device.messages import FuseJob
from service.metrics import Metrics
from service.processes.block_pool import BlockPool
from service.processes.job_blocks import JobBlocks
from service.processes.shared_memory import MOUNT, PREFIX, AttachedBlock
from service.processes.supervision_limits import SupervisionLimits
from tests import images
from tests.service.backends import LABEL, SLOW, SOUND, backend_command, copying

PATIENT = SupervisionLimits(
    start_timeout_s=60.0, stall_timeout_s=60.0, backoff_s=0.05, backoff_max_s=0.2
)


def values_of(descriptor):
    """A view of a block, as a process has it."""
    return AttachedBlock(descriptor.name).view(descriptor)


class Codec:
    """A codec process that decodes a picture of some size."""

    shape = (640, 640, 3)

    def __init__(self):
        config = CodecPoolConfig(
            processes=1,
            call_timeout_s=60.0,
            memory_limit_bytes=1 << 30,
            max_waiting=16,
            limits=PixelLimits(50_000_000, 20_000),
            supervision=PATIENT,
            abandon_grace_s=30.0,
            log_level="error",
        )
        self.owner = CodecPool(config)
        self.scene = images.scene(*self.shape[:2])
        self.file = images.encoded("png", pixels=self.scene)

    @property
    def pid(self):
        return next(iter(self.owner.pids), None)

    def is_running(self):
        return self.owner.running == 1

    async def work(self, blocks):
        """Have the whole of one block written; its descriptor."""
        block = await blocks.take(self.shape, "uint8")
        await self.owner.decode(self.file, destination=block)
        np.testing.assert_array_equal(values_of(block), self.scene)
        return block


class Device:
    """A worker that copies a picture of many windows."""

    shape = (128, 128, 3)
    deed = SLOW

    def __init__(self):
        self.owner = JobQueue(
            backend_command(copying), limits=PATIENT, max_running=4, max_queued=16,
            metrics=Metrics(),
        )  # fmt: skip

    @property
    def pid(self):
        return self.owner.pid

    def is_running(self):
        return bool(self.owner._running)

    async def work(self, blocks):
        under, over, output = [await blocks.take(self.shape, "uint8") for _ in range(3)]
        values_of(under)[:] = np.random.default_rng(1).integers(0, 200, self.shape)
        values_of(under)[0, 0, 0] = self.deed
        values_of(over)[:] = 255
        job = FuseJob((under, over), (0, 1), output, 1, None, None, LABEL)
        await self.owner.fuse(job)
        np.testing.assert_array_equal(values_of(output), values_of(under))
        return output


@pytest.fixture(params=[Codec, Device])
def kind(request):
    return request.param


@asynccontextmanager
async def running(kind):
    user = kind()
    pool = BlockPool(1 << 28, [user.owner])
    await user.owner.start()
    try:
        yield user, pool
    finally:
        await pool.close()
        await user.owner.stop()
    assert not list(MOUNT.glob(f"{PREFIX}{os.getpid()}-*"))


async def until(condition):
    async with asyncio.timeout(300):
        while not condition():  # noqa: ASYNC110, the condition is another process's state
            await asyncio.sleep(0.005)


async def do_job(user, pool, taken=None):
    """A job from its first block to its end; adds the names of its blocks to `taken`."""
    with JobBlocks(pool) as blocks:
        try:
            await user.work(blocks)
        finally:
            if taken is not None:
                taken |= {block.descriptor.name for block in blocks._blocks}


def mapped_by(pid):
    """Names of the blocks that a process has mapped."""
    lines = Path(f"/proc/{pid}/maps").read_text().splitlines()
    found = (line.partition(f"{MOUNT}/")[2] for line in lines)
    return {name.removesuffix(" (deleted)") for name in found if name.startswith(PREFIX)}


async def test_jobs_one_after_the_other_share_blocks_that_stay_mapped(kind):
    async with running(kind) as (user, pool):
        first, later = set(), set()
        await do_job(user, pool, first)
        await do_job(user, pool, later)
        assert later == first == mapped_by(user.pid)


async def test_what_a_stopped_process_has_half_done_reaches_no_other_job(kind):
    async with running(kind) as (user, pool):
        left, others = set(), set()
        await do_job(user, pool)
        os.kill(user.pid, signal.SIGSTOP)
        job = asyncio.create_task(do_job(user, pool, left))
        await until(user.is_running)
        job.cancel()
        await asyncio.gather(job, return_exceptions=True)
        with JobBlocks(pool) as blocks:
            held = [await blocks.take(user.shape, "uint8") for _ in range(4)]
            others |= {block.name for block in held}
            for block in held:
                values_of(block)[:] = 123
            os.kill(user.pid, signal.SIGCONT)
            await until(lambda: not user.is_running())
            await do_job(user, pool)  # It comes to this after what it was doing.
            assert not others & left
            for block in held:
                assert (values_of(block) == 123).all()
        # What nobody waits for any more is unmapped, and its memory free.
        await until(lambda: not left & mapped_by(user.pid))
        assert user.owner.restarts == 0


async def test_blocks_of_a_job_whose_process_is_killed_are_not_used_again(kind):
    async with running(kind) as (user, pool):
        lost, later = set(), set()
        os.kill(user.pid, signal.SIGSTOP)
        job = asyncio.create_task(do_job(user, pool, lost))
        await until(user.is_running)
        os.kill(user.pid, signal.SIGKILL)
        await job  # Run again on another process.
        assert user.owner.restarts == 1
        assert pool.idle_bytes == pool.held_bytes == 0
        await do_job(user, pool, later)
        assert not later & lost
        assert pool.idle_bytes == pool.held_bytes > 0


async def test_a_dead_job_leaks_no_block(kind):
    async with running(kind) as (user, pool):
        for number in range(8):
            job = asyncio.create_task(do_job(user, pool))
            await until(user.is_running)
            if number % 4 == 0:
                with suppress(ProcessLookupError):
                    os.kill(user.pid, signal.SIGKILL)
            elif number % 2:
                job.cancel()
            await asyncio.gather(job, return_exceptions=True)
            await until(lambda: user.pid is not None)
        await do_job(user, pool)
        assert pool.idle_bytes == pool.held_bytes
        names = {path.name for path in MOUNT.glob(f"{PREFIX}{os.getpid()}-*")}
        await until(lambda: mapped_by(user.pid) <= names)
        sizes = sum((MOUNT / name).stat().st_size for name in names)
        assert sizes == pool.held_bytes


async def test_a_job_that_fails_gives_its_blocks_to_the_next():
    async with running(Codec) as (user, pool):
        taken, later = set(), set()
        sound = user.file
        user.file = images.truncated(sound)
        with pytest.raises(ImageDecodeError):
            await do_job(user, pool, taken)
        user.file = sound
        await do_job(user, pool, later)
        assert later == taken


async def test_a_worker_that_is_idle_for_a_moment_keeps_its_blocks_mapped():
    async with running(Device) as (user, pool):
        user.deed = SOUND
        await do_job(user, pool)
        before = mapped_by(user.pid)
        user.owner.ping()
        await until(lambda: not user.owner._supervisor._is_pinged)
        assert mapped_by(user.pid) == before != set()
