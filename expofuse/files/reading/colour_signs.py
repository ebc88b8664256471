"""Reads every sign of colour that a file carries, in the order that its format gives them.

| format | order |
|---|---|
| PNG | cICP, iCCP, sRGB, gAMA and cHRM (PNG 3rd edition, 4.3) |
| JPEG, WebP | ICC, then Exif: ColorSpace, the mark R03 of DCF option files, Gamma and primaries |
| AVIF, HEIC | ICC, then the code points of the file (nclx) |
| TIFF | ICC |

What carries none is sRGB.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace

from expofuse.errors import UnsupportedImageError
from expofuse.files.exif_tags import ExifTags, Value, read_exif_tags
from expofuse.files.headers import MAX_SEGMENTS, ImageHeader
from expofuse.files.headers.isobmff import ItemFormat, parse_items
from expofuse.files.reading.matrix_profile import (
    ADOBE_RGB,
    BT709_CURVE,
    D65,
    SRGB,
    SRGB_CURVE,
    Chromaticity,
    Curve,
    MatrixColours,
    write_profile,
)

_CICP_PRIMARIES: dict[int, tuple[Chromaticity, Chromaticity, Chromaticity, Chromaticity]] = {
    1: (SRGB.red, SRGB.green, SRGB.blue, D65),
    4: ((0.67, 0.33), (0.21, 0.71), (0.14, 0.08), (0.310, 0.316)),
    5: ((0.64, 0.33), (0.29, 0.60), (0.15, 0.06), D65),
    6: ((0.630, 0.340), (0.310, 0.595), (0.155, 0.070), D65),
    7: ((0.630, 0.340), (0.310, 0.595), (0.155, 0.070), D65),
    9: ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046), D65),
    11: ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060), (0.314, 0.351)),
    12: ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060), D65),
}
_CICP_CURVES = {
    1: BT709_CURVE,
    4: Curve(2.2),
    5: Curve(2.8),
    6: BT709_CURVE,
    8: Curve(1.0),
    13: SRGB_CURVE,
    14: BT709_CURVE,
    15: BT709_CURVE,
}
_HDR_CURVES = {16: "PQ", 18: "HLG"}
_UNSPECIFIED = 2

_SRGB_ENCODING = 0.45455
"""What writers of sRGB pictures put into gAMA; a power of 2.2 would be wrong near black."""

_COLOR_SPACE, _GAMMA, _INTEROPERABILITY_INDEX = 0xA001, 0xA500, 1
_WHITE_POINT, _PRIMARIES = 0x013E, 0x013F
_EXIF_SRGB, _EXIF_ADOBE_RGB = 1.0, 2.0
"""The latter is in no standard; some cameras write it."""


@dataclass(frozen=True, slots=True)
class Cicp:
    """Coding-independent code points: primaries, transfer, matrix, and whether levels are full."""

    primaries: int
    transfer: int
    matrix: int = 0
    is_full_range: bool = True


def find_profile(
    data: memoryview, header: ImageHeader, *, icc: bytes | None, exif: bytes | None
) -> bytes | None:
    """The ICC profile that describes a picture's colours, written here where a file has none.

    Args:
        data: The whole file, untrusted.
        header: Its sniffed header.
        icc: The profile that its decoder found in it.
        exif: The EXIF block that its decoder found in it.

    Returns:
        None for sRGB.

    Raises:
        UnsupportedImageError: The colours are of high dynamic range, or of a kind that is not read.
    """
    if header.format == "png":
        return _of_png(data, icc)
    if icc is not None:
        return icc
    if header.format == "avif" or header.format == "heic":
        return _of_items(data, header.format)
    return None if exif is None else _of_exif(read_exif_tags(exif))


def colours_of_cicp(cicp: Cicp) -> MatrixColours | None:
    """The colours that code points stand for; None for sRGB, and where they say nothing.

    Raises:
        UnsupportedImageError: PQ or HLG, or points that stand for none of the known colours.

    Reference:
        ITU-T H.273 (2024), tables 2 and 3.
    """
    if cicp.transfer in _HDR_CURVES:
        raise UnsupportedImageError(
            "expected a picture of standard dynamic range, got one of high dynamic range "
            f"({_HDR_CURVES[cicp.transfer]}): export it as sRGB, or with a gain map"
        )
    if _UNSPECIFIED in (cicp.primaries, cicp.transfer):
        return None
    corners, curve = _CICP_PRIMARIES.get(cicp.primaries), _CICP_CURVES.get(cicp.transfer)
    if corners is None or curve is None:
        raise UnsupportedImageError(
            "expected colours of known primaries and transfer, got the code points "
            f"{cicp.primaries} and {cicp.transfer}: export the picture as sRGB"
        )
    if not cicp.is_full_range:
        raise UnsupportedImageError(
            "expected samples of the full range, got the narrow range of video: export the "
            "picture as sRGB"
        )
    colours = MatrixColours(*corners, curve)
    return None if colours == SRGB else colours


def _of_png(data: memoryview, icc: bytes | None) -> bytes | None:
    chunks: dict[bytes, bytes] = {}
    for name, body in _list_png_chunks(data):
        chunks.setdefault(name, body)
    if len(code := chunks.get(b"cICP", b"")) == 4 and code[2] == 0:
        # A matrix other than that of R, G and B is an error in a PNG: then the next sign counts.
        colours = colours_of_cicp(Cicp(code[0], code[1], code[2], bool(code[3])))
        if _UNSPECIFIED not in code[:2]:
            return None if colours is None else write_profile(colours)
    if icc is not None and b"iCCP" in chunks:
        return icc
    if b"sRGB" in chunks:
        return None
    colours = _of_gamma(chunks.get(b"gAMA"), chunks.get(b"cHRM"))
    return None if colours is None else write_profile(colours)


def _of_gamma(gamma: bytes | None, corners: bytes | None) -> MatrixColours | None:
    colours = SRGB
    if gamma is not None and len(gamma) == 4 and (encoding := _hundred_thousandths(gamma)[0]) > 0:
        is_srgb = abs(encoding / _SRGB_ENCODING - 1) < 0.01
        colours = replace(colours, curve=SRGB_CURVE if is_srgb else Curve(1 / encoding))
    if corners is not None and len(corners) == 32:
        x = _hundred_thousandths(corners)
        pairs = [(round(a, 4), round(b, 4)) for a, b in zip(x[::2], x[1::2], strict=True)]
        white, red, green, blue = pairs
        colours = MatrixColours(red, green, blue, white, colours.curve)
    return None if colours == SRGB else colours


def _hundred_thousandths(body: bytes) -> list[float]:
    return [value / 100_000 for value in struct.unpack(f">{len(body) // 4}I", body)]


def _list_png_chunks(data: memoryview) -> Iterator[tuple[bytes, bytes]]:
    """Small chunks before the picture's data, with a sound length."""
    offset = 8
    for _ in range(MAX_SEGMENTS):
        if offset + 8 > len(data):
            return
        length, name = struct.unpack_from(">I4s", data, offset)
        if name == b"IDAT":
            return
        yield name, bytes(data[offset + 8 : offset + 8 + min(length, 64)])
        offset += 12 + length


def _of_items(data: memoryview, image_format: ItemFormat) -> bytes | None:
    """Colours of an AVIF or HEIC file; its matrix was undone by the decoder."""
    points = parse_items(data, image_format).code_points
    if points is None:
        return None
    colours = colours_of_cicp(Cicp(points[0], points[1]))
    return None if colours is None else write_profile(colours)


def _of_exif(tags: ExifTags) -> bytes | None:
    space = tags.capture.get(_COLOR_SPACE)
    if space == (_EXIF_SRGB,):
        return None
    mark = tags.interoperability.get(_INTEROPERABILITY_INDEX)
    if mark == b"R03" or space == (_EXIF_ADOBE_RGB,):
        return write_profile(ADOBE_RGB)
    gamma = _numbers(tags.capture.get(_GAMMA), 1)
    corners = _numbers(tags.image.get(_PRIMARIES), 6)
    if gamma is None or corners is None or gamma[0] <= 0:
        return None
    white = _numbers(tags.image.get(_WHITE_POINT), 2) or D65
    red, green, blue = ((corners[at], corners[at + 1]) for at in (0, 2, 4))
    return write_profile(MatrixColours(red, green, blue, (white[0], white[1]), Curve(gamma[0])))


def _numbers(value: Value | None, count: int) -> tuple[float, ...] | None:
    return value if isinstance(value, tuple) and len(value) == count else None
