"""The stages of a request done without a service around them, to see what each costs.

The codec's part runs as in a codec process: OpenCV on one thread, libvips without its cache.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter, process_time
from typing import TYPE_CHECKING

from bench.measurement import MEGAPIXEL
from bench.opponents import QUALITY, opencv_threads
from bench.timing import Cost, measure
from expofuse.files.formats import EncodeOptions, ImageMetadata
from expofuse.files.headers import PixelLimits
from expofuse.files.reading.decode import decode
from expofuse.files.reading.vips import configure_libvips
from expofuse.files.writing.encode import encode
from model.exposure import ExposureSet
from model.register import register
from service.processes.freed_memory import keep_freed_memory

if TYPE_CHECKING:
    from multiprocessing.synchronize import Barrier

    from model.pipeline import FusionPipeline

LIMITS = PixelLimits(max_pixels=int(200 * MEGAPIXEL), max_side_px=65_535)
STAGES = ("decode", "align", "fuse", "encode")


def open_pipeline(weights_dir: Path, *, threads: int | None = None) -> FusionPipeline:
    """Weights on the CPU; what computes them is imported only now.

    Args:
        weights_dir: Folder of a version.
        threads: See `create_pipeline`.
    """
    from model.pipeline import create_pipeline
    from model.release.weights import load_weights

    return create_pipeline(load_weights(weights_dir), device="cpu", threads=threads)


def measure_stages(files: Sequence[bytes], pipeline: FusionPipeline) -> dict[str, Cost]:
    """Do a request's stages once, one after the other.

    Args:
        files: Exposures.
        pipeline: What fuses.

    Returns:
        Cost of each of `STAGES`.
    """
    configure_libvips()
    with opencv_threads(1):
        pixels, decoded = measure(lambda: [decode(one, limits=LIMITS).pixels for one in files])
        found, aligned = measure(
            lambda: register(ExposureSet.from_images(pixels), align="auto", ghosts="auto")
        )
    if len(found.used) == 1:
        picture, fused = found.used.darkest, Cost(0.0, 0.0)
    else:
        picture, fused = measure(lambda: pipeline.fuse(found.used, found.registration))
    options = EncodeOptions("jpeg", quality=QUALITY)
    _, encoded = measure(lambda: encode(picture, options=options, metadata=ImageMetadata()))
    return dict(zip(STAGES, (decoded, aligned, fused, encoded), strict=True))


@contextmanager
def stage_processes(
    files: Sequence[bytes], weights_dir: Path, *, count: int
) -> Iterator[Callable[[int], Cost]]:
    """Processes that do a request's stages at the same time, each on one thread.

    They keep what they free, as child processes of the service do.

    What so many of them do in a second is what a service that costs nothing would do on as many
    cores: cores that work at the same time share a cache and memory, and slow each other down.

    Args:
        files: Exposures.
        weights_dir: Folder of a version.
        count: How many.

    Yields:
        Has every process do the stages so many times; returns the cost of one request.
    """
    context = multiprocessing.get_context("spawn")
    given = (context.Barrier(count), list(files), weights_dir)
    with context.Pool(count, _open_stages, given) as pool:

        def repeat(times: int) -> Cost:
            begin_s = perf_counter()
            core_s = sum(pool.map(_repeat_stages, [times] * count, chunksize=1))
            return Cost((perf_counter() - begin_s) / (count * times), core_s / (count * times))

        repeat(1)
        yield repeat


_opened: list[tuple[Barrier, Sequence[bytes], FusionPipeline]] = []
"""What a process of `stage_processes` has."""


def _open_stages(barrier: Barrier, files: Sequence[bytes], weights_dir: Path) -> None:
    keep_freed_memory()
    _opened.append((barrier, files, open_pipeline(weights_dir, threads=1)))


def _repeat_stages(times: int) -> float:
    """Core seconds of this process."""
    barrier, files, pipeline = _opened[0]
    # Nobody does another's share.
    barrier.wait()
    begin_s = process_time()
    for _ in range(times):
        measure_stages(files, pipeline)
    return process_time() - begin_s
