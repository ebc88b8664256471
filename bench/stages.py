"""The stages of a request done in this process, to see what each costs without a service around it.

The codec's part runs as in a codec process: OpenCV on one thread, libvips without its cache.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
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

if TYPE_CHECKING:
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
