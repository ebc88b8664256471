"""Sends damaged files through real codec processes and counts what became of them."""

import asyncio
import time
from collections import Counter

import psutil

from expofuse.errors import FileError
from expofuse.files.headers import PixelLimits, check_size, sniff
from service.codec.pool import CodecPool, CodecPoolConfig
from service.errors import CodecError
from service.processes.shared_memory import SharedArray
from service.processes.supervision_limits import SupervisionLimits
from tests.fuzz.mutants import make_mutants

LIMITS = PixelLimits(max_pixels=4_000_000, max_side_px=20_000)
CONFIG = CodecPoolConfig(
    processes=2,
    threads_per_process=1,
    call_timeout_s=30.0,
    memory_limit_bytes=1 << 30,
    max_waiting=64,
    limits=LIMITS,
    supervision=SupervisionLimits(
        start_timeout_s=60.0, stall_timeout_s=60.0, backoff_s=0.05, backoff_max_s=1.0
    ),
)
WARMED = 1000
"""Files after which the processes have loaded what they need, and are measured."""


async def answer(pool: CodecPool, data: bytes) -> str:
    """What a client would be told: the code of a problem, or that there is a picture."""
    try:
        header = sniff(data)
        check_size(header, LIMITS)
        shape = (header.height_px, header.width_px, 3)
        with SharedArray.create(shape, "uint16" if header.bits == 16 else "uint8") as block:
            await pool.decode(data, destination=block.descriptor)
    except (FileError, CodecError) as error:
        return error.code
    return "picture"


def read_memory() -> dict[str, int]:
    """MiB of this process, and of the largest codec process."""
    own = psutil.Process()
    children = [
        one.memory_info().rss for one in own.children() if "service.codec.child" in one.cmdline()
    ]
    return {"own": own.memory_info().rss >> 20, "codec": max(children, default=0) >> 20}


async def run(seed: int, count: int) -> dict[str, object]:
    """Answer all files, two at a time."""
    pool = CodecPool(CONFIG)
    await pool.start()
    answers: Counter[str] = Counter()
    memory: dict[str, int] = {}
    begin = time.monotonic()
    mutants = make_mutants(seed=seed, count=count)

    async def work() -> None:
        for _, data in mutants:
            answers[await answer(pool, data)] += 1
            if sum(answers.values()) == WARMED:
                memory.update(read_memory())

    try:
        await asyncio.gather(work(), work())
        return {
            "files": sum(answers.values()),
            "answers": dict(answers.most_common()),
            "processes lost": pool.restarts,
            "MiB after the first thousand": memory,
            "MiB at the end": read_memory(),
            "seconds": round(time.monotonic() - begin),
        }
    finally:
        await pool.stop()


def send_files(seed: int, count: int) -> dict[str, object]:
    """Answer so many files; what became of them."""
    return asyncio.run(run(seed, count))
