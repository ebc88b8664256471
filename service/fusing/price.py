"""Prices a fusion by what is known of it before it begins: core seconds of each stage.

Prices are rounded measurements on one core (`docs/performance.md`). They need not fit the machine:
the backlog measures how much of them a second gets done. What counts is how they compare, so that
an AVIF file of 50 megapixels is not taken for a small job because it has few bytes.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from expofuse.files.formats import EncodeOptions, OutputFormat
from expofuse.files.headers import ImageFormat, ImageHeader
from service.backlog import Work
from service.fusing.options import FuseOptions

PIXELS_PER_MEGAPIXEL: Final = 1e6
FUSE_EACH_S: Final = 0.06
"""Of the coarse look, which is as large for every picture; seconds as everything here."""

FUSE_MEGAPIXEL_S: Final = 0.025
"""Of a megapixel of one exposure."""

ALIGN_EACH_S, ALIGN_MEGAPIXEL_S = 0.08, 0.008
"""Of an exposure that is laid upon the reference."""

GHOSTS_EACH_S, GHOSTS_MEGAPIXEL_S = 0.05, 0.006
"""Of an exposure in which what moved is sought."""

DEEP_FACTOR: Final = 1.6
"""Sixteen bits instead of eight."""

DECODE_MEGAPIXEL_S: Final[Mapping[ImageFormat, float]] = {
    "jpeg": 0.012,
    "png": 0.04,
    "webp": 0.03,
    "tiff": 0.015,
    "avif": 0.06,
    "bmp": 0.01,
    "heic": 0.08,
    "jxl": 0.04,
    "raw": 0.4,
}
ENCODE_MEGAPIXEL_S: Final[Mapping[OutputFormat, float]] = {
    "jpeg": 0.015,
    "png": 0.07,
    "webp": 0.05,
    "tiff": 0.05,
    "avif": 0.2,
    "jxl": 0.1,
}


def price_work(
    headers: Sequence[ImageHeader], options: FuseOptions, encoding: EncodeOptions
) -> Work:
    """Core seconds that each stage of a fusion is expected to take.

    Args:
        headers: Of the exposures, as sent.
        options: Of the request.
        encoding: How the picture is written.

    Returns:
        By stage; of waiting, which is none, nothing is said.

    Example:
        >>> pair = [ImageHeader("jpeg", 4000, 3000, 8)] * 2
        >>> work = price_work(pair, FuseOptions(), EncodeOptions("jpeg"))
        >>> {stage: round(seconds, 2) for stage, seconds in work.items()}
        {'decode': 0.29, 'align': 0.3, 'fuse': 0.66, 'encode': 0.18}
    """
    largest = max(header.pixels for header in headers) / PIXELS_PER_MEGAPIXEL
    others = len(headers) - 1
    is_deep = 16 in {header.bits for header in headers}
    factor = DEEP_FACTOR if is_deep else 1.0
    align_s = 0.0
    if options.align != "off":
        align_s += others * (ALIGN_EACH_S + ALIGN_MEGAPIXEL_S * largest)
    if options.ghosts != "off":
        align_s += others * (GHOSTS_EACH_S + GHOSTS_MEGAPIXEL_S * largest)
    written_bits = encoding.choose_bits(16 if is_deep else 8)
    return {
        "decode": sum(_price_decoding(header) for header in headers),
        "align": align_s * factor,
        "fuse": FUSE_EACH_S + FUSE_MEGAPIXEL_S * largest * len(headers) * factor,
        "encode": ENCODE_MEGAPIXEL_S[encoding.format]
        * largest
        * (DEEP_FACTOR if written_bits > 8 else 1.0),
    }


def _price_decoding(header: ImageHeader) -> float:
    factor = DEEP_FACTOR if header.bits == 16 else 1.0
    return DECODE_MEGAPIXEL_S[header.format] * header.pixels / PIXELS_PER_MEGAPIXEL * factor
