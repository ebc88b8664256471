"""Keeps OpenCV from starting threads of its own while windows are computed.

They would share a window's few rows, wait for each other at the end of every operation, and take
cores from other windows.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

import cv2

from model.process_settings import SharedSettings


def hold_single_thread() -> AbstractContextManager[None]:
    """Compute on one thread within the block; several threads may hold it at the same time."""
    return _COUNT.hold()


@contextmanager
def _one_opencv_thread() -> Iterator[None]:
    found = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(found)


_COUNT = SharedSettings(_one_opencv_thread)
"""OpenCV has one number of threads for the process."""
