"""Times decoding and encoding beside OpenCV's and Pillow's, one thread each.

Each library writes with its own defaults at the same quality; the sizes of the files stand beside
their price. Milliseconds a megapixel are of core time.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Literal, get_args

import cv2
import numpy as np
from PIL import Image

from bench.measurement import OURS, Measurement, describe_values, run_rounds
from bench.opponents import QUALITY, opencv_threads
from bench.scenes import (
    HIGHRES,
    SAMPLE,
    Picture,
    Scene,
    has_photographs,
    take_photographs,
    take_still,
)
from bench.scope import Outcome, Scope, draw_costs
from bench.stages import LIMITS
from expofuse.files.formats import EncodeOptions, ImageMetadata
from expofuse.files.reading.decode import decode
from expofuse.files.reading.vips import configure_libvips
from expofuse.files.writing.encode import encode

OPENCV, PILLOW = "opencv", "pillow"
OTHER_FORMATS_MP = 2.0

Format = Literal["jpeg", "png", "webp", "tiff"]


def run(scope: Scope) -> Outcome:
    """Measure JPEG of two sizes, the other formats of one, and JPEG along the megapixels."""
    configure_libvips()
    scenes = {"0.6 MP": take_photographs(SAMPLE)}
    if scope.case_mp >= 12:
        scenes["12 MP"] = take_photographs(HIGHRES) if has_photographs() else take_still(12.0)
    measurements: list[Measurement] = []
    with opencv_threads(1):
        for name, scene in scenes.items():
            measurements += measure_jpeg(name, scene, repeats=scope.repeats)
        other = take_still(min(OTHER_FORMATS_MP, scope.case_mp))
        for file_format in get_args(Format)[1:]:
            measurements += measure_format(file_format, other, repeats=scope.repeats)
        along = [
            measure_pair(f"{size:g} MP", take_still(size), repeats=scope.curve_repeats)
            for size in scope.sizes_mp
        ]
    seconds, _ = draw_costs(along, "megapixels")
    return Outcome([*measurements, *along], [seconds])


def measure_jpeg(name: str, scene: Scene, *, repeats: int) -> list[Measurement]:
    """JPEG files as they are: decoding one, encoding one, and a pair in and a picture out.

    Args:
        name: Of the scene.
        scene: A pair.
        repeats: Counted rounds.
    """
    content, picture = scene.encode()[0], scene.exposures[0]
    decoders, encoders = list_decoders(content), list_encoders("jpeg", picture)
    return [
        _describe(f"decode jpeg, {name}", scene, decoders, repeats, {"bytes": len(content)}),
        _describe(f"encode jpeg, {name}", scene, encoders, repeats, count_bytes(encoders)),
        measure_pair(f"a pair in and a picture out, jpeg, {name}", scene, repeats=repeats),
    ]


def measure_format(file_format: Format, scene: Scene, *, repeats: int) -> list[Measurement]:
    """Another format: encoding a picture, and decoding what we made of it."""
    encoders = list_encoders(file_format, scene.exposures[0])
    content = encoders[OURS]()
    decoders = list_decoders(content)
    return [
        _describe(f"decode {file_format}", scene, decoders, repeats, {"bytes": len(content)}),
        _describe(f"encode {file_format}", scene, encoders, repeats, count_bytes(encoders)),
    ]


def measure_pair(name: str, scene: Scene, *, repeats: int) -> Measurement:
    """What a request asks of a codec: decode a pair, encode a picture, both JPEG."""
    files = scene.encode()
    decoders = [list_decoders(content) for content in files]
    encoders = list_encoders("jpeg", scene.exposures[-1])
    ways = {
        way: partial(_run_all, [*(each[way] for each in decoders), encoders[way]])
        for way in encoders
    }
    return _describe(name, scene, ways, repeats, {})


def list_decoders(content: bytes) -> dict[str, Callable[[], object]]:
    """Ways to decode a file to RGB."""
    return {
        OURS: lambda: decode(content, limits=LIMITS).pixels,
        OPENCV: lambda: cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR_RGB),
        PILLOW: lambda: np.asarray(Image.open(io.BytesIO(content)).convert("RGB")),
    }


def list_encoders(file_format: Format, picture: Picture) -> dict[str, Callable[[], bytes]]:
    """Ways to encode RGB."""
    options = EncodeOptions(file_format, quality=QUALITY)
    qualities = {"jpeg": cv2.IMWRITE_JPEG_QUALITY, "webp": cv2.IMWRITE_WEBP_QUALITY}
    flags = [qualities[file_format], QUALITY] if file_format in qualities else []

    def by_opencv() -> bytes:
        swapped = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)
        return cv2.imencode(f".{file_format}", swapped, flags)[1].tobytes()

    def by_pillow() -> bytes:
        buffer = io.BytesIO()
        asked: dict[str, str | int] = {}
        if file_format == "tiff":
            asked["compression"] = "tiff_adobe_deflate"
        elif file_format in qualities:
            asked["quality"] = QUALITY
        Image.fromarray(picture).save(buffer, file_format.upper(), **asked)
        return buffer.getvalue()

    return {
        OURS: lambda: encode(picture, options=options, metadata=ImageMetadata()),
        OPENCV: by_opencv,
        PILLOW: by_pillow,
    }


def count_bytes(encoders: Mapping[str, Callable[[], bytes]]) -> dict[str, object]:
    """Size of the file that each way writes."""
    return {"bytes": {way: len(encode_now()) for way, encode_now in encoders.items()}}


def _run_all(works: Sequence[Callable[[], object]]) -> None:
    for work in works:
        work()


def _describe(
    name: str,
    scene: Scene,
    ways: Mapping[str, Callable[[], object]],
    repeats: int,
    facts: dict[str, object],
) -> Measurement:
    rounds = run_rounds(ways, repeats=repeats)
    megapixels = scene.exposures[0].size / 3e6
    per_megapixel = {
        way: describe_values([1000 * cost.cpu_s / megapixels for cost in costs])
        for way, costs in rounds.items()
    }
    return scene.describe(name, rounds, facts | {"core_ms_per_megapixel": per_megapixel})
