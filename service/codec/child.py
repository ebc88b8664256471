"""Runs in a codec process: reads calls from its pipe and answers them; may be killed at any time.

`service.codec.pool` starts it; it holds nothing that matters.
"""

import logging
import os
import resource
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from expofuse.errors import UnsupportedImageError
from expofuse.files.device.jpeg import DeviceJpeg
from expofuse.files.formats import EncodeOptions, ImageMetadata, OutputFormat
from expofuse.files.headers import PixelLimits
from expofuse.files.reading.decode import decode
from expofuse.files.reading.vips import configure_libvips
from expofuse.files.writing.encode import encode
from model.alignment.stack import align_stack
from model.errors import DeviceError, FusionError
from model.exposure import ExposureSet
from model.ghosts.packing import pack_ghost, pack_plane, unpack_plane
from model.register import register
from model.settle import settle_images
from model.side_by_side import use_threads
from model.transparency import Transparency
from service.codec.messages import (
    CODEC_WIRE,
    MAX_BESIDE_BYTES,
    NO_DEVICE,
    Answer,
    Begun,
    Call,
    DecodeCall,
    DecodedImage,
    EncodeCall,
    Encoded,
    Failure,
    FromCodec,
    Ready,
    RegisterCall,
    StackFound,
    ToCodec,
)
from service.errors import CodecError, CodecMemoryError
from service.logs import configure_logs
from service.processes.child_side import (
    ParentPipe,
    follow_parent,
    stand_in_when_memory_is_short,
)
from service.processes.confinement import ALL_BARS, give_up_calls, give_up_files
from service.processes.freed_memory import KeptMemory
from service.processes.known_blocks import KnownBlocks
from service.processes.shared_memory import Samples, SharedDescriptor
from service.processes.wire import Ping, Stop

logger = logging.getLogger(__name__)

OOM_SCORE = 500
"""Of all processes of the service this one is the cheapest to lose."""

NICENESS = 5
"""Where cores are short the device worker and the event loop go first. Otherwise decoded pictures
pile up before the worker until a core has nothing to do: a tenth fewer requests a second of small
pictures. 10 and 19 bring no more."""

SWITCH_S = 1e-4

_WARM_FORMATS: tuple[OutputFormat, ...] = ("jpeg", "png", "webp", "tiff")
"""Of others the first call loads what it needs: they are rare, and their libraries are large."""


def main() -> None:
    """Serve calls until the parent closes the pipe.

    Arguments: limit of memory in bytes, threads, least severe log level, CPU seconds of a call,
    whether the process is confined, what decodes and encodes JPEG files beside the CPU (`none`, or
    see `DeviceJpeg`), the parent's process id.
    """
    memory_limit_bytes, threads, parent_pid = (int(sys.argv[index]) for index in (1, 2, -1))
    log_level, cpu_limit_s, sandbox = sys.argv[3], float(sys.argv[4]), sys.argv[5]
    jpeg_device = None if sys.argv[6] == NO_DEVICE else sys.argv[6]
    follow_parent(parent_pid)
    stand_in_when_memory_is_short(OOM_SCORE)
    os.nice(NICENESS)  # Of this thread, and of all that it starts.
    bars = [] if sandbox == "off" else give_up_files(keeps_cuda=jpeg_device is not None)
    configure_logs(log_level)
    pipe = ParentPipe.take(CODEC_WIRE)
    kept = KeptMemory()
    configure_libvips()
    cv2.setNumThreads(threads)
    # Of two threads that compute, one would wait for the interpreter's lock 50 times as long.
    sys.setswitchinterval(SWITCH_S)
    try:
        device = _open_device(jpeg_device)
    except DeviceError as error:
        with suppress(BrokenPipeError):
            pipe.write_start_failed(error.message)
        return
    _warm_up()
    _limit_memory(memory_limit_bytes)
    bars += [] if sandbox == "off" else give_up_calls()
    missing = [bar for bar in ALL_BARS if bar not in bars]
    with suppress(BrokenPipeError):
        if sandbox == "require" and missing:
            pipe.write_start_failed(
                f"expected a codec process that is confined, the system lacks {', '.join(missing)}"
            )
            return
        pipe.write(Ready(tuple(bars)))
        _serve(pipe, kept, cpu_limit_s, device)


def _open_device(name: str | None) -> DeviceJpeg | None:
    """The device, which has shown that it works."""
    if name is None:
        return None
    device = DeviceJpeg(name)
    device.try_out()
    return device


def _serve(
    pipe: ParentPipe[ToCodec, FromCodec],
    kept: KeptMemory,
    cpu_limit_s: float,
    device: DeviceJpeg | None,
) -> None:
    known = KnownBlocks()
    while (head := pipe.read()) is not None:
        message, payload_bytes = head
        match message:
            case Ping():
                known.forget_gone()
                kept.give_back_when_quiet()
                pipe.write_pong()
            case Stop():
                return
            case call:
                pipe.write(Begun())
                # Of all threads; at its end the process is ended by SIGPROF.
                signal.setitimer(signal.ITIMER_PROF, cpu_limit_s)
                read_payload = partial(pipe.read_payload, payload_bytes)
                answer, file = _answer(call, known, read_payload, device)
                signal.setitimer(signal.ITIMER_PROF, 0)
                pipe.write(answer, file)
                kept.note_work()
                if device is not None and _has_failed(answer) and not _is_well(device):
                    return  # Its context may be lost for good; a new process makes a new one.


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
    for image_format in _WARM_FORMATS:
        options = EncodeOptions(image_format)
        decode(encode(pixels, options=options, metadata=ImageMetadata()), limits=limits)
    align_stack([pixels, pixels * 2], reference=1)


def _has_failed(answer: Answer) -> bool:
    return isinstance(answer, DecodedImage | Encoded) and answer.on_device == "failed"


def _is_well(device: DeviceJpeg) -> bool:
    try:
        device.try_out()
    except DeviceError as error:
        logger.error("device is lost", extra={"reason": error.message})
        return False
    return True


def _answer(
    call: Call,
    known: KnownBlocks,
    read_payload: Callable[[], bytearray],
    device: DeviceJpeg | None,
) -> tuple[Answer, bytes]:
    try:
        if isinstance(call, DecodeCall):
            return _decode(call, known, read_payload(), device), b""
        if isinstance(call, RegisterCall):
            return _register(call, known), b""
        file = _encode(call, known, device)
        return Encoded(None if device is None else device.take_outcome()), file
    except FusionError as error:
        return Failure(error.code, error.message), b""
    except Exception as error:
        if isinstance(error, MemoryError) or _is_opencv_out_of_memory(error):
            return Failure(CodecMemoryError.code, "expected less memory for this image"), b""
        # As around a micro-batch: a fault of ours fails this call, not the process and with it
        # a second call.
        logger.error("call failed", exc_info=error)
        return Failure(CodecError.code, "expected a result, got a failure"), b""


def _is_opencv_out_of_memory(error: Exception) -> bool:
    return isinstance(error, cv2.error) and error.code == cv2.Error.StsNoMem


def _decode(
    call: DecodeCall, known: KnownBlocks, payload: bytearray, device: DeviceJpeg | None
) -> DecodedImage:
    destination = call.destination
    decoded = decode(
        payload,
        limits=call.limits,
        out=known.attach(destination),
        white_balance=call.white_balance,
        device=device,
    )
    transparent = None
    if decoded.transparent is not None:
        transparent = pack_plane(decoded.transparent.astype(np.uint8))
    beside = (decoded.metadata.exif, decoded.metadata.profile, transparent)
    if sum(len(one or b"") for one in beside) > MAX_BESIDE_BYTES:
        raise UnsupportedImageError(
            f"expected at most {MAX_BESIDE_BYTES >> 20} MiB of metadata and transparency, got more"
        )
    return DecodedImage(
        SharedDescriptor(destination.name, decoded.pixels.shape, destination.dtype),
        decoded.metadata,
        decoded.orientation,
        transparent,
        decoded.white_balance,
        None if device is None else device.take_outcome(),
    )


def _encode(call: EncodeCall, known: KnownBlocks, device: DeviceJpeg | None) -> bytes:
    pixels = known.attach(call.pixels)
    framed = pixels if call.frame is None else pixels[call.frame.slices]
    return encode(framed, options=call.options, metadata=call.metadata, device=device)


def _unpack_transparent(image: DecodedImage) -> Transparency | None:
    return None if image.transparent is None else unpack_plane(image.transparent) > 0


class _Rooms:
    """Hands out the blocks of a call for images that are turned or brought to another size.

    Attributes:
        taken: The block of each such image, with the shape that it has there.
    """

    def __init__(self, call: RegisterCall, known: KnownBlocks) -> None:
        self._free = iter(call.rooms)
        self._known = known
        self.taken: dict[int, SharedDescriptor] = {}

    def take(self, index: int, shape: tuple[int, int, int], dtype: np.dtype[Any]) -> Samples:
        """See `model.alignment.sizes.MakeRoom`; all blocks are of one type."""
        block = next(self._free)
        self.taken[index] = SharedDescriptor(block.name, shape, block.dtype)
        return self._known.attach(self.taken[index])


def _register(call: RegisterCall, known: KnownBlocks) -> StackFound:
    rooms = _Rooms(call, known)
    images = settle_images(
        [known.attach(one.pixels) for one in call.images],
        [one.orientation for one in call.images],
        [_unpack_transparent(one) for one in call.images],
        wanted=call.reference,
        default=call.pair_reference,
        make_room=rooms.take,
    )
    given = ExposureSet.from_images(images)
    with use_threads(call.threads):
        found = register(
            given,
            align=call.align,
            ghosts=call.ghosts,
            wanted=call.reference,
            default=call.pair_reference,
            crop=call.crop,
            make_room=rooms.take,
        )
    used, registration = found.used.order, found.registration
    ghosts = None
    if registration.ghosts is not None:
        ghosts = tuple(None if one is None else pack_ghost(one) for one in registration.ghosts)
    return StackFound(
        given.order,
        used,
        dict(found.useless),
        registration.reference,
        registration.alignment,
        ghosts,
        registration.replaced_share,
        tuple(rooms.taken.get(index, call.images[index].pixels) for index in used),
        found.frame,
        found.gap_ev,
    )


if __name__ == "__main__":
    main()
