"""Keeps one child process alive: starts it, listens for its heartbeat, and replaces it."""

import asyncio
import logging
from contextlib import suppress
from typing import Generic, Protocol, TypeVar

from service.errors import ChildStartError
from service.processes.child_end import ChildEnd
from service.processes.child_process import (
    REAP_TIMEOUT_S,
    ChildProcess,
    ChildProgram,
    UnexpectedMessageError,
)
from service.processes.counted_timer import BEATS
from service.processes.supervision_limits import SupervisionLimits
from service.processes.wire import FromChild, Ping, Pong, StartFailed, Stop, ToChild

STOP_TIMEOUT_S = 5.0
"""An idle child ends within milliseconds; CUDA's teardown may take seconds."""

PASSING_BACKOFF_MAX_S = 2.0
"""Longest wait where the system gave no process or somebody ended it: a trial costs little then."""

MISSED_BEATS = 4
"""Beats in a row that a child may miss. Beats are counted, not seconds, so that an event loop that
was itself held up for a while holds no child responsible for it."""

Contra = TypeVar("Contra", contravariant=True)

logger = logging.getLogger(__name__)


class ChildOwner(Protocol[Contra]):
    """Who a supervisor keeps a child for; all its methods are called in the event loop."""

    @property
    def is_child_excused(self) -> bool:
        """The child is busy with something that has a time limit of its own: no heartbeat."""
        ...

    def on_child_up(self, ready: Contra) -> None:
        """A child is warmed up; `ready` is its message that says so."""
        ...

    def bound_payload(self, message: Contra) -> int:
        """The most bytes that may follow this message."""
        ...

    def on_child_message(self, message: Contra, payload: bytes) -> None:
        """The child said something that is not the supervisor's business.

        Raises:
            UnexpectedMessageError: It had no reason to; the child is replaced.
        """
        ...

    def on_child_down(self, end: ChildEnd) -> None:
        """The child that was up has ended, or is about to; another one will come up."""
        ...


class Supervisor(Generic[ToChild, FromChild]):
    """Keeps one child process alive until it is stopped.

    A child that ends, hangs, floods or talks nonsense is replaced at once. A start that fails is
    tried again, ever more slowly, for as long as it takes: what a system lacks for a moment,
    processes, memory or files, must not be lost for good. Where the system gave nothing, or
    somebody ended the child meanwhile, it is tried again within two seconds.

    Args:
        program: What is run.
        owner: Who is told what happens.
        limits: How patient it is.
    """

    def __init__(
        self,
        program: ChildProgram[ToChild, FromChild],
        owner: ChildOwner[FromChild],
        limits: SupervisionLimits,
    ) -> None:
        self._program = program
        self._owner = owner
        self._limits = limits
        self._child: ChildProcess[ToChild, FromChild] | None = None
        self._first_word: asyncio.Future[FromChild] | None = None
        self._is_up = False
        self._is_pinged = False
        self._is_ping_due = False
        self._missed_beats = 0
        self._restarts = 0
        self._start_failures = 0
        self._violations = 0
        self._keeper: asyncio.Task[None] | None = None

    @property
    def is_up(self) -> bool:
        """A child is alive and warmed up."""
        return self._is_up

    @property
    def pid(self) -> int | None:
        """Process id of the child that is alive; None between two of them."""
        return self._child.pid if self._child is not None else None

    @property
    def restarts(self) -> int:
        """Children that were up and had to be replaced; counted before their owner is told."""
        return self._restarts

    @property
    def start_failures(self) -> int:
        """Starts that failed."""
        return self._start_failures

    @property
    def violations(self) -> int:
        """Children that said what they had no reason to say."""
        return self._violations

    @property
    def unsent(self) -> int:
        """Messages that wait for room in the pipe."""
        return self._child.unsent if self._child is not None else 0

    async def start(self) -> None:
        """Start the first child and wait until it is warmed up.

        Raises:
            ChildStartError: It did not come up; it is not tried again.
        """
        await self._bring_up()
        self._keeper = asyncio.create_task(self._keep(), name=f"{self._program.name}-keeper")
        self._keeper.add_done_callback(self._note_end)

    async def stop(self, *, is_graceful: bool) -> None:
        """End the child and keep none from now on.

        Args:
            is_graceful: Ask it first; right for a child without work.
        """
        if self._keeper is not None:
            self._keeper.cancel()
            with suppress(asyncio.CancelledError):
                await self._keeper
        child, self._child = self._child, None
        self._is_up = False
        if child is None:
            return
        if is_graceful:
            child.send(self._program.wire.to_child.validate_python(Stop()))
            await asyncio.wait({child.ended}, timeout=STOP_TIMEOUT_S)
        await self._end(child)

    def send(self, message: ToChild, payload: bytes | bytearray | memoryview = b"") -> None:
        """Send the child a message; to a child that is gone it is lost, and its owner is told."""
        if self._child is not None:
            self._child.send(message, payload)

    def ping(self) -> None:
        """Have the child answer when its loop comes round; it looks after its memory then.

        At most one ping is under way: what is asked for meanwhile is sent after its answer.
        """
        if not self._is_up or self._child is None:
            return
        self._is_ping_due = self._is_pinged
        if not self._is_pinged:
            self._is_pinged = True
            self._child.send(self._program.wire.to_child.validate_python(Ping()))

    def replace(self, reason: str) -> None:
        """End the child because its owner has lost trust in it; another one comes up."""
        if self._child is not None and self._is_up:
            logger.warning("child is replaced", extra=self._as_extra(reason=reason))
            self._child.kill()

    async def _bring_up(self) -> None:
        """Start a child, wait for its first word, and tell the owner."""
        first_word = self._first_word = asyncio.get_running_loop().create_future()
        self._is_pinged = self._is_ping_due = False
        self._missed_beats = 0
        child = self._child = await ChildProcess.start(
            self._program, self._receive, self._owner.bound_payload
        )
        try:
            for _ in range(BEATS):
                await asyncio.wait(
                    {first_word, child.ended},
                    timeout=self._limits.start_timeout_s / BEATS,
                    return_when=asyncio.FIRST_COMPLETED,
                )
            if first_word.done():
                ready = first_word.result()
            elif child.ended.done():
                end = child.ended.result()
                raise ChildStartError(
                    f"the {self._program.name} ended while it started, "
                    f"with exit status {end.exit_status}",
                    is_passing=end.is_from_outside,
                )
            else:
                raise ChildStartError(
                    f"expected the {self._program.name} to be ready within "
                    f"{self._limits.start_timeout_s:g} s, it was not"
                )
        except BaseException:
            self._child = None
            await self._end(child)
            raise
        self._is_up = True
        logger.info("child is up", extra=self._as_extra(pid=child.pid))
        self._owner.on_child_up(ready)

    async def _keep(self) -> None:
        while True:
            child = self._child
            assert child is not None
            end = await self._watch(child)
            self._is_up = False
            self._child = None
            self._restarts += 1
            self._violations += end.talked_nonsense
            self._owner.on_child_down(end)
            await self._end(child)
            await self._bring_up_again()

    async def _watch(self, child: ChildProcess[ToChild, FromChild]) -> ChildEnd:
        """Return when the child has ended, or hangs and has to be ended."""
        while True:
            await asyncio.wait({child.ended}, timeout=self._limits.stall_timeout_s / MISSED_BEATS)
            if child.ended.done():
                return child.ended.result()
            if self._owner.is_child_excused:
                self._missed_beats = 0
            elif not self._is_pinged:
                self.ping()
            else:
                self._missed_beats += 1
                if self._missed_beats >= MISSED_BEATS:
                    logger.error("child hangs", extra=self._as_extra(pid=child.pid))
                    return ChildEnd(None, was_ended_here=True)

    async def _bring_up_again(self) -> None:
        pause_s = self._limits.backoff_s
        while True:
            try:
                await self._bring_up()
                return
            except ChildStartError as error:
                self._start_failures += 1
                logger.error(
                    "child does not start",
                    extra=self._as_extra(reason=error.message, again_in_s=pause_s),
                )
                await asyncio.sleep(pause_s)
                longest_s = self._limits.backoff_max_s
                if error.is_passing:
                    longest_s = min(longest_s, max(PASSING_BACKOFF_MAX_S, self._limits.backoff_s))
                pause_s = min(2 * pause_s, longest_s)

    async def _end(self, child: ChildProcess[ToChild, FromChild]) -> None:
        """Make sure that a child is gone; one that the kernel holds is left to it."""
        child.kill()
        ending = asyncio.ensure_future(asyncio.wait({child.ended}, timeout=2 * REAP_TIMEOUT_S))
        try:
            await asyncio.shield(ending)
        except asyncio.CancelledError:
            await ending  # Whoever stops us must not find it alive.
            raise
        exit_status = child.ended.result().exit_status if child.ended.done() else None
        logger.info("child ended", extra=self._as_extra(pid=child.pid, exit_status=exit_status))

    def _receive(
        self, child: ChildProcess[ToChild, FromChild], message: FromChild, payload: bytes
    ) -> None:
        if child is not self._child:
            return  # From a child that was given up: nothing it says counts any more.
        first_word = self._first_word
        assert first_word is not None
        if isinstance(message, Pong) and self._is_pinged:
            self._is_pinged = False
            self._missed_beats = 0
            if self._is_ping_due:
                self.ping()
        elif isinstance(message, StartFailed) and not first_word.done():
            first_word.set_exception(ChildStartError(message.reason))
        elif isinstance(message, self._program.ready) and not first_word.done():
            first_word.set_result(message)
        elif self._is_up and not isinstance(message, Pong | StartFailed | self._program.ready):
            self._owner.on_child_message(message, payload)
        else:
            raise UnexpectedMessageError(type(message).__name__)

    def _note_end(self, keeper: asyncio.Task[None]) -> None:
        # A fault of ours: it must not pass in silence, and readiness must show it.
        if not keeper.cancelled() and (error := keeper.exception()) is not None:
            self._is_up = False
            logger.critical("supervisor failed", exc_info=error, extra=self._as_extra())

    def _as_extra(self, **more: object) -> dict[str, object]:
        return {"child": self._program.name, **more}
