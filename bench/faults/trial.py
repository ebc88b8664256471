"""One fault, done to a service of its own under load, with what was counted before and after."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bench.capacity import learn_pictures
from bench.faults.confine import ControlGroup
from bench.faults.family import CODEC, WORKER, find, weigh
from bench.faults.ledger import Ledger, keep_asking
from bench.line import Lines, LostError
from bench.open_loop import OK, Kind
from bench.processes import list_family
from bench.running_service import RunningService, watched_service

CLIENTS = 3
REQUEST_TIMEOUT_S = 30.0
PROBE_EVERY_S = 0.05
PROBE = b"GET /healthz HTTP/1.1\r\nHost: bench\r\n\r\n"
PROBE_CALLER = 200
RECOVERY_S = 30.0
RECOVERED_ANSWERS = 3
"""So many pictures in a row, and all processes there, and a service has recovered."""

WARM_UP_S = 3.0
"""Of the same load without a fault, so that what is weighed before has met it too."""

SETTLE_S = 2.0
GIVE_BACK_S = 28.0
"""Blocks of shared memory that nobody needs are given back after twenty seconds."""

ENOUGH = 1.1
"""Memory after a fault is as it was where it is within this of what it was before."""


@dataclass(frozen=True, slots=True)
class Confined:
    """How a service is started.

    Attributes:
        before: A command that becomes the service's.
        settings: More variables of its environment.
        group: Its control group; None: that of everybody.
        clock: The file that shifts its clock; None: it has the true one.
    """

    before: Sequence[str] = ()
    settings: Mapping[str, str] = field(default_factory=dict)
    group: ControlGroup | None = None
    clock: Path | None = None


@dataclass(frozen=True, slots=True)
class Trial:
    """What a fault is done to.

    Attributes:
        service: Running, with load.
        small: What well-behaved clients send.
        seconds: How long the fault lasts, about.
        confined: How it was started.
        ends: What became of those who behave badly, by words; filled in by the fault.
    """

    service: RunningService
    small: Kind
    seconds: float
    confined: Confined
    ends: Counter[str] = field(default_factory=Counter)

    @property
    def url(self) -> str:
        """Of the service."""
        return self.service.url

    def find(self, role: str) -> list[int]:
        """Its processes of a role."""
        return find(self.service.pid, role)


@contextmanager
def unconfined(folder: Path) -> Iterator[Confined]:
    """As it is."""
    yield Confined()


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that goes wrong.

    Attributes:
        name: Of the fault, for a record and for `--only`.
        what: In words, for a table.
        act: Does it to a trial, from the beginning to the end, and takes it back.
        confine: How the service is started, given a folder for whatever that takes.
        settings: More variables of the service's environment.
    """

    name: str
    what: str
    act: Callable[[Trial], Awaitable[None]]
    confine: Callable[[Path], AbstractContextManager[Confined]] = unconfined
    settings: Mapping[str, str] = field(default_factory=dict)


async def try_fault(fault: Fault, kind: Kind, *, seconds: float) -> dict[str, object]:
    """Start a service, do the fault to it under load, and see that it recovers.

    Args:
        fault: What is done.
        kind: What well-behaved clients send meanwhile.
        seconds: How long.

    Raises:
        CannotConfineError: This machine does not let us.
    """
    with tempfile.TemporaryDirectory() as folder, fault.confine(Path(folder)) as confined:
        log_path = Path(folder) / "service.log"
        with (
            log_path.open("wb") as log,
            watched_service(
                settings={**confined.settings, **fault.settings},
                before=confined.before,
                log=log,
            ) as service,
        ):
            found = await _try_on(service, confined, fault, kind, seconds)
        return {"name": fault.name, "what": fault.what, **found}


async def _try_on(
    service: RunningService, confined: Confined, fault: Fault, kind: Kind, seconds: float
) -> dict[str, object]:
    lines = Lines(service.url)
    (small,) = (await learn_pictures(lines, [kind])).values()
    lines.close()
    trial = Trial(service, small, seconds, confined)
    async with _load(trial):
        await asyncio.sleep(min(WARM_UP_S, seconds))
    await asyncio.sleep(SETTLE_S)
    before, were_there = weigh(service.pid), set(list_family(service.pid))
    wanted = {role: len(find(service.pid, role)) for role in (CODEC, WORKER)}
    async with _load(trial) as seen:
        await asyncio.sleep(min(1.0, seconds / 4))
        await fault.act(trial)
        recovered_s = await _recover(service, small, wanted)
    ended = len(were_there - set(list_family(service.pid)))
    after, settled_s = await _settle(service.pid, before) if recovered_s is not None else (None, 0)
    return {
        **seen.ledger.describe(),
        "longest_silence_s": round(seen.silence_s, 3),
        "recovered_s": None if recovered_s is None else round(recovered_s, 2),
        "before": before,
        "after": after,
        "ended_processes": ended,
        "settled_s": round(settled_s, 1),
        "ends": dict(trial.ends),
    }


@dataclass(slots=True)
class Seen:
    """What well-behaved clients saw.

    Attributes:
        ledger: Their requests.
        silence_s: The slowest answer of `/healthz`; known at the end.
    """

    ledger: Ledger = field(default_factory=Ledger)
    silence_s: float = 0.0


@asynccontextmanager
async def _load(trial: Trial) -> AsyncIterator[Seen]:
    """Well-behaved clients within the block; all of them have their answers behind it."""
    seen, is_over = Seen(), asyncio.Event()
    clients = [
        asyncio.create_task(
            keep_asking(
                trial.url, trial.small, seen.ledger,
                caller=number, is_over=is_over, timeout_s=REQUEST_TIMEOUT_S,
            )
        )
        for number in range(CLIENTS)
    ]  # fmt: skip
    probing = asyncio.create_task(_probe(trial.url, is_over))
    try:
        yield seen
    finally:
        is_over.set()
        await asyncio.gather(*clients)
        seen.silence_s = await probing


async def _probe(url: str, is_over: asyncio.Event) -> float:
    """Ask whether the process answers, again and again; seconds of the slowest answer.

    One that gets no connection, or a refusal, is not counted: it is not silence.
    """
    lines = Lines(url, range(PROBE_CALLER, PROBE_CALLER + 1))
    slowest_s = 0.0
    while not is_over.is_set():
        begin_s = time.monotonic()
        try:
            await lines.ask(PROBE, timeout_s=REQUEST_TIMEOUT_S)
            slowest_s = max(slowest_s, time.monotonic() - begin_s)
        except LostError:
            if time.monotonic() - begin_s >= REQUEST_TIMEOUT_S:
                slowest_s = REQUEST_TIMEOUT_S
        await asyncio.sleep(PROBE_EVERY_S)
    lines.close()
    return slowest_s


async def _settle(pid: int, before: Mapping[str, object]) -> tuple[dict[str, object], float]:
    """Wait until a service without requests holds what it held; what it holds then, and seconds.

    It may hold more at the end of the time.
    """
    begin_s = time.monotonic()
    while True:
        await asyncio.sleep(SETTLE_S)
        after, seconds = weigh(pid), time.monotonic() - begin_s
        if holds_no_more(after, before) or seconds > GIVE_BACK_S:
            return after, seconds


def holds_no_more(after: Mapping[str, object], before: Mapping[str, object]) -> bool:
    """Memory, open files and processes are as they were.

    Args:
        after: From `bench.faults.family.weigh`.
        before: Likewise.
    """
    memory, files = (
        (float(after[name]), float(before[name]))  # type: ignore[arg-type]
        for name in ("memory_mib", "open_files")
    )
    is_same = after["processes"] == before["processes"]
    return is_same and memory[0] <= ENOUGH * memory[1] and files[0] <= files[1]


async def _recover(service: RunningService, small: Kind, wanted: Mapping[str, int]) -> float | None:
    """Seconds from the end of a fault to the first of some right answers in a row.

    None: they did not come in time, or processes are missing.
    """
    lines = Lines(service.url)
    begin_s = time.monotonic()
    in_a_row, since_s = 0, 0.0
    while time.monotonic() < begin_s + RECOVERY_S:
        try:
            reply = await lines.ask(small.request, timeout_s=RECOVERY_S)
            is_right = reply.status == OK and reply.content == small.picture
        except LostError:
            is_right = False
        are_there = all(len(find(service.pid, role)) >= count for role, count in wanted.items())
        if is_right and are_there:
            since_s = since_s if in_a_row else time.monotonic()
            in_a_row += 1
            if in_a_row == RECOVERED_ANSWERS:
                lines.close()
                return since_s - begin_s
        else:
            in_a_row = 0
            await asyncio.sleep(0.1)
    lines.close()
    return None
