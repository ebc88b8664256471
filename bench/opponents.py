"""What we are measured against: OpenCV's own way, and the programs of Hugin and Enblend."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import cv2

from bench.measurement import CannotError
from bench.opencv_program import fuse_files
from bench.processes import Ended, run_command
from bench.timing import count_cores

OPENCV = "opencv imread, AlignMTB, MergeMertens, imwrite"
PROGRAMS = "align_image_stack and enfuse"
PROGRAM_TIMEOUT_S = 900.0
QUALITY = 90
OPENCV_PROGRAM = Path(__file__).with_name("opencv_program.py")


@contextmanager
def opencv_threads(threads: int) -> Iterator[None]:
    """Have OpenCV use so many threads within the block."""
    before = cv2.getNumThreads()
    cv2.setNumThreads(threads)
    try:
        yield
    finally:
        cv2.setNumThreads(before)


def fuse_by_opencv(paths: Sequence[Path], target: Path) -> None:
    """Files in, file out, on every core, by OpenCV alone, in this warm process.

    Args:
        paths: Exposures, dark to bright.
        target: The JPEG file that is written.
    """
    with opencv_threads(count_cores()):
        fuse_files([str(path) for path in paths], str(target), QUALITY)


def run_opencv(paths: Sequence[Path], target: Path) -> Ended:
    """The same in a process that is started for it.

    Args:
        paths: See `fuse_by_opencv`, as the other.
        target: See there.
    """
    program = [sys.executable, str(OPENCV_PROGRAM), str(target), str(QUALITY)]
    command = [*program, *(str(path.resolve()) for path in paths)]
    return run_command(command, cwd=target.parent, timeout_s=PROGRAM_TIMEOUT_S)


def why_no_programs() -> str | None:
    """Why the programs cannot be measured here; None where they can."""
    missing = [name for name in ("align_image_stack", "enfuse") if shutil.which(name) is None]
    return f"not installed: {', '.join(missing)}" if missing else None


def fuse_by_programs(paths: Sequence[Path], folder: Path) -> Ended:
    """Files in, file out, by `align_image_stack` and `enfuse` with their defaults.

    Args:
        paths: Exposures, dark to bright.
        folder: Holds what the first program gives to the second, and `fused.jpg`.

    Returns:
        What both cost together; the peak is the larger of the two.

    Raises:
        CannotError: One of them failed; they find no alignment of some stacks.
    """
    try:
        return _run_programs(paths, folder)
    except subprocess.CalledProcessError as error:
        raise CannotError(f"failed: {error.stderr.strip().splitlines()[-1]}") from error


def _run_programs(paths: Sequence[Path], folder: Path) -> Ended:
    for old in folder.glob("aligned*.tif"):
        old.unlink()
    sources = [str(path.resolve()) for path in paths]
    align = ["align_image_stack", "-a", str(folder / "aligned"), *sources]
    first = run_command(align, cwd=folder, timeout_s=PROGRAM_TIMEOUT_S)
    aligned = sorted(str(path) for path in folder.glob("aligned*.tif"))
    target = folder / "fused.jpg"
    blend = ["enfuse", f"--output={target}", f"--compression={QUALITY}", *aligned]
    second = run_command(blend, cwd=folder, timeout_s=PROGRAM_TIMEOUT_S)
    return Ended(first.cost + second.cost, max(first.peak_mib, second.peak_mib))


def read_version_of_programs() -> str | None:
    """The line by which `enfuse` names itself; None where it is not installed."""
    if shutil.which("enfuse") is None:
        return None
    said = subprocess.run(["enfuse", "--version"], capture_output=True, text=True, check=False)
    return said.stdout.partition("\n")[0].strip()
