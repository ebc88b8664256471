"""Times the front door for Python, and commands as a person types them, beside the peers.

Warm: `expofuse.fuse` on paths and OpenCV, both in this process. As commands: every process is
started anew, and what its start costs counts, as does its memory.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import expofuse
from bench.measurement import OURS, Measurement, run_rounds
from bench.opponents import (
    OPENCV,
    PROGRAM_TIMEOUT_S,
    PROGRAMS,
    QUALITY,
    fuse_by_opencv,
    fuse_by_programs,
    read_version_of_programs,
    run_opencv,
    why_no_programs,
)
from bench.processes import Ended, Memory, run_command
from bench.repository import ROOT
from bench.scenes import (
    HANDHELD,
    HIGHRES,
    SAMPLE,
    Scene,
    has_photographs,
    take_photographs,
    take_still,
)
from bench.scope import Outcome, Scope
from bench.timing import Cost


def run(scope: Scope) -> Outcome:
    """Measure pairs as they are."""
    scenes = {"0.6 MP, still": take_photographs(SAMPLE)}
    is_rich = has_photographs()
    if is_rich and scope.case_mp >= 1.9:
        scenes["1.9 MP, by hand"] = take_photographs(HANDHELD)
    if scope.case_mp >= 12:
        scenes["12 MP, still"] = take_photographs(HIGHRES) if is_rich else take_still(12.0)
    measurements: list[Measurement] = []
    for name, scene in scenes.items():
        with tempfile.TemporaryDirectory() as folder:
            measurements += measure_scene(name, scene, Path(folder), scope)
    return Outcome(
        measurements,
        facts={"enfuse": read_version_of_programs(), "weights": scope.weights_dir.name},
    )


def measure_scene(name: str, scene: Scene, folder: Path, scope: Scope) -> list[Measurement]:
    """One pair, warm and as commands."""
    paths = [folder / f"exposure-{number}.jpg" for number in range(len(scene.exposures))]
    for path, content in zip(paths, scene.encode(), strict=True):
        path.write_bytes(content)
    target = folder / "fused.jpg"
    warm: dict[str, Callable[[], object]] = {
        OURS: partial(fuse_here, paths, target, scope.weights_dir),
        OPENCV: partial(fuse_by_opencv, paths, target),
    }
    commands: dict[str, Callable[[], Ended]] = {
        OURS: partial(run_ours, paths, target, scope.weights_dir),
        OPENCV: partial(run_opencv, paths, target),
    }
    reason = why_no_programs()
    if reason is None:
        commands[PROGRAMS] = partial(fuse_by_programs, paths, folder)
    peaks_mib: dict[str, list[float]] = {way: [] for way in commands}

    def cost_of(way: str) -> Cost:
        ended = commands[way]()
        peaks_mib[way].append(ended.peak_mib)
        return ended.cost

    cold = {way: partial(cost_of, way) for way in commands}
    skipped = {} if reason is None else {PROGRAMS: reason}
    rounds = run_rounds(cold, repeats=scope.repeats, warm_up=False, skipped=skipped)
    peaks = {way: Memory("rss", max(found)) for way, found in peaks_mib.items() if found}
    return [
        scene.describe(f"{name}, warm", run_rounds(warm, repeats=scope.repeats)),
        scene.describe(f"{name}, as commands", rounds, peaks=peaks, skipped=skipped),
    ]


def fuse_here(paths: Sequence[Path], target: Path, weights_dir: Path) -> None:
    """Files in, file out by the front door."""
    picture = expofuse.fuse(list(paths), weights=weights_dir, format="jpeg", quality=QUALITY)
    target.write_bytes(picture)


def run_ours(paths: Sequence[Path], target: Path, weights_dir: Path) -> Ended:
    """The same by the command `expofuse fuse`."""
    program = [sys.executable, "-m", "service", "fuse", *(str(path) for path in paths)]
    options = ["--out", str(target), "--quality", str(QUALITY), "--weights", str(weights_dir)]
    return run_command([*program, *options], cwd=ROOT, timeout_s=PROGRAM_TIMEOUT_S)
