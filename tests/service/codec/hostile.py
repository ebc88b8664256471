"""A codec process that an image has taken over: it answers what it likes, and tries what it can.

Arguments: a folder, and then those of the real process. While the folder has a file that is named
after a deed of `FORGED`, answers of that kind are forged.
"""

import ctypes
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from expofuse.files.formats import ImageMetadata
from model.ghosts.ghost_map import PackedGhost
from model.ghosts.packing import pack_plane
from model.tiling import Rect
from service.codec import child
from service.codec.messages import (
    Answer,
    Call,
    DecodeCall,
    DecodedImage,
    EncodeCall,
    Encoded,
    Failure,
    RegisterCall,
    StackFound,
)
from service.processes.child_side import ParentPipe
from service.processes.shared_memory import SharedDescriptor
from service.processes.wire import make_head

TRY = b"try: "
"""A file that begins so has the process try everything that it should be refused."""

NAN = 12_345.5
"""Stands for no number, which the writer of messages would not write."""

Forge = Callable[[Answer], Answer]


def in_block(**changes: object) -> Forge:
    return lambda answer: replace(answer, pixels=replace(answer.pixels, **changes))


def with_report(**changes: object) -> Forge:
    def forge(answer: StackFound) -> StackFound:
        reports = tuple(one and replace(one, **changes) for one in answer.alignment.reports)
        return replace(answer, alignment=replace(answer.alignment, reports=reports))

    return forge


def with_ghost(**changes: object) -> Forge:
    curve = (tuple(map(float, range(256))),) * 3
    mask = pack_plane(np.zeros((4, 4), np.uint8))
    ghost = replace(PackedGhost(mask, curve, (1.0,) * 256, None, 0.0), **changes)
    return lambda answer: replace(answer, ghosts=(ghost,) * len(answer.used))


def elsewhere(**changes: object) -> Forge:
    return lambda answer: replace(
        answer, exposures=tuple(replace(one, **changes) for one in answer.exposures)
    )


def changed(**changes: object) -> Forge:
    return lambda answer: replace(answer, **changes)


HUGE = b"\xff\xff\xff\x7f" * 2 + b"\0\0\0\0"
SINGULAR = (1.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0)

FORGED: dict[type, dict[str, Forge]] = {
    DecodeCall: {
        "another block": in_block(name="expofuse-1-0123456789abcdef"),
        "another type": in_block(dtype="uint16"),
        "another number of channels": in_block(shape=(48, 64, 1)),
        "a larger shape": in_block(shape=(48, 65, 3)),
        "an empty shape": in_block(shape=(0, 64, 3)),
        "no shape": in_block(shape=()),
        "an orientation": changed(orientation=9),
        "a white balance": changed(white_balance=(NAN, 1.0, 1.0)),
        "large metadata": changed(metadata=ImageMetadata(exif=b"x" * (5 * 2**20 + 1))),
        "huge metadata": changed(metadata=ImageMetadata(profile=b"x" * (9 * 2**20))),
        "another transparency": changed(transparent=pack_plane(np.zeros((9, 9), np.uint8))),
        "an endless transparency": changed(transparent=HUGE),
        "another answer": lambda answer: Encoded(),
        "a failure of the service": lambda answer: Failure("worker-stopped", ""),
        "a long failure": lambda answer: Failure("codec-failed", "x" * 10_000),
    },
    RegisterCall: {
        "another order": changed(order=(0, 0)),
        "an image that is not there": changed(used=(0, 2)),
        "none": changed(used=(), exposures=()),
        "one of them left out": changed(used=(0,), reference=0),
        "another reference": changed(reference=2),
        "a share": changed(replaced_share=NAN),
        "a gap": changed(gap_ev=NAN),
        "a frame outside": changed(frame=Rect(0, 0, 10_000, 10)),
        "an empty frame": changed(frame=Rect(0, 0, 0, 10)),
        "exposures elsewhere": elsewhere(name="expofuse-1-0123456789abcdef"),
        "exposures of another shape": elsewhere(shape=(1, 1, 3)),
        "no homography": with_report(homography=(1.0,)),
        "no number in a homography": with_report(homography=(*SINGULAR[:4], NAN, *SINGULAR[5:])),
        "a homography that is no map": with_report(homography=SINGULAR),
        "figures": with_report(inliers=-1),
        "a header": with_report(refused="x\r\nset-cookie: a=b"),
        "a size of its own": with_report(own_size=(1, 1)),
        "a ghost too few": changed(ghosts=()),
        "a huge mask": with_ghost(mask=HUGE),
        "a mask of three channels": with_ghost(mask=pack_plane(np.zeros((4, 4, 3), np.uint8))),
        "a lift of one channel": with_ghost(lift=pack_plane(np.zeros((4, 4), np.uint8))),
        "a short curve": with_ghost(trust=(1.0,)),
        "no number in a curve": with_ghost(trust=(NAN,) * 256),
    },
    EncodeCall: {
        "no file": changed(),
        "another file": changed(),
        "an endless file": changed(),
        "a file for a picture": lambda answer: DecodedImage(
            SharedDescriptor("expofuse-1", (1, 1, 3), "uint8"), ImageMetadata()
        ),
    },
}  # fmt: skip
FILES = {"no file": b"", "another file": b"GIF89a", "an endless file": bytes(10 * 2**20)}


def main() -> None:
    folder = Path(sys.argv.pop(1))
    answer = child._answer
    kept: list[bytearray] = []

    def answer_as_told(
        call: Call, known: object, read_payload: Callable[[], bytearray], device: object
    ) -> tuple[Answer, bytes]:
        payload = read_payload() if isinstance(call, DecodeCall) else bytearray()
        if payload.startswith(TRY):
            tried = try_everything(json.loads(payload.removeprefix(TRY)))
            return Failure("codec-failed", json.dumps(tried)), b""
        given, file = answer(call, known, lambda: payload, device)
        if (folder / "grow").exists():
            kept.append(bytearray(os.urandom(1 << 20) * 200))
        for deed, forge in FORGED[type(call)].items():
            if (folder / deed).exists():
                return forge(given), FILES.get(deed, file)
        return given, file

    if (folder / "no seccomp").exists():
        child.give_up_calls = list
    child._answer, ParentPipe.write = answer_as_told, write_anything
    child.main()


def write_anything(pipe: ParentPipe, message: Answer, payload: bytes = b"") -> None:
    text = pipe._wire.from_child.dump_json(message).replace(str(NAN).encode(), b"NaN")
    pipe._write_all(make_head(text, len(payload)))
    pipe._write_all(payload)


def try_everything(given: dict[str, object]) -> dict[str, str]:
    """What came of each attempt: the name of the error, or `done`."""
    outside, parent = Path(str(given["outside"])), os.getppid()
    libc = ctypes.CDLL(None, use_errno=True)

    def call(number: int, *arguments: object) -> None:
        if libc.syscall(number, *arguments) < 0:
            raise OSError(ctypes.get_errno(), "refused")

    attempts: dict[str, Callable[[], object]] = {
        "tcp": lambda: socket.socket(socket.AF_INET),
        "unix socket": lambda: socket.socket(socket.AF_UNIX),
        "socket pair": socket.socketpair,
        "new file": lambda: (outside / "new").write_text("x"),
        "new block": lambda: Path("/dev/shm/expofuse-new").write_text("x"),
        "overwrite": lambda: os.close(os.open(outside / "secret", os.O_RDWR)),
        "append": lambda: os.close(os.open(outside / "secret", os.O_WRONLY | os.O_APPEND)),
        "remove": (outside / "secret").unlink,
        "folder": (outside / "folder").mkdir,
        "rename": lambda: (outside / "secret").rename(outside / "other"),
        "memory file": lambda: os.memfd_create("x"),
        "exec": lambda: os.execv("/bin/true", ["true"]),
        "fork": lambda: os.fork() or os._exit(0),
        "spawn": lambda: subprocess.run(["/bin/true"], check=True),
        "signal": lambda: os.kill(parent, 0),
        "memory of another": lambda: call(given["ptrace"], 16, parent, 0, 0),
        "limit": lambda: __import__("resource").setrlimit(7, (9, 9)),
        "io_uring": lambda: call(425, 1, None),
        "read": lambda: (outside / "secret").read_bytes(),
        "environment": lambda: Path(f"/proc/{parent}/environ").read_bytes(),
        "names of blocks": lambda: list(Path("/dev/shm").iterdir()),
        "empty a block": lambda: os.truncate(f"/dev/shm/{given['block']}", 0),
        "thread": lambda: threading.Thread(target=int).start(),
        "module": lambda: __import__("wave"),
        "own block": lambda: os.close(os.open(f"/dev/shm/{given['block']}", os.O_RDWR)),
    }
    tried: dict[str, str] = {}
    for name, attempt in attempts.items():
        if given["only"] and name not in given["only"]:
            continue
        try:
            attempt()
        except Exception as error:
            tried[name] = type(error).__name__
        else:
            tried[name] = "done"
    return tried


if __name__ == "__main__":
    main()
