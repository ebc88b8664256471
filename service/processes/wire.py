"""Frames for the pipes to child processes: one JSON message and one payload of bytes each.

Both kinds of child process speak this way. A message is plain, typed data and never a pickle: a
decoder that an image has taken over must not be able to hand the event loop's process one.
"""

import struct
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

from pydantic import TypeAdapter

PREFIX = struct.Struct("<IQ")
"""Bytes of the message, bytes of the payload that follows it."""

PIPE_BYTES = 1 << 20
"""Capacity asked for each pipe: fewer turns of the event loop for a large file."""

MAX_MESSAGE_BYTES = 1 << 23
"""A process that an image has taken over may announce anything."""

ToChild = TypeVar("ToChild")
FromChild = TypeVar("FromChild")


@dataclass(frozen=True, slots=True)
class Ping:
    """To a child: let go of memory that is not needed, and answer; at most one is under way."""

    kind: Literal["ping"] = "ping"


@dataclass(frozen=True, slots=True)
class Stop:
    """To a child: end now."""

    kind: Literal["stop"] = "stop"


@dataclass(frozen=True, slots=True)
class Pong:
    """From a child: its loop has come round since the ping."""

    kind: Literal["pong"] = "pong"


@dataclass(frozen=True, slots=True)
class StartFailed:
    """From a child: it cannot serve, and this sentence says why."""

    reason: str
    kind: Literal["start-failed"] = "start-failed"


@dataclass(frozen=True, slots=True)
class Wire(Generic[ToChild, FromChild]):
    """How the messages of one kind of child process are written and read.

    Attributes:
        to_child: Every message that the child may be sent, `Ping` and `Stop` among them.
        from_child: Every message that it may send, `Pong` and `StartFailed` among them. They are
            read by their schema, so that anything else raises a `ValidationError`.
    """

    to_child: TypeAdapter[ToChild]
    from_child: TypeAdapter[FromChild]


def make_head(text: bytes, payload_bytes: int) -> bytes:
    """A frame without its payload.

    Example:
        >>> make_head(b"{}", 0).hex()
        '0200000000000000000000007b7d'
    """
    return PREFIX.pack(len(text), payload_bytes) + text
