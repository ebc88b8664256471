"""Whose fault an end is, and when a piece of work is held to be the cause."""

import asyncio
import signal
import time

import pytest

from service.processes.child_end import ChildEnd
from service.processes.counted_timer import CountedTimer
from service.processes.suspicion import MAX_ENDS_ALONE, Suspicion

KILLED, CRASHED = ChildEnd(-signal.SIGKILL, False), ChildEnd(-signal.SIGSEGV, False)


@pytest.mark.parametrize("status", [-signal.SIGSEGV, -signal.SIGABRT, -signal.SIGBUS, 0, 1, None])
def test_crashes_exits_and_what_is_unknown_are_its_own(status):
    assert not ChildEnd(status, False).is_from_outside


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP])
def test_what_others_send_is_from_outside_unless_it_was_sent_here(number):
    assert ChildEnd(-number, False).is_from_outside
    assert not ChildEnd(-number, True).is_from_outside


@pytest.mark.parametrize(
    ("ends", "must_run_alone", "is_cause"),
    [
        ([], False, False),
        ([(KILLED, False)], False, False),
        ([(KILLED, False)] * 2, True, False),
        ([(KILLED, False)] * 9, True, False),
        ([(KILLED, True)] * (MAX_ENDS_ALONE - 1), True, False),
        ([(KILLED, True)] * MAX_ENDS_ALONE, True, True),
        ([(CRASHED, False)], True, False),
        ([(CRASHED, False)] * 9, True, False),
        ([(CRASHED, False), (CRASHED, True)], True, False),
        ([(CRASHED, False), (CRASHED, True), (CRASHED, True)], True, True),
        ([(CRASHED, True), (KILLED, True), (CRASHED, True)], True, True),
    ],
)
def test_work_is_the_cause_only_of_what_it_alone_can_have_caused(ends, must_run_alone, is_cause):
    suspicion = Suspicion()
    for end, was_alone in ends:
        suspicion.note(end, was_alone=was_alone)
    assert (suspicion.must_run_alone, suspicion.is_cause) == (must_run_alone, is_cause)
    assert suspicion.ends == len(ends)


async def test_a_pause_of_the_event_loop_does_not_use_a_time_up():
    called = asyncio.Event()
    CountedTimer(0.8, called.set)
    await asyncio.sleep(0)
    time.sleep(2.0)  # noqa: ASYNC251, a loop that is held up is the point
    await asyncio.sleep(0)
    assert not called.is_set()
    async with asyncio.timeout(30):
        await called.wait()


async def test_a_timer_that_is_cancelled_calls_nobody():
    called = asyncio.Event()
    timer = CountedTimer(0.01, called.set)
    timer.cancel()
    await asyncio.sleep(0.1)
    assert not called.is_set()
