"""How a message and its payload lie in a pipe: two lengths, the message as JSON, the payload."""

import struct

from pydantic import TypeAdapter

from service.codec.messages import Answer, Call

PREFIX = struct.Struct("<IQ")
"""Bytes of the message, bytes of the payload."""

PIPE_BYTES = 1 << 20
"""Capacity asked for each pipe: fewer turns of the event loop for a large file."""

_CALLS: TypeAdapter[Call] = TypeAdapter(Call)
_ANSWERS: TypeAdapter[Answer] = TypeAdapter(Answer)


def call_to_json(call: Call) -> bytes:
    """Write a call."""
    return _CALLS.dump_json(call)


def json_to_call(text: bytes) -> Call:
    """Read a call."""
    return _CALLS.validate_json(text)


def answer_to_json(answer: Answer) -> bytes:
    """Write an answer."""
    return _ANSWERS.dump_json(answer)


def json_to_answer(text: bytes) -> Answer:
    """Read an answer; untrusted, so anything but a valid one raises a `ValidationError`."""
    return _ANSWERS.validate_json(text)
