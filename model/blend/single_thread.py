"""Keeps OpenCV and torch from starting threads of their own while windows are computed.

Their threads would share a window's few rows, wait for each other at the end of every operation,
and take cores from other windows. Torch's convolutions to a few maps also add in an order that
depends on the number of threads.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import cv2
import torch

from model.blend.process_settings import SharedSettings


@contextmanager
def hold_single_thread() -> Iterator[None]:
    """Compute on one thread within the block; several threads may hold it at the same time.

    OpenCV has one number of threads for the process. Torch has one for each thread, which a thread
    takes from the process at its first operation: so every thread sets its own to 1, and when it
    leaves its outermost block it gets back the number that was found before any thread came. A
    thread of a pool that computes on behalf of the holder calls `use_one_torch_thread` for itself.
    """
    with _COUNTS.hold() as torch_threads:
        use_one_torch_thread()
        _HELD.blocks += 1
        try:
            yield
        finally:
            _HELD.blocks -= 1
            if _HELD.blocks == 0:
                torch.set_num_threads(torch_threads)


def use_one_torch_thread() -> None:
    """Let the calling thread's operations in torch run on this thread alone."""
    if torch.get_num_threads() != 1:
        torch.set_num_threads(1)


@contextmanager
def _one_opencv_thread() -> Iterator[int]:
    opencv_threads, torch_threads = cv2.getNumThreads(), torch.get_num_threads()
    cv2.setNumThreads(1)
    try:
        yield torch_threads
    finally:
        cv2.setNumThreads(opencv_threads)


_COUNTS = SharedSettings(_one_opencv_thread)


class _Held(threading.local):
    """How many blocks the calling thread is in, one inside the other."""

    blocks = 0


_HELD = _Held()
