"""The child's side of the pipe: reads and writes frames, and ends with the parent."""

import ctypes
import fcntl
import os
import select
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import Generic

from service.processes.wire import (
    PIPE_BYTES,
    PREFIX,
    FromChild,
    Pong,
    StartFailed,
    ToChild,
    Wire,
    make_head,
)

_PR_SET_PDEATHSIG = 1


def follow_parent(parent_pid: int) -> None:
    """End when the parent does, and leave Ctrl-C and SIGTERM to it.

    Both signals may reach the whole process group; it is the parent that decides when the
    accepted jobs are done.

    Args:
        parent_pid: The process that started this one; it may already be gone.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent_pid:  # It died before the line above.
        sys.exit("expected the parent to be alive")


def stand_in_when_memory_is_short(score: int) -> None:
    """Let the kernel end this process before the parent where memory runs out.

    Args:
        score: Added to what the kernel finds, 0 to 1000; the highest goes first.
    """
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(str(score), encoding="ascii")


class ParentPipe(Generic[ToChild, FromChild]):
    """The child's end of the pipes; its calls block.

    Args:
        wire: How its messages are written and read.
        inbox: File descriptor to read from.
        outbox: File descriptor to write to.
    """

    def __init__(self, wire: Wire[ToChild, FromChild], inbox: int, outbox: int) -> None:
        self._wire = wire
        self._inbox = inbox
        self._outbox = outbox
        for pipe in (inbox, outbox):
            with suppress(OSError):
                fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, PIPE_BYTES)

    @classmethod
    def take(cls, wire: Wire[ToChild, FromChild]) -> "ParentPipe[ToChild, FromChild]":
        """Keep standard input and output as the pipes.

        File 1 then points at standard error: a library may print there.
        """
        inbox, outbox = os.dup(0), os.dup(1)
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        os.close(null)
        os.dup2(2, 1)
        return cls(wire, inbox, outbox)

    def has_message(self) -> bool:
        """Whether `read` would find something, or the end."""
        readable, _, _ = select.select([self._inbox], [], [], 0)
        return bool(readable)

    def read(self) -> tuple[ToChild, int] | None:
        """Wait for the next message.

        Returns:
            The message and the bytes of its payload, to be taken by `read_payload`; None when the
            parent closed its end.
        """
        prefix = self._read_exactly(PREFIX.size)
        if prefix is None:
            return None
        message_bytes, payload_bytes = PREFIX.unpack(prefix)
        text = self._read_exactly(message_bytes)
        return None if text is None else (self._wire.to_child.validate_json(text), payload_bytes)

    def read_payload(self, size: int) -> bytearray:
        """Read the payload of the message that came last; shorter where the parent is gone."""
        return self._read_exactly(size) or bytearray()

    def write(self, message: FromChild, payload: bytes = b"") -> None:
        """Send a message; blocks while the pipe is full.

        Raises:
            BrokenPipeError: The parent closed its end.
        """
        head = make_head(self._wire.from_child.dump_json(message), len(payload))
        # In one call: the parent is woken once for both.
        written = os.writev(self._outbox, (head, payload))
        self._write_all(head[written:])
        self._write_all(memoryview(payload)[max(written - len(head), 0) :])

    def write_pong(self) -> None:
        """Answer a ping."""
        self._write_common(Pong())

    def write_start_failed(self, reason: str) -> None:
        """Say why this process cannot serve."""
        self._write_common(StartFailed(reason))

    def close(self) -> None:
        """Close both pipes; the parent takes it for the end of this process."""
        os.close(self._inbox)
        os.close(self._outbox)

    def _write_common(self, message: Pong | StartFailed) -> None:
        self.write(self._wire.from_child.validate_python(message))

    def _read_exactly(self, size: int) -> bytearray | None:
        data = bytearray(size)
        view, filled = memoryview(data), 0
        while filled < size:
            count = os.readv(self._inbox, [view[filled:]])
            if count == 0:
                return None
            filled += count
        return data

    def _write_all(self, data: bytes | memoryview) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(self._outbox, view) :]
