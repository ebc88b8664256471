"""A codec process: reads calls from its standard input, answers on its standard output.

It is started by `service.codec.pool`, holds nothing that matters and may be killed at any time.
It ends when its parent does, and leaves Ctrl-C to it.
"""

import ctypes
import fcntl
import os
import resource
import signal
import sys
import traceback
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

import cv2
import numpy as np

from expofuse.files.formats import FORMAT_DEPTHS, EncodeOptions, ImageMetadata
from expofuse.files.headers import PixelLimits
from expofuse.files.images import configure_libvips, decode, encode
from model.alignment.estimate import align_pair
from model.errors import AlignmentError, FusionError
from model.exposure import ExposurePair
from service.codec.frames import PIPE_BYTES, PREFIX, answer_to_json, json_to_call
from service.codec.messages import (
    AlignCall,
    Answer,
    Begun,
    Call,
    DecodeCall,
    DecodedImage,
    Encoded,
    Failure,
    PairAlignment,
    Ready,
)
from service.errors import CodecError, CodecMemoryError
from service.processes.shared_memory import SharedDescriptor, attach

_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Serve calls until the parent closes the pipe. Arguments: its pid, memory limit, threads."""
    parent_pid, memory_limit_bytes, threads = (int(argument) for argument in sys.argv[1:4])
    _follow_parent(parent_pid)
    calls, answers = _take_pipes()
    configure_libvips()
    cv2.setNumThreads(threads)
    _warm_up()
    _limit_memory(memory_limit_bytes)
    _write(answers, Ready())
    while (head := _read_call(calls)) is not None:
        call, payload_bytes = head
        _write(answers, Begun())
        answer, result = _answer(call, calls.read(payload_bytes))
        _write(answers, answer, result)


def _follow_parent(parent_pid: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent_pid:  # It died before the line above.
        sys.exit("expected the parent to be alive")
    # Of all processes of the service this one is the cheapest to lose when memory runs out.
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("500", encoding="ascii")


def _take_pipes() -> tuple[BinaryIO, BinaryIO]:
    """Keep the pipes and point file 1 at standard error: a library may print there."""
    calls = os.fdopen(os.dup(0), "rb")
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    for pipe in (calls, answers):
        with suppress(OSError):
            fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
    return calls, answers


def _limit_memory(memory_limit_bytes: int) -> None:
    """Limit what a call may add to the private memory that the process has now."""
    fields = Path("/proc/self/statm").read_text(encoding="ascii").split()
    used_bytes = int(fields[5]) * resource.getpagesize()  # Data and stack.
    limit = used_bytes + memory_limit_bytes
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    # A core file would write a client's picture to disk.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _warm_up() -> None:
    """Run everything once: first calls load tables, code pages and profiles."""
    pixels = np.arange(64 * 64 * 3, dtype=np.uint16).reshape(64, 64, 3)
    limits = PixelLimits(max_pixels=pixels.size, max_side_px=64)
    for image_format in FORMAT_DEPTHS:
        options = EncodeOptions(image_format)
        decode(encode(pixels, options=options, metadata=ImageMetadata()), limits=limits)
    align_pair(ExposurePair.from_images(pixels, pixels * 2))


def _answer(call: Call, payload: bytes) -> tuple[Answer, bytes]:
    try:
        if isinstance(call, DecodeCall):
            return _decode(call, payload), b""
        if isinstance(call, AlignCall):
            return _align(call), b""
        with attach(call.pixels) as pixels:
            return Encoded(), encode(pixels, options=call.options, metadata=call.metadata)
    except FusionError as error:
        return Failure(error.code, error.message), b""
    except Exception as error:
        if isinstance(error, MemoryError) or _is_opencv_out_of_memory(error):
            return Failure(CodecMemoryError.code, "expected less memory for this image"), b""
        # As around a micro-batch: a fault of ours fails this call, not the process and with it
        # a second call.
        traceback.print_exc()
        return Failure(CodecError.code, "expected a result, got a failure"), b""


def _is_opencv_out_of_memory(error: Exception) -> bool:
    return isinstance(error, cv2.error) and error.code == cv2.Error.StsNoMem


def _decode(call: DecodeCall, payload: bytes) -> DecodedImage:
    destination = call.destination
    with attach(destination) as out:
        decoded = decode(payload, limits=call.limits, out=out)
        pixels = SharedDescriptor(destination.name, decoded.pixels.shape, destination.dtype)
        metadata = decoded.metadata
        del decoded
    return DecodedImage(pixels, metadata)


def _align(call: AlignCall) -> PairAlignment:
    with attach(call.first) as first, attach(call.second) as second:
        pair = ExposurePair.from_images(first, second)
        report = None if call.mode == "off" else align_pair(pair, reference=call.reference)
        is_swapped = pair.is_swapped
        del pair
    if call.mode == "require" and report is not None and report.refused is not None:
        raise AlignmentError(
            f"expected an alignment that passes its gates, got one refused for {report.refused}"
        )
    return PairAlignment(is_swapped, report)


def _read_call(calls: BinaryIO) -> tuple[Call, int] | None:
    """The next call and the bytes of payload that follow it; None at the end."""
    prefix = calls.read(PREFIX.size)
    if len(prefix) < PREFIX.size:
        return None
    message_bytes, payload_bytes = PREFIX.unpack(prefix)
    return json_to_call(calls.read(message_bytes)), payload_bytes


def _write(answers: BinaryIO, answer: Answer, payload: bytes = b"") -> None:
    message = answer_to_json(answer)
    answers.write(PREFIX.pack(len(message), len(payload)) + message)
    answers.write(payload)
    answers.flush()


if __name__ == "__main__":
    main()
