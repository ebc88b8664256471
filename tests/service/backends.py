"""Backends for tests of the worker: plain functions that copy, record, sleep, raise or die.

What a job does is written into its first pixel, so that jobs of one worker can differ. As a
programme (`backend_command`) this module is a device worker with one of its backends.
"""

import json
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from model.exposure import ExposureStack, Pixels, StackAlignment
from model.tiling import Window, WindowKind, plan_windows
from service.device.backend import Backend, BackendPipeline, FailureKind
from service.device.child import run_process
from service.served_weights import ServedWeights, WorkerInfo

COPY = ServedWeights("copy", "0.0.1", "copy", "", "over", "float32")
LABEL = COPY.label
INFO = WorkerInfo((COPY,), "cpu")
TILE_PX = 16

SOUND, RAISE, DIE, LOSE_DEVICE, NEVER_FITS, HANG, SLOW = 1, 11, 22, 33, 44, 55, 66
DIE_ONCE, DIE_AFTER_DRAFT_ONCE, CRASH = 77, 88, 99
DRAFT: WindowKind = "border"


class LostError(RuntimeError):
    """Stands for a sticky error of the device."""


@dataclass(frozen=True)
class CopyRun:
    stack: ExposureStack
    passes: tuple[tuple[Window, ...], ...]
    output: Pixels
    drafted: list[Window] = field(default_factory=list)

    @property
    def deed(self) -> int:
        return int(self.stack.darkest[0, 0, 0])

    def fuse(self, window: Window) -> None:
        if window.kind == DRAFT:
            self.drafted.append(window)
            return
        if any(len(windows) != len(self.drafted) for windows in self.passes[:-1]):
            raise RuntimeError("a window of a pass that is not open")
        self.output[window.core.slices] = self.stack.darkest[window.core.slices]


class CopyBackend:
    """Copies the under exposure to the output, window by window.

    With a draft it walks the picture twice, and a window of the second pass that comes before all
    of the first were fused makes its job fail.
    """

    def __init__(
        self, record: Path | None = None, fits: int = 8, *, has_draft: bool = False
    ) -> None:
        self.record = record
        self.fits = fits
        self.has_draft = has_draft
        self.batches: list[list[int]] = []
        self.frees = 0

    def begin(
        self, stack: ExposureStack, alignment: StackAlignment | None, output: Pixels
    ) -> CopyRun:
        height, width = stack.height, stack.width
        windows = plan_windows(height, width, halo_px=0, tile_px=TILE_PX)
        draft = tuple(replace(window, kind=DRAFT) for window in windows)
        return CopyRun(stack, (draft, windows) if self.has_draft else (windows,), output)

    def fuse_windows(self, batch: Sequence[tuple[CopyRun, Window]]) -> None:
        self.batches.append([run.deed for run, _ in batch])
        deeds = {run.deed for run, _ in batch}
        if DIE in deeds or (DIE_ONCE in deeds and self._is_first_time()):
            os.kill(os.getpid(), signal.SIGKILL)
        if CRASH in deeds:
            os.kill(os.getpid(), signal.SIGSEGV)
        if DIE_AFTER_DRAFT_ONCE in deeds and batch[0][1].kind != DRAFT and self._is_first_time():
            os.kill(os.getpid(), signal.SIGKILL)
        if LOSE_DEVICE in deeds:
            raise LostError
        if NEVER_FITS in deeds or len(batch) > self.fits:
            raise MemoryError
        if RAISE in deeds:
            raise RuntimeError("a window that cannot be fused")
        if HANG in deeds:
            time.sleep(3600)
        if SLOW in deeds:
            time.sleep(0.05)
        for run, window in batch:
            run.fuse(window)

    def _is_first_time(self) -> bool:
        assert self.record is not None
        is_first = not self.record.exists()
        self.record.touch()
        return is_first

    def free_memory(self) -> None:
        self.frees += 1

    def as_backend(self, max_batch: int = 4) -> Backend:
        return Backend(
            info=INFO,
            pipelines={LABEL: self.as_pipeline(max_batch)},
            classify=classify,
            free_memory=self.free_memory,
            measure_memory=lambda: 1000 * len(self.batches),
        )

    def as_pipeline(self, max_batch: int = 4) -> BackendPipeline:
        return BackendPipeline(
            max_batch=max_batch,
            shared_batch=max_batch,
            warm_up=lambda: None,
            begin=self.begin,
            fuse_windows=self.fuse_windows,
        )


def classify(error: Exception) -> FailureKind:
    if isinstance(error, MemoryError):
        return "memory"
    return "device" if isinstance(error, LostError) else "job"


def backend_command(factory: Callable[..., Backend], *arguments: object) -> list[str]:
    """The command of a device worker whose backend is made by a function of this module."""
    program = [sys.executable, "-P", "-m", "tests.service.backends"]
    return [*program, factory.__name__, json.dumps(arguments, default=str)]


def copying(record: Path | None = None, has_draft: bool = False) -> Backend:
    return CopyBackend(record and Path(record), has_draft=has_draft).as_backend()


def labelled(version: str, digest: str) -> Backend:
    """Copies under another version's label."""
    backend = CopyBackend()
    weights = replace(COPY, version=version, digest=digest)
    return replace(
        backend.as_backend(),
        info=WorkerInfo((weights,), "cpu"),
        pipelines={weights.label: backend.as_pipeline()},
    )


def failing_warm_up() -> Backend:
    raise ValueError("expected a device below cuda:0, got 'cuda:7'")


def failing_second_warm_up() -> Backend:
    def fail() -> None:
        raise ValueError("expected the second version to run, got nothing")

    backend = CopyBackend()
    pipeline = backend.as_pipeline()
    pipelines = {LABEL: pipeline, "copy-0.0.2": replace(pipeline, warm_up=fail)}
    return replace(backend.as_backend(), pipelines=pipelines)


def dying_at_start() -> Backend:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


def hanging_at_start() -> Backend:
    time.sleep(3600)
    raise AssertionError


def starting_once(record: Path) -> Backend:
    """Comes up the first time and the third, not the second."""
    record = Path(record)
    with record.open("a") as log:
        log.write("start\n")
    if len(record.read_text().splitlines()) == 2:
        raise ValueError("no second start")
    return CopyBackend().as_backend()


def main() -> None:
    factory = partial(globals()[sys.argv[1]], *json.loads(sys.argv[2]))
    run_process(factory, log_level="error", parent_pid=int(sys.argv[-1]))


if __name__ == "__main__":
    main()
