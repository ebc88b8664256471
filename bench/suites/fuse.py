"""Times fusion alone beside OpenCV's MergeMertens, and says what of the machine it uses.

Pictures are in memory, uint8; MergeMertens returns floats, which nobody can show yet. Both have
what the service's worker gives a job that is alone: memory that was freed is kept, and threads are
kept apart. The roofline is that of one thread: see `bench.roofline`. Peak memory is that of a
process of its own, above what it held with exposures and weights.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import cv2

from bench.measurement import OURS, Measurement, describe_costs, run_rounds
from bench.opponents import opencv_threads
from bench.peak import measure_apart, peak_of_fusion, peak_of_mertens
from bench.processes import Memory
from bench.roofline import Roof, count_work, describe_roofline
from bench.scenes import take_still
from bench.scope import Outcome, Point, Scope, draw_points
from bench.stages import open_pipeline
from bench.timing import MOTION, Cost, count_cores, measure
from model.exposure import ExposureStack
from model.manifest import NetworkConfig, PyramidBlendConfig, read_manifest
from model.registration import AS_THEY_ARE, Registration
from model.side_by_side import alone
from service.processes.freed_memory import keep_freed_memory

if TYPE_CHECKING:
    from model.pipeline import FusionPipeline, FusionRun
    from model.tiling import Window

SIZES_MP = (0.6, 2.0, 12.0)
MERTENS = "opencv MergeMertens"
WARPED = "expofuse, one exposure warped"


def run(scope: Scope) -> Outcome:
    """Measure pairs by one thread and by all, and curves against megapixels and exposures."""
    keep_freed_memory()
    with alone():
        return _run(scope)


def _run(scope: Scope) -> Outcome:
    manifest = read_manifest(scope.weights_dir)
    sizes = [size for size in SIZES_MP if size <= scope.case_mp]
    measurements = [
        measure_case(size, threads, scope.weights_dir, manifest.network, repeats=scope.repeats)
        for size in sizes
        for threads in sorted({1, count_cores()})
    ]
    pipeline = open_pipeline(scope.weights_dir)
    is_for_pairs = manifest.network.is_for_pairs
    points = [point for point in scope.points if point[1] == 2 or not is_for_pairs]
    found = {one: measure_point(pipeline, one, repeats=scope.curve_repeats) for one in points}
    for way, job in ((OURS, peak_of_fusion), (MERTENS, peak_of_mertens)):
        for point, mib in zip(points, measure_apart(job, scope.weights_dir, points), strict=True):
            found[point].peaks[way] = Memory("rss", mib)
    return Outcome(
        [*measurements, *found.values()],
        draw_points(found, scope),
        {"weights": manifest.label},
    )


def measure_case(
    megapixels: float,
    threads: int,
    weights_dir: Path,
    config: NetworkConfig | PyramidBlendConfig,
    *,
    repeats: int,
) -> Measurement:
    """A pair at rest and one that is warped, the passes, and on one thread the roofline.

    Args:
        megapixels: Size of an exposure.
        threads: Of ours as of OpenCV's.
        weights_dir: Folder of a version.
        config: Of its network.
        repeats: Counted rounds.
    """
    pipeline = open_pipeline(weights_dir, threads=threads)
    scene = take_still(megapixels)
    stack = ExposureStack.from_images(scene.exposures)
    passes: list[dict[str, Cost]] = []
    ways: dict[str, Callable[[], object]] = {
        OURS: partial(pipeline.fuse, stack),
        MERTENS: partial(cv2.createMergeMertens().process, list(stack.exposures)),
        WARPED: partial(pipeline.fuse, stack, Registration(MOTION.reference, MOTION)),
        "passes, one after the other": lambda: passes.append(measure_passes(pipeline, stack)),
    }
    if threads == 1:
        roof = Roof()
        ways |= {"copy": roof.copy, "multiply": roof.multiply}
    with opencv_threads(threads):
        rounds = run_rounds(ways, repeats=repeats)
    facts: dict[str, object] = {
        "threads": threads,
        "passes": {
            name: describe_costs([one[name] for one in passes[-repeats:]]) for name in passes[0]
        },
    }
    if threads == 1 and isinstance(config, PyramidBlendConfig):
        work = count_work(stack.height, stack.width, len(stack), config)
        facts["roofline"] = describe_roofline(rounds, work, fusion=OURS)
    counted = {name: costs for name, costs in rounds.items() if name not in ("copy", "multiply")}
    name = f"{megapixels:g} MP, {threads} {'thread' if threads == 1 else 'threads'}"
    return scene.describe(name, counted, facts)


def measure_point(pipeline: FusionPipeline, point: Point, *, repeats: int) -> Measurement:
    """So many exposures of one size, on every core.

    Args:
        pipeline: What fuses.
        point: Size and number of the exposures.
        repeats: Counted rounds.
    """
    megapixels, count = point
    scene = take_still(megapixels, count)
    stack = ExposureStack.from_images(scene.exposures)
    ways: dict[str, Callable[[], object]] = {
        OURS: partial(pipeline.fuse, stack),
        MERTENS: partial(cv2.createMergeMertens().process, list(stack.exposures)),
    }
    with opencv_threads(count_cores()):
        rounds = run_rounds(ways, repeats=repeats)
    return scene.describe(f"{count} of {megapixels:g} MP", rounds)


def measure_passes(pipeline: FusionPipeline, stack: ExposureStack) -> dict[str, Cost]:
    """Time each pass of one picture, named by the kind of its windows."""
    run = pipeline.begin(stack, AS_THEY_ARE)
    costs: dict[str, Cost] = {}
    for windows in run.passes:
        kinds = sorted({window.kind for window in windows})
        _, costs[", ".join(kinds)] = measure(partial(_fuse_pass, pipeline, run, windows))
    return costs


def _fuse_pass(pipeline: FusionPipeline, run: FusionRun, windows: Sequence[Window]) -> None:
    pipeline.fuse_windows([(run, window) for window in windows])
