"""One child process by itself: however it ends, its end is told and nothing of it is left open."""

import asyncio
import gc
import os
import sys
from collections.abc import Coroutine
from typing import Any

import psutil
import pytest
import uvloop
from pydantic import TypeAdapter

from service.processes.child_end import ChildEnd
from service.processes.child_process import (
    ChildProcess,
    ChildProgram,
    UnexpectedMessageError,
)
from service.processes.wire import Ping, Pong, StartFailed, Stop, Wire
from tests.service.http.live import until

WIRE = Wire(TypeAdapter(Ping | Stop), TypeAdapter(Pong | StartFailed))
SAY = """
import os, struct, subprocess, sys, time
PONG = struct.pack("<IQ", 15, 0) + b'{"kind":"pong"}'
def say(data):
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()
"""
ANSWER_THE_PING = "sys.stdin.buffer.read(1); say(PONG); "
FLOOD = "say(PONG * (1 << 20))"
"""Far more than the streams hold: the event loop stops reading."""


def program(deed: str) -> ChildProgram[Any, Any]:
    command = (sys.executable, "-c", SAY + deed)
    return ChildProgram("test child", command, dict(os.environ), WIRE, Pong)


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def run(request):
    """Run in an event loop, at whose end everything that was opened in it has to be closed."""
    with asyncio.Runner(loop_factory=request.param) as runner:
        runner.run(live(""))  # A loop keeps what it opens for its first process.

        async def watch(main: Coroutine[Any, Any, Any]) -> Any:
            before = psutil.Process().num_fds()
            try:
                return await main
            finally:
                await until(lambda: psutil.Process().num_fds() <= before)

        yield lambda main: runner.run(watch(main))
    gc.collect()  # What warns of an unclosed transport.


def start(deed, on_message=lambda child, message, payload: None):
    return ChildProcess.start(program(deed), on_message, lambda message: 0)


async def end_of(child) -> ChildEnd:
    async with asyncio.timeout(60):
        return await child.ended


async def live(*args, pings=0) -> ChildEnd:
    child = await start(*args)
    for _ in range(pings):
        child.send(Ping())
    return await end_of(child)


def test_a_process_answers_and_exits(run):
    said = []
    end = run(live(ANSWER_THE_PING + "sys.exit(3)", lambda _, *one: said.append(one), pings=1))
    assert end == ChildEnd(3, was_ended_here=False)
    assert said == [(Pong(), b"")]


def test_a_process_that_floods_its_pipe_with_nonsense_is_ended_whatever_is_unread(run):
    heard = 0

    def refuse_late(child, message, payload):
        nonlocal heard
        heard += 1
        if heard == 10_000:
            raise UnexpectedMessageError("too much")

    end = run(live(FLOOD + "; time.sleep(600)", refuse_late))
    assert end == ChildEnd(-9, was_ended_here=True, talked_nonsense=True)
    assert heard == 10_000


def test_a_process_that_says_no_message_is_ended(run):
    end = run(live("say(b'x' * (4 << 20)); time.sleep(600)"))
    assert end == ChildEnd(-9, was_ended_here=True, talked_nonsense=True)


def test_the_last_words_of_a_process_are_heard(run):
    said = []
    end = run(live("say(PONG * 5000)", lambda *one: said.append(one)))
    assert end == ChildEnd(0, was_ended_here=False)
    assert len(said) == 5000


def test_a_process_that_closes_its_pipe_is_ended(run):
    end = run(live("os.closerange(1, 100); time.sleep(600)"))
    assert end == ChildEnd(-9, was_ended_here=True)


def test_a_process_is_gone_though_another_one_holds_its_pipes(run):
    heir_pid = "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']).pid"
    heirs = []

    def note(child, message, payload):
        heirs.append(int(message.reason))

    deed = f"""
text = b'{{"kind":"start-failed","reason":"%d"}}' % {heir_pid}
say(struct.pack("<IQ", len(text), 0) + text)
"""
    try:
        end = run(live(deed, note))
        assert end == ChildEnd(0, was_ended_here=False)
        assert psutil.pid_exists(heirs[0])
    finally:
        for pid in heirs:
            psutil.Process(pid).kill()


def test_what_a_process_did_not_read_is_dropped_at_its_end(run):
    async def send_much():
        child = await start("say(PONG); time.sleep(600)", lambda *one: one[0].kill())
        child.send(Ping(), bytes(16 << 20))
        return await end_of(child)

    assert run(send_much()) == ChildEnd(-9, was_ended_here=True)


def test_what_is_sent_to_a_process_that_reads_no_more_is_lost(run):
    deed = "os.close(0); os.closerange(3, 100); time.sleep(0.3); say(PONG); time.sleep(0.3)"
    end = run(live(deed, lambda child, *_: child.send(Ping())))
    assert end == ChildEnd(0, was_ended_here=False)


def test_a_fault_of_the_one_who_listens_ends_the_process_and_is_told(run):
    pids = []

    def fail(child, message, payload):
        pids.append(child.pid)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run(live("say(PONG); time.sleep(600)", fail))
    assert not psutil.pid_exists(pids[0])


def test_a_start_that_is_given_up_leaves_no_process(run):
    others = set(psutil.Process().children())

    async def give_up(turns):
        starting = asyncio.create_task(start("time.sleep(600)"))
        for _ in range(turns):
            await asyncio.sleep(0)
        starting.cancel()
        try:
            child = await starting
        except asyncio.CancelledError:
            await until(lambda: set(psutil.Process().children()) <= others)
        else:
            child.kill()
            await end_of(child)

    for turns in range(8):
        run(give_up(turns))
