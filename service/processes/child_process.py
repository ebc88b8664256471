"""Starts one child process and talks to it without blocking; the event loop's side of the pipe."""

import asyncio
import itertools
import logging
import os
import signal
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Generic

from pydantic import ValidationError

from service.errors import ChildStartError
from service.processes.child_end import ChildEnd
from service.processes.wire import (
    MAX_MESSAGE_BYTES,
    PREFIX,
    FromChild,
    ToChild,
    Wire,
    make_head,
)

CHUNK_BYTES = 1 << 20
MAX_QUEUED_MESSAGES = 1024
"""Far above what any owner sends; a child that leaves so many unread hangs."""

REAP_TIMEOUT_S = 5.0
"""A killed process is gone within milliseconds; a lost device may hold it up in the kernel."""

CLOSED_PIPE_GRACE_S = 1.0
"""A process that dies closes its pipes a moment before its exit status can be read."""

MESSAGES_PER_TURN = 32
"""A child that floods the pipe must leave the event loop its turns."""

SOURCE_ROOT = Path(__file__).resolve().parents[2]

logger = logging.getLogger(__name__)


class _Pipes(asyncio.subprocess.SubprocessStreamProtocol):
    """The streams of both pipes, and the exit of the process.

    asyncio's own `Process.wait` waits for the ends of the pipes as well. They do not come while
    another process holds the pipes, or while something is unread in them.
    """

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        super().__init__(limit=CHUNK_BYTES, loop=loop)
        self.exited: asyncio.Future[None] = loop.create_future()

    def process_exited(self) -> None:
        super().process_exited()
        self.exited.set_result(None)


class UnexpectedMessageError(Exception):
    """A child said something that it had no reason to say; it cannot be trusted any more."""


@dataclass(frozen=True, slots=True)
class ChildProgram(Generic[ToChild, FromChild]):
    """How one kind of child process is started, and what it says.

    Attributes:
        name: What it is called in log lines.
        command: Program and arguments; the parent's process id is added as the last one.
        environment: The whole environment of the process.
        wire: Its messages.
        ready: Class of the message by which it says that it is warmed up.
    """

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    wire: Wire[ToChild, FromChild]
    ready: type[FromChild]


Receiver = Callable[["ChildProcess[ToChild, FromChild]", FromChild, bytes], None]
Bound = Callable[[FromChild], int]


class ChildProcess(Generic[ToChild, FromChild]):
    """A process that was started and the two pipes to it; no call of it blocks the event loop.

    Args:
        transport: The process.
        pipes: Its standard input and output.
        program: What it runs.
        on_message: Called in the event loop with every message and its payload, in order. It may
            raise `UnexpectedMessageError`, which ends the process.
        bound_payload: The most bytes that may follow a message; more end the process.

    Attributes:
        ended: Completes when the process is gone, or could not be made to go.
    """

    def __init__(
        self,
        transport: asyncio.SubprocessTransport,
        pipes: _Pipes,
        program: ChildProgram[ToChild, FromChild],
        on_message: "Receiver[ToChild, FromChild]",
        bound_payload: "Bound[FromChild]",
    ) -> None:
        self._transport = transport
        self._pipes = pipes
        self._program = program
        self._on_message = on_message
        self._bound_payload = bound_payload
        self._unsent: deque[tuple[bytes, memoryview]] = deque()
        self._has_unsent = asyncio.Event()
        self._was_killed = self._talked_nonsense = False
        self.ended = asyncio.create_task(self._live(), name=f"{program.name}-{self.pid}")

    @classmethod
    async def start(
        cls,
        program: ChildProgram[ToChild, FromChild],
        on_message: "Receiver[ToChild, FromChild]",
        bound_payload: "Bound[FromChild]",
    ) -> "ChildProcess[ToChild, FromChild]":
        """Start a process.

        Raises:
            ChildStartError: The system has no process, memory or file left for it.
        """
        try:
            transport, pipes = await asyncio.get_running_loop().subprocess_exec(
                _Pipes,
                *program.command,
                str(os.getpid()),
                stderr=None,
                env=program.environment,
            )
        except OSError as cause:
            # uvloop does not tell what is used up: its error has the number -1.
            is_told = cause.errno is not None and cause.errno > 0
            why = cause.strerror if is_told else "no file, no process or no memory is left"
            raise ChildStartError(
                f"expected a new {program.name}, the system gives none: {why}",
                is_passing=True,
            ) from cause
        return cls(transport, pipes, program, on_message, bound_payload)

    @property
    def pid(self) -> int:
        """Process id."""
        return self._transport.get_pid()

    @property
    def unsent(self) -> int:
        """Messages that wait for room in the pipe."""
        return len(self._unsent)

    def send(self, message: ToChild, payload: bytes | bytearray | memoryview = b"") -> None:
        """Have a message sent; to a process that is gone it is lost, and `ended` completes.

        Args:
            message: The message.
            payload: Bytes that follow it; they must not change before they are sent.
        """
        if len(self._unsent) >= MAX_QUEUED_MESSAGES:
            logger.error("child reads nothing", extra=self._as_extra())
            self.kill()
            return
        view = memoryview(payload).cast("B")
        text = self._program.wire.to_child.dump_json(message)
        self._unsent.append((make_head(text, len(view)), view))
        self._has_unsent.set()

    def kill(self) -> None:
        """End the process at once; `ended` completes a moment later."""
        if self._transport.get_returncode() is None:
            self._was_killed = True
            # Not the transport's kill: that collects the exit status before asyncio's watcher can.
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)

    async def _live(self) -> ChildEnd:
        exited = self._pipes.exited
        reader = asyncio.create_task(self._read())
        writer = asyncio.create_task(self._write())
        try:
            await asyncio.wait((reader, exited), return_when=asyncio.FIRST_COMPLETED)
            await asyncio.wait((reader, exited), timeout=CLOSED_PIPE_GRACE_S)
        finally:
            reader.cancel()
            writer.cancel()
            self._unsent.clear()
            self.kill()  # A process that closed its pipe is of no use.
            self._close_pipes()
        await asyncio.wait((exited,), timeout=REAP_TIMEOUT_S)
        await asyncio.wait((reader,))
        if not reader.cancelled():
            reader.result()
        status = self._transport.get_returncode()
        if status is None:
            logger.error("child does not end", extra=self._as_extra())
        return ChildEnd(status, self._was_killed, self._talked_nonsense)

    def _close_pipes(self) -> None:
        # By themselves they close when all is read, and what was said after nonsense is not.
        stdin, stdout = self._pipes.stdin, self._transport.get_pipe_transport(1)
        assert stdin is not None
        assert stdout is not None
        if not stdin.transport.is_closing():
            stdin.transport.abort()
        stdout.close()

    async def _read(self) -> None:
        stdout = self._pipes.stdout
        assert stdout is not None
        from_child = self._program.wire.from_child
        try:
            for count in itertools.count(1):
                message_bytes, payload_bytes = PREFIX.unpack(await stdout.readexactly(PREFIX.size))
                if message_bytes > MAX_MESSAGE_BYTES:
                    raise UnexpectedMessageError("a message that is too large")
                message = from_child.validate_json(await stdout.readexactly(message_bytes))
                if payload_bytes > self._bound_payload(message):
                    raise UnexpectedMessageError("a payload that is too large")
                self._on_message(self, message, await stdout.readexactly(payload_bytes))
                if count % MESSAGES_PER_TURN == 0:
                    await asyncio.sleep(0)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # Its end, however it came about.
        except (UnexpectedMessageError, ValidationError) as error:
            # What a schema says of it would quote it.
            reason = str(error) if isinstance(error, UnexpectedMessageError) else "no message"
            logger.error("child talks nonsense", extra=self._as_extra(reason=reason))
            self._talked_nonsense = True
            self.kill()

    async def _write(self) -> None:
        stdin = self._pipes.stdin
        assert stdin is not None
        with suppress(ConnectionError):  # Its end is seen by the reader.
            while True:
                await self._has_unsent.wait()
                while self._unsent:
                    if stdin.is_closing():
                        return  # uvloop raises no ConnectionError there.
                    head, payload = self._unsent[0]
                    # The first piece comes with the head: the child is woken once for both.
                    stdin.writelines((head, payload[:CHUNK_BYTES]) if payload else (head,))
                    for start in range(CHUNK_BYTES, len(payload), CHUNK_BYTES):
                        await stdin.drain()
                        stdin.write(payload[start : start + CHUNK_BYTES])
                    await stdin.drain()
                    self._unsent.popleft()
                self._has_unsent.clear()

    def _as_extra(self, **more: str) -> dict[str, object]:
        return {"child": self._program.name, "pid": self.pid, **more}
