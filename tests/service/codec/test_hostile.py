"""A codec process that an image has taken over: its answers are checked, its attempts refused."""

import asyncio
import json
import platform
import re
from contextlib import ExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from expofuse.files.formats import EncodeOptions, ImageMetadata
from expofuse.files.headers import PixelLimits
from model.errors import FusionError
from service.codec.messages import DecodeCall, EncodeCall, RegisterCall
from service.codec.pool import CodecPool, CodecPoolConfig
from service.errors import ChildStartError, CodecCrashError
from service.processes.confinement import ALL_BARS, find_bars
from service.processes.shared_memory import SharedArray
from service.processes.supervision_limits import SupervisionLimits
from service.processes.syscalls import JUDGED, OWN_CALLS, SYSCALLS
from tests import images
from tests.service.codec.hostile import FORGED, TRY

CONFIG = CodecPoolConfig(
    processes=1,
    call_timeout_s=60.0,
    memory_limit_bytes=1 << 30,
    max_waiting=16,
    limits=PixelLimits(50_000_000, 20_000),
    supervision=SupervisionLimits(
        start_timeout_s=120.0, stall_timeout_s=60.0, backoff_s=0.05, backoff_max_s=1.0
    ),
    log_level="error",
)
SHAPE = (48, 64, 3)


@asynccontextmanager
async def running_pool(folder, **changes):
    program = ("-P", "-m", "tests.service.codec.hostile", str(folder))
    pool = CodecPool(replace(CONFIG, program=program, **changes))
    await pool.start()
    try:
        yield pool
    finally:
        await pool.stop()


async def until(condition):
    async with asyncio.timeout(120):
        while not condition():  # noqa: ASYNC110, the condition is another process's state
            await asyncio.sleep(0.002)


class Work:
    """One call of each kind, and a check of what came of it."""

    def __init__(self, stack):
        self.png = images.encoded("png")
        self.blocks = [stack.enter_context(SharedArray.create(SHAPE, "uint8")) for _ in range(2)]

    async def decode(self, pool, index=0):
        image = await pool.decode(self.png, destination=self.blocks[index].descriptor)
        np.testing.assert_array_equal(self.blocks[index].array, images.scene())
        return image

    async def register(self, pool):
        given = [await self.decode(pool, index) for index in range(2)]
        self.blocks[0].array[:] //= 2
        found = await pool.register(given, align="auto")
        assert (found.order, found.used, found.reference) == ((0, 1), (0, 1), 1)
        assert found.exposures == tuple(block.descriptor for block in self.blocks)

    async def encode(self, pool):
        self.blocks[0].array[:] = images.scene()
        options = EncodeOptions("png")
        metadata = ImageMetadata()
        file = await pool.encode(self.blocks[0].descriptor, options=options, metadata=metadata)
        assert file.startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("kind", "work"),
    [(DecodeCall, Work.decode), (RegisterCall, Work.register), (EncodeCall, Work.encode)],
    ids=["decode", "register", "encode"],
)
async def test_a_forged_answer_costs_the_process_and_not_the_call(kind, work, tmp_path, caplog):
    with ExitStack() as stack:
        mine = Work(stack)
        async with running_pool(tmp_path) as pool:
            await work(mine, pool)
            assert (pool.violations, pool.restarts) == (0, 0)
            for count, deed in enumerate(FORGED[kind], start=1):
                (tmp_path / deed).touch()
                call = asyncio.create_task(work(mine, pool))
                await until(lambda seen=count, call=call: pool.violations == seen or call.done())
                (tmp_path / deed).unlink()
                await call
                assert (pool.violations, pool.restarts) == (count, count), deed
    said = [one for one in caplog.records if one.message == "child talks nonsense"]
    assert len(said) == len(FORGED[kind])
    assert all(len(one.reason) < 80 for one in said)


async def test_a_call_whose_answers_are_all_forged_fails_alone(tmp_path):
    with ExitStack() as stack:
        mine = Work(stack)
        async with running_pool(tmp_path) as pool:
            (tmp_path / "another block").touch()
            with pytest.raises(CodecCrashError, match="2 processes"):
                await mine.decode(pool)
            (tmp_path / "another block").unlink()
            await mine.decode(pool)
            assert pool.violations == 2


REFUSED = {"PermissionError", "OSError", "ValueError"}
ALLOWED = {"thread", "module", "own block"}


async def test_a_confined_process_is_refused_what_it_does_not_need(tmp_path):
    if set(ALL_BARS) - set(find_bars()):
        pytest.skip("this system does not confine processes wholly")
    secret = tmp_path / "secret"
    secret.write_text("a key")
    with SharedArray.create(SHAPE, "uint8") as block:
        async with running_pool(tmp_path, sandbox="require") as pool:
            tried = await try_everything(pool, tmp_path, block)
            assert tried.pop("spawn") in REFUSED
            for name, came in tried.items():
                assert (came == "done") == (name in ALLOWED), (name, came)
                assert came == "done" or came in REFUSED, (name, came)
            assert pool.restarts == 0
            assert pool.confined_by == ALL_BARS
        assert block.array.size
    assert secret.read_text() == "a key"
    assert sorted(one.name for one in tmp_path.iterdir()) == ["secret"]


async def test_a_process_that_is_not_confined_could_do_it_all(tmp_path):
    """So that the test above tests what it says."""
    (tmp_path / "secret").write_text("a key")
    with SharedArray.create(SHAPE, "uint8") as block:
        async with running_pool(tmp_path, sandbox="off") as pool:
            attempts = ("tcp", "new file", "read", "fork", "names of blocks")
            tried = await try_everything(pool, tmp_path, block, only=attempts)
            assert set(tried) == set(attempts)
            assert set(tried.values()) == {"done"}
            assert pool.confined_by == ()


async def try_everything(pool, folder, block, only=()):
    number = {"x86_64": 101, "aarch64": 117}[platform.machine()]
    name = block.descriptor.name
    given = {"outside": str(folder), "block": name, "ptrace": number, "only": list(only)}
    with pytest.raises(FusionError) as caught:
        await pool.decode(TRY + json.dumps(given).encode(), destination=block.descriptor)
    return json.loads(caught.value.message)


async def test_a_service_that_requires_what_the_system_lacks_does_not_start(tmp_path, monkeypatch):
    (tmp_path / "no seccomp").touch()
    with pytest.raises(ChildStartError, match="confined, the system lacks seccomp"):
        async with running_pool(tmp_path, sandbox="require"):
            pass
    async with running_pool(tmp_path, sandbox="auto") as pool:
        assert "seccomp" not in pool.confined_by


def test_the_numbers_of_system_calls_are_those_of_the_kernels_headers():
    headers = ["/usr/include/x86_64-linux-gnu/asm/unistd_64.h", "/usr/include/asm-generic/unistd.h"]
    if not all(Path(one).exists() for one in headers):
        pytest.skip("the kernel's headers are not installed")
    pattern = re.compile(r"#define __NR(?:3264)?_(\w+)\s+(\d+)")
    for column, header in enumerate(headers):
        known = {name: int(number) for name, number in pattern.findall(Path(header).read_text())}
        for name, numbers in (SYSCALLS | JUDGED | OWN_CALLS).items():
            if name in known or numbers[column] is None:
                assert numbers[column] == known.get(name), (name, header)
