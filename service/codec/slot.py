"""Gives one supervised codec process one call at a time; on the event loop's side of its pipe."""

import asyncio
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from model.errors import FusionError
from service.codec.answers import bound_payload, check_answer
from service.codec.messages import (
    CODEC_WIRE,
    Answer,
    Begun,
    Call,
    Encoded,
    Failure,
    FromCodec,
    Ready,
    ToCodec,
)
from service.codec.wear import Wear, WearLimits
from service.errors import CodecCrashError, CodecError, CodecMemoryError, CodecTimeoutError
from service.processes.child_end import ChildEnd
from service.processes.child_process import ChildProgram, UnexpectedMessageError
from service.processes.confinement import Bar
from service.processes.counted_timer import CountedTimer
from service.processes.supervision_limits import SupervisionLimits
from service.processes.supervisor import Supervisor
from service.processes.suspicion import Suspicion


@dataclass(slots=True, eq=False)
class PendingCall:
    """A call that somebody waits for.

    Attributes:
        call: What is asked for.
        payload: Bytes that belong to it.
        future: Its answer and the answer's payload; cancelled when nobody waits any more.
        suspicion: The processes that ended while they worked on it.
        queued_at: `time.monotonic()` when it began to wait.
    """

    call: Call
    payload: bytes | bytearray | memoryview = field(repr=False)
    future: asyncio.Future[tuple[Answer, bytes]]
    suspicion: Suspicion = field(default_factory=Suspicion)
    queued_at: float = field(default_factory=time.monotonic)

    def fail(self, error: FusionError) -> None:
        """Settle it with an error, unless it is settled."""
        if not self.future.done():
            self.future.set_exception(error)


class CodecSlot:
    """A codec process that is kept alive, and its one call at a time.

    A call whose process dies, or is ended because it took too long, goes back to the pool until it
    is held to be the cause, see `Suspicion`.
    A process whose caller has left gets a short grace, and is then ended: it is cheaper to replace
    than to wait for.

    Args:
        command: Starts a codec process.
        environment: Its whole environment.
        limits: How patient its supervisor is.
        call_timeout_s: Longest time of one call.
        abandon_grace_s: Time that a call has to end once nobody waits for it.
        wear: After what its process is replaced, when it is idle.
        on_free: Called when it can take a call.
        take_back: Called with a call that is to run on another process.
        note_work: Called with a call and the seconds that its process worked on it.
    """

    def __init__(
        self,
        *,
        command: list[str],
        environment: dict[str, str],
        limits: SupervisionLimits,
        call_timeout_s: float,
        abandon_grace_s: float,
        wear: WearLimits,
        on_free: Callable[[], None],
        take_back: Callable[[PendingCall], None],
        note_work: Callable[[PendingCall, float], None],
    ) -> None:
        program: ChildProgram[ToCodec, FromCodec] = ChildProgram(
            "codec process", command, environment, CODEC_WIRE, Ready
        )
        self._supervisor = Supervisor(program, self, limits)
        self._call_timeout_s = call_timeout_s
        self._abandon_grace_s = abandon_grace_s
        self._on_free = on_free
        self._take_back = take_back
        self._note_work = note_work
        self._run_at = 0.0
        self._pending: PendingCall | None = None
        self._has_begun = False
        self._is_overtime = False
        self._is_condemned = False
        self._timer: CountedTimer | None = None
        self._confined_by: tuple[Bar, ...] = ()
        self._wear = Wear(wear)
        self._is_retired = False
        self._has_ended = asyncio.Event()

    @property
    def is_up(self) -> bool:
        """Its process is warmed up."""
        return self._supervisor.is_up

    @property
    def is_free(self) -> bool:
        """It can take a call."""
        is_idle = self._supervisor.is_up and self._pending is None
        return is_idle and not self._is_condemned and not self._is_retired

    @property
    def is_worn(self) -> bool:
        """It is idle, and its process has worked enough."""
        return self.is_free and self._wear.is_worn(self.pid)

    @property
    def is_running(self) -> bool:
        """Its process works on a call, maybe one that nobody waits for any more."""
        return self._pending is not None

    @property
    def pid(self) -> int | None:
        """Process id, None between two processes."""
        return self._supervisor.pid

    @property
    def restarts(self) -> int:
        """Processes that had to be replaced."""
        return self._supervisor.restarts

    @property
    def start_failures(self) -> int:
        """Starts of a process that failed."""
        return self._supervisor.start_failures

    @property
    def violations(self) -> int:
        """Processes that said what they had no reason to say."""
        return self._supervisor.violations

    @property
    def confined_by(self) -> tuple[Bar, ...]:
        """What keeps its process in, see `processes.confinement`."""
        return self._confined_by

    async def start(self) -> None:
        """Start the process.

        Raises:
            ChildStartError: It did not come up.
        """
        await self._supervisor.start()

    async def retire(self) -> None:
        """Take no more calls, and end the process when it has answered the one that it has."""
        self._is_retired = True
        if self._pending is not None:
            await self._has_ended.wait()
        await self._supervisor.stop(is_graceful=True)

    async def stop(self) -> None:
        """End the process; the call that it works on is left unsettled."""
        await self._supervisor.stop(is_graceful=False)
        self._stop_timer()
        self._pending = None

    def is_using(self, block: str) -> bool:
        """Its process works on a call that may touch the block of this name."""
        blocks = () if self._pending is None else self._pending.call.blocks
        return any(descriptor.name == block for descriptor in blocks)

    def ping(self) -> None:
        """See `Supervisor.ping`."""
        self._supervisor.ping()

    def run(self, pending: PendingCall) -> None:
        """Give the process a call; the slot must be free."""
        self._pending = pending
        self._run_at = time.monotonic()
        self._has_begun = self._is_overtime = False
        self._has_ended.clear()
        self._set_timer(self._call_timeout_s, self._end_overtime)
        pending.future.add_done_callback(self._note_settled)
        self._supervisor.send(pending.call, pending.payload)

    @property
    def is_child_excused(self) -> bool:
        """See `ChildOwner`: a call has a time limit of its own."""
        return self._pending is not None

    def on_child_up(self, ready: FromCodec) -> None:
        """See `ChildOwner`."""
        assert isinstance(ready, Ready)
        self._confined_by = ready.confined_by
        self._wear.begin(self.pid)
        self._is_condemned = False
        self._on_free()

    def bound_payload(self, message: FromCodec) -> int:
        """See `ChildOwner`: only the file that was asked for follows a message."""
        if self._pending is None or not isinstance(message, Encoded):
            return 0
        return bound_payload(self._pending.call, message)

    def on_child_message(self, message: FromCodec, payload: bytes) -> None:
        """See `ChildOwner`."""
        if self._pending is None or isinstance(message, Begun) == self._has_begun:
            raise UnexpectedMessageError(type(message).__name__)
        if isinstance(message, Begun):
            self._has_begun = True
            return
        assert isinstance(message, Answer)
        check_answer(self._pending.call, message, payload)
        pending = self._release()
        self._wear.count_call()
        if not pending.future.done():
            pending.future.set_result((message, payload))
        if isinstance(message, Failure) and message.code == CodecMemoryError.code:
            # What a library does after an allocation failed is not worth finding out.
            self._condemn("out of memory")
        else:
            self._on_free()

    def on_child_down(self, end: ChildEnd) -> None:
        """See `ChildOwner`: the call is run again, unless it is the cause."""
        if self._pending is None:
            return
        was_overtime, had_begun = self._is_overtime, self._has_begun
        pending = self._release()
        if pending.future.done():
            return
        if was_overtime or had_begun:  # Else the process had not read it.
            pending.suspicion.note(end, was_alone=True)
        if pending.suspicion.is_cause:
            was_overtime |= end.exit_status == -signal.SIGPROF  # Its own clock, of CPU time.
            pending.fail(self._explain_loss(was_overtime, pending.suspicion.ends))
        else:
            self._take_back(pending)

    def _explain_loss(self, was_overtime: bool, losses: int) -> CodecError:
        if was_overtime:
            return CodecTimeoutError(
                f"expected a result within {self._call_timeout_s:g} s, got none in time from "
                f"{losses} processes"
            )
        return CodecCrashError(f"expected a result, got {losses} processes that died at this call")

    def _release(self) -> PendingCall:
        pending, self._pending = self._pending, None
        assert pending is not None
        now = time.monotonic()
        self._note_work(pending, now - self._run_at)
        pending.queued_at = now  # Where it is run again it waits from now on.
        pending.future.remove_done_callback(self._note_settled)
        self._stop_timer()
        self._has_ended.set()
        return pending

    def _note_settled(self, future: asyncio.Future[tuple[Answer, bytes]]) -> None:
        """The caller has left: the process gets a short grace."""
        if self._pending is not None and self._pending.future is future:
            self._set_timer(self._abandon_grace_s, self._end_abandoned)

    def _end_overtime(self) -> None:
        self._is_overtime = True
        self._condemn("over its time")

    def _end_abandoned(self) -> None:
        self._condemn("nobody waits for its call")

    def _condemn(self, reason: str) -> None:
        self._is_condemned = True
        self._supervisor.replace(reason)

    def _set_timer(self, delay_s: float, callback: Callable[[], None]) -> None:
        self._stop_timer()
        self._timer = CountedTimer(delay_s, callback)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
