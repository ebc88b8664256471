"""Every fault: what is done to a running service, and how it is taken back."""

from __future__ import annotations

import asyncio
import itertools
import resource
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from bench.client import make_form
from bench.faults import hostile
from bench.faults.confine import control_group, fill, jumping_clock, mount_command
from bench.faults.family import CODEC, WORKER, kill
from bench.faults.trial import Confined, Fault, Trial
from bench.line import make_request
from bench.scenes import take_still

MIB = 2**20
CODEC_KILLS_EVERY_S = 1.0
WORKER_KILLS_EVERY_S = 3.0
FEW_FILES = 64
IDLE_CONNECTIONS = 120
CLOCK_JUMPS_S = (3600, -7200, 0)
DISCONNECTS = 500
DISCONNECTS_AT_ONCE = 20
SLOW_READERS = 300
SLOW_SENDERS = 60
BOMBS = 3
UPLOADS, UPLOAD_MB = 19, 250
MEMORY_ROOM = 16 * MIB
"""Less than one codec process needs for a pair that it has not seen."""

HOSTILE_CALLERS = 50
"""Numbers of addresses from here on belong to clients that behave badly."""

DISK = "disk"
SMALL_SHARED_MIB, SMALL_DISK_MIB = 512, 16
FEW_MEGAPIXELS = {
    "EXPOFUSE_LIMITS__MAX_MEGAPIXELS_IN_FLIGHT": "16",
    "EXPOFUSE_LIMITS__MAX_MEGAPIXELS": "8",
}
"""Bounds that fit a small `/dev/shm`."""

IMPATIENT = {"EXPOFUSE_WORKER__STALL_TIMEOUT_S": "3"}


async def _kill_again_and_again(trial: Trial, role: str, every_s: float) -> None:
    end_s = time.monotonic() + trial.seconds
    for turn in itertools.count():
        victims = trial.find(role)
        if victims:
            kill(victims[turn % len(victims)])
            trial.ends["killed"] += 1
        if time.monotonic() + every_s > end_s:
            return
        await asyncio.sleep(every_s)


async def kill_workers(trial: Trial) -> None:
    """SIGKILL to the device worker, every few seconds."""
    await _kill_again_and_again(trial, WORKER, WORKER_KILLS_EVERY_S)


async def kill_codecs(trial: Trial) -> None:
    """SIGKILL to the codec processes in turn, every second."""
    await _kill_again_and_again(trial, CODEC, CODEC_KILLS_EVERY_S)


async def stop_each(trial: Trial) -> None:
    """SIGSTOP to each child process in turn, and SIGCONT some seconds later."""
    victims = [*trial.find(WORKER), *trial.find(CODEC)]
    for victim in victims:
        kill(victim, signal.SIGSTOP)
        trial.ends["stopped"] += 1
        await asyncio.sleep(trial.seconds / len(victims))
        kill(victim, signal.SIGCONT)


@contextmanager
def small_shared_memory(folder: Path) -> Iterator[Confined]:
    """A `/dev/shm` of its own."""
    yield Confined(before=mount_command("/dev/shm", SMALL_SHARED_MIB), settings=FEW_MEGAPIXELS)


@contextmanager
def small_disk(folder: Path) -> Iterator[Confined]:
    """A folder of its own for temporary files."""
    place = folder / DISK
    place.mkdir()
    yield Confined(
        before=mount_command(str(place), SMALL_DISK_MIB), settings={"TMPDIR": str(place)}
    )


async def fill_shared_memory(trial: Trial) -> None:
    """Not a byte is free in `/dev/shm`."""
    await _fill(trial, "/dev/shm")


async def fill_disk(trial: Trial) -> None:
    """Not a byte is free where temporary files go."""
    await _fill(trial, trial.confined.settings["TMPDIR"])


async def _fill(trial: Trial, path: str) -> None:
    filler = await asyncio.to_thread(fill, trial.service.pid, path)
    try:
        # Blocks that are kept do for a while; a child that starts anew and another size do not.
        for victim in trial.find(CODEC)[:1]:
            kill(victim)
            trial.ends["killed"] += 1
        other = make_request(make_form(take_still(2.0).encode()))
        await hostile.ask_once(trial.url, other, trial.ends, caller=HOSTILE_CALLERS)
        await asyncio.sleep(trial.seconds)
    finally:
        filler.unlink()


@contextmanager
def bounded_memory(folder: Path) -> Iterator[Confined]:
    """A control group for memory."""
    with control_group("memory") as group:
        yield Confined(before=group.command, group=group)


@contextmanager
def bounded_processes(folder: Path) -> Iterator[Confined]:
    """A control group for processes."""
    with control_group("pids") as group:
        yield Confined(before=group.command, group=group)


async def take_memory(trial: Trial) -> None:
    """No more than what is used, and a pair that needs more; the kernel kills who asks for it."""
    assert trial.confined.group is not None
    large = make_request(make_form(take_still(12.0).encode()))
    trial.confined.group.tighten(MEMORY_ROOM)
    try:
        asking = asyncio.create_task(
            hostile.ask_once(trial.url, large, trial.ends, caller=HOSTILE_CALLERS)
        )
        await asyncio.sleep(trial.seconds)
    finally:
        trial.confined.group.loosen()
    await asking


async def take_processes(trial: Trial) -> None:
    """No process or thread more than there are, and one of each kind killed."""
    assert trial.confined.group is not None
    victims = [*trial.find(CODEC)[:1], *trial.find(WORKER)]
    for victim in victims:
        kill(victim)
        trial.ends["killed"] += 1
    await asyncio.sleep(0.05)
    trial.confined.group.tighten(0)
    try:
        await asyncio.sleep(trial.seconds)
    finally:
        trial.confined.group.loosen()


async def take_files(trial: Trial) -> None:
    """64 files, 120 idle connections, and one process of each kind killed."""
    pid = trial.service.pid
    soft, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (FEW_FILES, hard))
    writers = []
    try:
        for number in range(IDLE_CONNECTIONS):
            _, writer = await hostile.open_stream(trial.url, HOSTILE_CALLERS + number % 10)
            writers.append(writer)
        for victim in (*trial.find(CODEC)[:1], *trial.find(WORKER)):
            kill(victim)
            trial.ends["killed"] += 1
        await asyncio.sleep(trial.seconds)
    finally:
        for writer in writers:
            writer.close()
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (soft, hard))


@contextmanager
def shifted_clock(folder: Path) -> Iterator[Confined]:
    """A time of day that a file shifts."""
    with jumping_clock(folder) as (variables, offset):
        yield Confined(settings=variables, clock=offset)


async def shift_clock(trial: Trial) -> None:
    """The time of day jumps an hour forth, two back, and home."""
    assert trial.confined.clock is not None
    for seconds in CLOCK_JUMPS_S:
        trial.confined.clock.write_text(str(seconds), encoding="ascii")
        trial.ends["jumped"] += 1
        await asyncio.sleep(trial.seconds / len(CLOCK_JUMPS_S))


async def disconnect(trial: Trial) -> None:
    """500 clients leave at random moments, some in the middle of their request."""
    rng = np.random.default_rng(1)
    gate = asyncio.Semaphore(DISCONNECTS_AT_ONCE)

    async def leave(number: int) -> None:
        async with gate:
            await hostile.leave_at_random(
                trial.url, trial.small.request, trial.ends,
                caller=HOSTILE_CALLERS + number % 20, rng=rng,
            )  # fmt: skip

    await asyncio.gather(*map(leave, range(DISCONNECTS)))


async def read_slowly(trial: Trial) -> None:
    """300 clients that take their picture by a kilobyte at a time."""
    request = make_request(
        make_form(take_still(0.05).encode()), target="/fuse?format=tiff&align=off&ghosts=off"
    )
    is_over = asyncio.Event()
    tasks = []
    for number in range(SLOW_READERS):
        slow = hostile.read_slowly(
            trial.url, request, trial.ends, caller=HOSTILE_CALLERS + number, is_over=is_over
        )
        tasks.append(asyncio.create_task(slow))
        await asyncio.sleep(trial.seconds / SLOW_READERS)
    await asyncio.sleep(trial.seconds / 2)
    is_over.set()
    await asyncio.wait(tasks, timeout=trial.seconds)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def send_slowly(trial: Trial) -> None:
    """60 clients that send their heads by a byte twice a second."""
    is_over = asyncio.Event()
    slow = [
        asyncio.create_task(
            hostile.send_slowly(
                trial.url, trial.ends, caller=HOSTILE_CALLERS + number, is_over=is_over
            )
        )
        for number in range(SLOW_SENDERS)
    ]
    await asyncio.wait(slow, timeout=2 * trial.seconds)
    is_over.set()
    await asyncio.gather(*slow)


async def send_bombs(trial: Trial) -> None:
    """Three pairs of 50 megapixels in a few hundred bytes."""
    request = hostile.make_pair_request(hostile.make_bomb())
    await asyncio.wait(
        [
            asyncio.create_task(
                hostile.ask_once(trial.url, request, trial.ends, caller=HOSTILE_CALLERS)
            )
            for _ in range(BOMBS)
        ],
        timeout=2 * trial.seconds,
    )


async def send_poison(trial: Trial) -> None:
    """Files of little picture and much metadata."""
    for make in (hostile.make_poisoned_png, hostile.make_poisoned_jpeg):
        poisoned = await asyncio.to_thread(make)
        request = hostile.make_pair_request(poisoned)
        await hostile.ask_once(trial.url, request, trial.ends, caller=HOSTILE_CALLERS)


async def upload_in_vain(trial: Trial) -> None:
    """Uploads of 250 MB that are refused, one after the other."""
    end_s = time.monotonic() + 2 * trial.seconds
    for _ in range(UPLOADS):
        await hostile.upload_refused(trial.url, UPLOAD_MB, trial.ends, caller=HOSTILE_CALLERS)
        if time.monotonic() > end_s:
            return


FAULTS = (
    Fault("kill worker", "the device worker killed every 3 s", kill_workers),
    Fault("kill codec", "a codec process killed every second", kill_codecs),
    Fault("stop", "each child stopped for some seconds", stop_each, settings=IMPATIENT),
    Fault("full shm", "`/dev/shm` full, a codec process killed", fill_shared_memory,
          confine=small_shared_memory),
    Fault("full disk", "no room for temporary files, a codec process killed", fill_disk,
          confine=small_disk),
    Fault("no memory", "control group at its limit, a pair of 12 MP sent", take_memory,
          confine=bounded_memory),
    Fault("no pids", "no process more, worker and codec process killed", take_processes,
          confine=bounded_processes),
    Fault("no files", "64 open files, 120 connections, both killed", take_files),
    Fault("clock jump", "time of day an hour forth, two back", shift_clock, confine=shifted_clock),
    Fault("disconnects", "500 clients that leave at random moments", disconnect),
    Fault("slow readers", "300 clients that read a kilobyte at a time", read_slowly),
    Fault("slow loris", "60 clients that send two bytes a second", send_slowly),
    Fault("bombs", "three pairs of 50 MP in a few hundred bytes", send_bombs),
    Fault("metadata", "28 MB of texts in a PNG, 65 MB of EXIF in a JPEG", send_poison),
    Fault("refused uploads", "19 uploads of 250 MB that are no pictures", upload_in_vain),
)  # fmt: skip
"""In the order of the table."""
