"""Peak memory of one job in a process of its own, whose peak is nobody else's."""

from __future__ import annotations

import ctypes
import multiprocessing
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import cv2

from bench.processes import read_own_mib, reset_own_peak
from bench.scenes import take_still
from bench.scope import Point
from bench.stages import open_pipeline
from model.exposure import ExposureStack

_C_LIBRARY = ctypes.CDLL(None)

SMALL_MP = 0.05
"""Size of what is fused before, so that libraries and their threads have what they keep."""

Job = Callable[[Path, Sequence[Point]], list[float]]


def measure_apart(job: Job, weights_dir: Path, points: Sequence[Point]) -> list[float]:
    """Run one of the jobs below in a new process.

    Args:
        job: Which.
        weights_dir: See there, as the other.
        points: See there.

    Returns:
        MiB at each point.
    """
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(job, weights_dir, points).result()


def peak_of_fusion(weights_dir: Path, points: Sequence[Point]) -> list[float]:
    """What fusing takes above exposures and weights, the picture included, in MiB.

    Args:
        weights_dir: Folder of a version.
        points: What is fused, one after the other.
    """
    pipeline = open_pipeline(weights_dir)
    return _measure_each(lambda stack: pipeline.fuse(stack), points)


def peak_of_mertens(weights_dir: Path, points: Sequence[Point]) -> list[float]:
    """The same of OpenCV's MergeMertens; the weights are not looked at."""
    mertens = cv2.createMergeMertens()
    return _measure_each(lambda stack: mertens.process(list(stack.exposures)), points)


def _measure_each(fuse: Callable[[ExposureStack], object], points: Sequence[Point]) -> list[float]:
    most = max((count for _, count in points), default=2)
    fuse(ExposureStack.from_images(take_still(SMALL_MP, most).exposures))
    peaks = []
    for megapixels, count in points:
        stack = ExposureStack.from_images(take_still(megapixels, count).exposures)
        # What the allocator kept of the job before would hide as much of this one.
        _C_LIBRARY.malloc_trim(0)
        reset_own_peak()
        before = read_own_mib("VmRSS")
        fuse(stack)
        peaks.append(read_own_mib("VmHWM") - before)
    return peaks
