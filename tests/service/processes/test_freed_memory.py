"""Memory that was freed: kept for the next call, given back when nobody calls."""

import subprocess
import sys

import pytest

from tests.paths import ROOT

SCRIPT = """
import os
import resource
from service.processes.freed_memory import give_back_freed_memory, keep_freed_memory

def resident():
    with open("/proc/self/statm") as fields:
        return int(fields.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") >> 20

def work():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(4):
        [b"x" * (100 << 10) for _ in range(80)]
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

if {keeps}:
    keep_freed_memory()
before = resident()
work()
faults = work()
kept = resident() - before
give_back_freed_memory()
print(faults, kept, resident() - before)
"""


QUIET_SCRIPT = (
    SCRIPT.split("if {keeps}")[0]
    + """
import time
from service.processes.freed_memory import KeptMemory, QUIET_S

clock = [time.monotonic()]
time.monotonic = lambda: clock[0]
kept = KeptMemory()
before = resident()
work()
kept.note_work()
clock[0] += QUIET_S
kept.give_back_when_quiet()
soon = resident() - before
clock[0] += 0.1
kept.give_back_when_quiet()
print(soon, resident() - before)
"""
)


LOOP_SCRIPT = (
    SCRIPT.split("if {keeps}")[0]
    + """
import asyncio
from service.processes import freed_memory

async def serve():
    freed_memory.GIVE_BACK_EVERY_S = 1.0
    giving = asyncio.create_task(freed_memory.give_back_regularly())
    await asyncio.sleep(0)
    before = resident()
    work()
    print(work(), resident() - before)
    deadline = asyncio.get_running_loop().time() + 60
    while resident() - before > 2:
        assert asyncio.get_running_loop().time() < deadline
        await asyncio.sleep(0.05)
    giving.cancel()

asyncio.run(serve())
"""
)


def run(*, keeps: bool) -> tuple[int, ...]:
    """Page faults of work done again; MiB kept after it, and after those were given back."""
    return run_script(SCRIPT.format(keeps=keeps))


def run_script(code: str) -> tuple[int, ...]:
    """The numbers that a script prints."""
    ended = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return tuple(int(word) for word in ended.stdout.split())


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's allocator")
def test_memory_is_kept_for_the_next_call_and_given_back_on_demand():
    faults, kept, left = run(keeps=True)
    assert faults < 100
    assert kept >= 6
    assert left <= 2
    assert run(keeps=False)[0] > 4 * 1500, "the C library keeps it by itself"


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's allocator")
def test_a_child_process_gives_back_what_it_kept_once_it_is_quiet():
    soon, later = run_script(QUIET_SCRIPT)
    assert soon >= 6
    assert later <= 2


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's allocator")
def test_the_event_loop_keeps_memory_between_two_times_of_giving_it_back():
    faults, kept = run_script(LOOP_SCRIPT)
    assert faults < 100
    assert kept >= 6
