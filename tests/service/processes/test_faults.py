"""Every fault of a child process, against both kinds: the codec pool's and the device worker."""

import asyncio
import errno
import json
import os
import resource
import signal
import sys
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest

from expofuse.files.formats import EncodeOptions, ImageMetadata
from expofuse.files.headers import PixelLimits
from service.codec.pool import CodecPool, CodecPoolConfig
from service.device.job_queue import JobQueue
from service.device.messages import FuseJob
from service.errors import ChildStartError
from service.metrics import Metrics
from service.processes.shared_memory import SharedArray
from service.processes.supervision_limits import SupervisionLimits
from tests import images
from tests.service.backends import INFO, LABEL, SLOW, SOUND, backend_command, copying
from tests.service.misbehaving import FAULTS

LIMITS = SupervisionLimits(
    start_timeout_s=300.0, stall_timeout_s=1.0, backoff_s=0.05, backoff_max_s=0.2
)


def misbehave(fault, record, ready, real):
    program = [sys.executable, "-P", "-m", "tests.service.misbehaving"]
    return [*program, fault, str(record), json.dumps(ready), *real]


class CodecUser:
    """The codec pool with one process."""

    def __init__(self, limits, fault=None, record=None):
        config = CodecPoolConfig(
            processes=1,
            call_timeout_s=60.0,
            memory_limit_bytes=1 << 30,
            max_waiting=16,
            limits=PixelLimits(50_000_000, 20_000),
            supervision=limits,
            log_level="error",
        )
        if fault is not None:
            real = [sys.executable, *config.program]
            program = misbehave(fault, record, {"kind": "ready"}, real)[1:]
            config = replace(config, program=tuple(program))
        self.owner = CodecPool(config)

    @property
    def pid(self):
        return next(iter(self.owner.pids), None)

    @property
    def is_up(self):
        return self.owner.alive == 1

    @property
    def supervisor(self):
        return self.owner._slots[0]._supervisor

    async def call(self):
        with SharedArray.create((48, 64, 3), "uint8") as block:
            await self.owner.decode(images.encoded("png"), destination=block.descriptor)
            np.testing.assert_array_equal(block.array, images.scene())

    async def call_slowly(self):
        with SharedArray.create((1500, 1500, 3), "uint16") as block:
            block.array[:] = np.random.default_rng(0).integers(0, 65536, block.array.shape)
            options = EncodeOptions("webp", quality=100)
            await self.owner.encode(block.descriptor, options=options, metadata=ImageMetadata())


class DeviceUser:
    """The device worker with a backend that copies."""

    def __init__(self, limits, fault=None, record=None):
        command = backend_command(copying)
        if fault is not None:
            weights = [{"name": "copy", "version": "0.0.1", "architecture": "copy"}]
            weights[0] |= {"summary": "", "reference": "over", "precision": "float32"}
            ready = {"kind": "ready", "info": {"weights": weights, "device": "cpu"}}
            command = misbehave(fault, record, ready, command)
        self.owner = JobQueue(
            command, limits=limits, max_running=4, max_queued=256, metrics=Metrics()
        )

    @property
    def pid(self):
        return self.owner.pid

    @property
    def is_up(self):
        return self.owner.is_ready

    @property
    def supervisor(self):
        return self.owner._supervisor

    async def call(self):
        await self._fuse(SOUND, 32)

    async def call_slowly(self):
        await self._fuse(SLOW, 128)  # 64 windows in 16 batches of 50 ms each.

    async def _fuse(self, deed, side_px):
        shape = (side_px, side_px, 3)
        blocks = [SharedArray.create(shape, "uint8") for _ in range(3)]
        under, over, output = blocks
        try:
            under.array[:] = np.random.default_rng(deed).integers(0, 200, shape)
            under.array[0, 0, 0] = deed
            over.array[:] = 255
            exposures = (under.descriptor, over.descriptor)
            await self.owner.fuse(
                FuseJob(exposures, (0, 1), output.descriptor, 1, None, None, LABEL)
            )
            np.testing.assert_array_equal(output.array, under.array)
        finally:
            for block in blocks:
                block.unlink()


@pytest.fixture(params=[CodecUser, DeviceUser], ids=["codec", "device"])
def kind(request):
    return request.param


@asynccontextmanager
async def running(kind, **options):
    user = kind(options.pop("limits", LIMITS), **options)
    await user.owner.start()
    try:
        yield user
    finally:
        await user.owner.stop()
        assert user.pid is None


async def until(condition, timeout_s=300.0):
    async with asyncio.timeout(timeout_s):
        while not condition():  # noqa: ASYNC110, the condition is another process's state
            await asyncio.sleep(0.005)


@contextmanager
def no_more_files():
    """Let this process open no file beside those that are open."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(int(one.name) for one in Path("/proc/self/fd").iterdir())
    taken = [os.open(os.devnull, os.O_RDONLY) for _ in range(highest)]
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(taken) + 1, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        for one in taken:
            os.close(one)


@contextmanager
def loop_lag():
    """Measure the longest time in which the event loop did not come round."""
    longest = [0.0]

    async def beat():
        loop = asyncio.get_running_loop()
        while True:
            before = loop.time()
            await asyncio.sleep(0.01)
            longest[0] = max(longest[0], loop.time() - before)

    task = asyncio.create_task(beat())
    try:
        yield longest
    finally:
        task.cancel()


async def test_killed_while_idle(kind):
    async with running(kind) as user:
        first = user.pid
        os.kill(first, signal.SIGKILL)
        await until(lambda: user.is_up and user.pid != first)
        await user.call()
        assert (user.owner.restarts, user.owner.start_failures) == (1, 0)


async def test_killed_under_a_call_that_is_then_run_again(kind):
    async with running(kind) as user:
        call = asyncio.create_task(user.call_slowly())
        await asyncio.sleep(0.1)
        os.kill(user.pid, signal.SIGKILL)
        await call
        assert user.owner.restarts == 1


async def test_killed_twice_at_once(kind):
    async with running(kind) as user:
        first = user.pid
        os.kill(first, signal.SIGKILL)
        await until(lambda: user.pid not in (first, None))
        os.kill(user.pid, signal.SIGKILL)  # Before it has said that it is ready.
        await until(lambda: user.is_up)
        await user.call()
        assert (user.owner.restarts, user.owner.start_failures) == (1, 1)


async def test_stopped_while_idle(kind):
    async with running(kind) as user:
        first = user.pid
        os.kill(first, signal.SIGSTOP)
        await until(lambda: user.is_up and user.pid != first)
        await user.call()
        assert not psutil.pid_exists(first)


async def test_stopped_while_its_callers_give_up_in_turn(kind):
    """The heartbeat is the child's own: callers that come and go do not start its clock anew."""
    options = {"limits": replace(LIMITS, stall_timeout_s=1.0)}
    async with running(kind, **options) as user:
        first = user.pid
        os.kill(first, signal.SIGSTOP)
        for _ in range(60):
            if user.is_up and user.pid != first:
                break
            call = asyncio.create_task(user.call())
            await asyncio.sleep(0.25)
            call.cancel()
            await asyncio.gather(call, return_exceptions=True)
        assert user.pid != first
        await until(lambda: user.is_up)
        await user.call()


async def test_slow_but_alive_is_left_alone(kind):
    limits = replace(LIMITS, stall_timeout_s=0.6)
    async with running(kind, limits=limits) as user:
        first = user.pid
        await asyncio.gather(*(user.call_slowly() for _ in range(2)))
        assert (user.pid, user.owner.restarts) == (first, 0)


@pytest.mark.parametrize("fault", [one for one in FAULTS if one != "exits at start"])
async def test_a_child_that_cannot_be_trusted_is_replaced(kind, fault, tmp_path):
    async with running(kind, fault=fault, record=tmp_path / "started") as user:
        with loop_lag() as lag:
            await until(lambda: user.owner.restarts == 1 and user.is_up)
        assert lag[0] < 2.0, "the event loop stood still"
        assert user.owner.violations == (
            fault in ("floods", "talks nonsense", "announces too much")
        )
        await user.call()


async def test_a_first_start_that_fails_is_told_at_once(kind, tmp_path):
    user = kind(LIMITS, fault="exits at start", record=tmp_path / "started")
    with pytest.raises(ChildStartError, match="ended while it started, with exit status 3"):
        await user.owner.start()
    await user.owner.stop()
    assert user.pid is None


async def test_a_first_start_without_files_is_told_at_once(kind):
    user = kind(LIMITS)
    with no_more_files():
        async with asyncio.timeout(300):
            with pytest.raises(ChildStartError, match=os.strerror(errno.EMFILE)):
                await user.owner.start()
    await user.owner.stop()


async def test_a_restart_that_the_system_refuses_is_tried_until_it_succeeds(kind, caplog):
    async with running(kind) as user:
        with no_more_files():
            os.kill(user.pid, signal.SIGKILL)
            await until(lambda: user.owner.start_failures >= 3)
            assert not user.is_up
        await until(lambda: user.is_up)
        await user.call()
        assert user.owner.restarts == 1
    said = [one for one in caplog.records if one.message == "child does not start"]
    assert os.strerror(errno.EMFILE) in said[0].reason


async def test_a_restart_that_the_child_refuses_is_tried_until_it_succeeds(kind, tmp_path):
    record = tmp_path / "started"
    record.touch()
    async with running(kind, fault="exits at start", record=record) as user:
        record.unlink()
        os.kill(user.pid, signal.SIGKILL)
        await until(lambda: user.owner.start_failures == 1 and user.is_up)
        await user.call()


async def test_a_child_that_reads_nothing_never_blocks_the_loop(kind):
    """A hundred callers come and go; the pipe holds a bounded number of messages."""
    async with running(kind, limits=replace(LIMITS, stall_timeout_s=60.0)) as user:
        os.kill(user.pid, signal.SIGSTOP)
        with loop_lag() as lag:
            for _ in range(100):
                call = asyncio.create_task(user.call())
                await asyncio.sleep(0.002)
                call.cancel()
                await asyncio.gather(call, return_exceptions=True)
            assert user.supervisor.unsent <= 16
        assert lag[0] < 2.0, "the event loop stood still"
        os.kill(user.pid, signal.SIGCONT)
        await user.call()


async def test_stop_ends_a_child_that_is_stopped_by_a_signal(kind):
    async with running(kind) as user:
        pid = user.pid
        os.kill(pid, signal.SIGSTOP)
        await user.owner.stop()
        assert not psutil.pid_exists(pid)


async def test_stop_ends_a_start_that_is_under_way(kind):
    async with running(kind) as user:
        first = user.pid
        os.kill(first, signal.SIGKILL)
        await until(lambda: user.pid not in (first, None))
        pid = user.pid
        await user.owner.stop()
        assert not psutil.pid_exists(pid)


def test_the_copying_backend_says_what_the_misbehaving_one_pretends():
    assert INFO.weights[0].label == LABEL
