"""Collects what a file says of its colours, the sign that its format puts first before the others.

- Every format: an embedded ICC profile, but in PNG the chunk cICP goes before it.
- PNG (third edition, 4.3): cICP, iCCP, sRGB, then gAMA with cHRM. A gAMA of 1/2.2 alone means sRGB.
- AVIF and HEIC: the code points of the file (nclx); their matrix was undone by the decoder.
- EXIF in JPEG, PNG and WebP, and the directories of a TIFF: ColorSpace 1 is sRGB. ColorSpace 2, or
  the DCF mark R03, is Adobe RGB (1998). Otherwise PrimaryChromaticities with WhitePoint, Gamma and
  TransferFunction hold.
- A file without a sign, or with "uncalibrated" alone, is taken for sRGB.

PQ and HLG are refused by name, in cICP and in a profile: their light goes beyond white, and a
picture of it on a display needs a tone curve that is the author's to choose. The transfer of BT.709
is read by the inverse of its camera curve, as ITU-T H.273 states it.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np
import pyvips

from expofuse.errors import UnsupportedImageError
from expofuse.files.headers import MAX_SEGMENTS, ImageHeader
from expofuse.files.headers.isobmff import ItemFormat, parse_items
from expofuse.files.headers.png import list_chunks
from expofuse.files.reading.colours.exif_tags import (
    BITS,
    COLOUR_SPACE,
    GAMMA,
    PRIMARIES,
    TRANSFER_FUNCTION,
    WHITE_POINT,
    ExifTags,
    read_exif_tags,
)
from expofuse.files.reading.colours.icc import (
    D65,
    SRGB_CURVE,
    Curve,
    Primaries,
    build_grey_profile,
    build_rgb_profile,
    is_sound,
    read_cicp,
)

PROFILE = "icc-profile-data"
SRGB = Primaries((0.64, 0.33), (0.30, 0.60), (0.15, 0.06))
ADOBE_RGB = Primaries((0.64, 0.33), (0.21, 0.71), (0.15, 0.06))
ADOBE_RGB_GAMMA = 563 / 256

_ILLUMINANT_C = (0.310, 0.316)
_CICP_PRIMARIES = {
    1: SRGB,
    4: Primaries((0.67, 0.33), (0.21, 0.71), (0.14, 0.08), _ILLUMINANT_C),
    5: Primaries((0.64, 0.33), (0.29, 0.60), (0.15, 0.06)),
    6: Primaries((0.630, 0.340), (0.310, 0.595), (0.155, 0.070)),
    7: Primaries((0.630, 0.340), (0.310, 0.595), (0.155, 0.070)),
    8: Primaries((0.681, 0.319), (0.243, 0.692), (0.145, 0.049), _ILLUMINANT_C),
    9: Primaries((0.708, 0.292), (0.170, 0.797), (0.131, 0.046)),
    11: Primaries((0.680, 0.320), (0.265, 0.690), (0.150, 0.060), (0.314, 0.351)),
    12: Primaries((0.680, 0.320), (0.265, 0.690), (0.150, 0.060)),
    22: Primaries((0.630, 0.340), (0.295, 0.605), (0.155, 0.077)),
}
"""ITU-T H.273, table 2."""

_BT_709_A, _BT_709_B = 1.099296826809442, 0.018053968510807
_BT_709 = Curve(1 / 0.45, 1 / _BT_709_A, (_BT_709_A - 1) / _BT_709_A, 1 / 4.5, 4.5 * _BT_709_B)
_CICP_CURVES = {
    1: _BT_709,
    4: Curve(2.2),
    5: Curve(2.8),
    6: _BT_709,
    7: Curve(1 / 0.45, 1 / 1.1115, 0.1115 / 1.1115, 1 / 4.0, 4 * 0.0228),
    8: Curve(1.0),
    11: _BT_709,
    12: _BT_709,
    13: SRGB_CURVE,
    14: _BT_709,
    15: _BT_709,
}
"""ITU-T H.273, table 3; 11 and 12 go beyond 0..1 in ways that integers do not."""
_HDR_TRANSFERS = {16: "PQ", 18: "HLG"}
_UNSPECIFIED = 2

_MAX_KEPT_BYTES = 4 << 20
"""Profiles of real files have at most 2 MiB; a process passes them on in one message."""

_SRGB_GAMA = (45_454, 45_455, 45_456)
_GAMA_RANGE = (1_000, 1_000_000)
_EXIF_GAMMA_RANGE = (0.2, 10.0)
_SAME_POINT = 0.0015
# Steps of 8 bits fall on entries; littlecms takes at most 32,767.
_TABLE_ENTRIES = 255 * 16 + 1


@dataclass(frozen=True, slots=True)
class ColourSign:
    """What one sign says.

    Attributes:
        profile: ICC profile that reads the samples; None where they are sRGB.
        kept: ICC profile of RGB that describes the same colours in samples of full range; None
            for sRGB, and where there is no such profile or one of more than 4 MiB.
    """

    profile: bytes | None = None
    kept: bytes | None = None


def collect_signs(
    data: bytes | bytearray | memoryview, header: ImageHeader, image: pyvips.Image
) -> Iterator[ColourSign]:
    """What a file says of its colours, the decisive sign first.

    Args:
        data: The whole file.
        header: Of the file.
        image: The file as libvips opens it, without alpha.

    Raises:
        UnsupportedImageError: The first sign that speaks is PQ, HLG, or a cICP that is not RGB.
    """
    chunks = _read_png_chunks(data) if header.format == "png" else {}
    is_grey = image.bands == 1
    if b"cICP" in chunks:
        yield from _read_cicp_chunk(chunks[b"cICP"], bits=header.bits, is_grey=is_grey)
    if image.get_typeof(PROFILE) != 0:
        yield _read_profile(image.get(PROFILE))
    if image.bands > 3:
        return
    if b"sRGB" in chunks:
        yield ColourSign()
    yield from _read_gamma_chunks(chunks, is_grey=is_grey)
    if header.format == "avif" or header.format == "heic":
        yield from _read_code_points(data, header.format, is_grey=is_grey)
    if header.format == "tiff":
        yield from _read_exif(read_exif_tags(data), is_grey=is_grey)
    elif image.get_typeof("exif-data") != 0:
        exif = bytes(image.get("exif-data")).removeprefix(b"Exif\0\0")
        yield from _read_exif(read_exif_tags(exif), is_grey=is_grey)


def describe(
    primaries: Primaries, curves: tuple[Curve, Curve, Curve], *, is_grey: bool
) -> ColourSign:
    """The sign of a space by its numbers; a grey picture needs the curve alone."""
    kept = build_rgb_profile(primaries, curves)
    return ColourSign(build_grey_profile(curves[0]) if is_grey else kept, kept)


def _read_profile(profile: bytes) -> ColourSign:
    cicp = read_cicp(profile)
    if cicp is not None and cicp[1] in _HDR_TRANSFERS:
        raise _hdr_error(cicp[1])
    is_kept = profile[16:20] == b"RGB " and len(profile) <= _MAX_KEPT_BYTES
    return ColourSign(profile, profile if is_kept else None)


def _hdr_error(transfer: int) -> UnsupportedImageError:
    return UnsupportedImageError(
        "expected a picture for displays of standard range, got one in "
        f"{_HDR_TRANSFERS[transfer]} (HDR): export it as sRGB or Display P3"
    )


def _read_png_chunks(data: bytes | bytearray | memoryview) -> dict[bytes, bytes]:
    """Bodies of the chunks that speak of colour; they stand before the pixels."""
    view = memoryview(data).cast("B")
    chunks: dict[bytes, bytes] = {}
    for name, begin, length in islice(list_chunks(view), MAX_SEGMENTS):
        if name == b"IDAT":
            break
        if name in (b"cICP", b"sRGB", b"gAMA", b"cHRM") and name not in chunks:
            chunks[name] = bytes(view[begin : begin + min(length, 64)])
    return chunks


def _read_cicp_chunk(body: bytes, *, bits: int, is_grey: bool) -> Iterator[ColourSign]:
    if len(body) != 4:
        return
    primaries_code, transfer, matrix, full_range = body
    if transfer in _HDR_TRANSFERS:
        raise _hdr_error(transfer)
    if _UNSPECIFIED in (primaries_code, transfer):
        return
    primaries, curve = _CICP_PRIMARIES.get(primaries_code), _CICP_CURVES.get(transfer)
    if primaries is None or curve is None or matrix != 0 or full_range > 1:
        raise UnsupportedImageError(
            "expected a PNG whose chunk cICP names RGB primaries and a transfer of ITU-T H.273, "
            f"got {primaries_code}/{transfer}/{matrix}/{full_range}: export it as sRGB"
        )
    if full_range and primaries is SRGB and curve is SRGB_CURVE:
        yield ColourSign()
        return
    sign = describe(primaries, (curve,) * 3, is_grey=is_grey)
    if full_range:
        yield sign
        return
    narrow = _narrow(curve, bits)
    kept = None if primaries is SRGB and curve is SRGB_CURVE else sign.kept
    yield ColourSign(describe(primaries, (narrow,) * 3, is_grey=is_grey).profile, kept)


def _read_code_points(
    data: bytes | bytearray | memoryview, image_format: ItemFormat, *, is_grey: bool
) -> Iterator[ColourSign]:
    points = parse_items(memoryview(data).cast("B"), image_format).code_points
    if points is None:
        return
    primaries_code, transfer, _ = points
    if transfer in _HDR_TRANSFERS:
        raise _hdr_error(transfer)
    primaries, curve = _CICP_PRIMARIES.get(primaries_code), _CICP_CURVES.get(transfer)
    if primaries is None or curve is None:
        if _UNSPECIFIED in (primaries_code, transfer):
            return
        raise UnsupportedImageError(
            "expected primaries and a transfer of ITU-T H.273 that are known here, "
            f"got {primaries_code}/{transfer}: export the picture as sRGB"
        )
    yield _unless_srgb(primaries, (curve,) * 3, is_grey=is_grey)


def _narrow(curve: Curve, bits: int) -> Curve:
    """The curve over samples whose black is 16 and whose white is 235, times 256 at 16 bits."""
    samples = np.linspace(0, (1 << bits) - 1, _TABLE_ENTRIES) / (1 << bits - 8)
    values = np.clip((samples - 16) / 219, 0, 1)
    light = np.where(
        values >= curve.d, (curve.a * values + curve.b) ** curve.gamma, curve.c * values
    )
    return Curve(0.0, table=tuple(np.rint(light * 65535).astype(int).tolist()))


def _read_gamma_chunks(chunks: dict[bytes, bytes], *, is_grey: bool) -> Iterator[ColourSign]:
    curve = None
    if len(chunks.get(b"gAMA", b"")) == 4:
        (gama,) = struct.unpack(">I", chunks[b"gAMA"])
        if gama in _SRGB_GAMA:
            curve = SRGB_CURVE
        elif _GAMA_RANGE[0] <= gama <= _GAMA_RANGE[1]:
            curve = Curve(100_000 / gama)
    primaries = None
    if len(chunks.get(b"cHRM", b"")) == 32:
        numbers = tuple(value / 100_000 for value in struct.unpack(">8I", chunks[b"cHRM"]))
        primaries = _to_primaries(numbers[:2], numbers[2:])
    if curve is None and primaries is None:
        return
    if curve is SRGB_CURVE and primaries not in (None, SRGB):
        curve = Curve(2.2)
    yield _unless_srgb(primaries or SRGB, (curve or SRGB_CURVE,) * 3, is_grey=is_grey)


def _read_exif(tags: ExifTags, *, is_grey: bool) -> Iterator[ColourSign]:
    space = tags.exif.get(COLOUR_SPACE, (0,))[0]
    if space == 1:
        yield ColourSign()
        return
    if space == 2 or tags.interoperability == "R03":
        yield describe(ADOBE_RGB, (Curve(ADOBE_RGB_GAMMA),) * 3, is_grey=is_grey)
        return
    points, white = tags.image.get(PRIMARIES, ()), tags.image.get(WHITE_POINT, D65)
    primaries = _to_primaries(white, points) if len(points) == 6 and len(white) == 2 else None
    gamma = tags.exif.get(GAMMA, (0.0,))[0]
    curves = _read_transfer_function(tags)
    if curves is None and _EXIF_GAMMA_RANGE[0] <= gamma <= _EXIF_GAMMA_RANGE[1]:
        curves = (Curve(gamma),) * 3
    if primaries is not None or curves is not None:
        yield _unless_srgb(primaries or SRGB, curves or (SRGB_CURVE,) * 3, is_grey=is_grey)


def _read_transfer_function(tags: ExifTags) -> tuple[Curve, Curve, Curve] | None:
    values = np.array(tags.image.get(TRANSFER_FUNCTION, ()))
    size = 65536 if tags.image.get(BITS, (8,))[0] == 16 else 256
    if values.size not in (size, 3 * size) or values.min() < 0 or values.max() > 65535:
        return None
    positions = np.linspace(0, size - 1, min(size, _TABLE_ENTRIES))
    curves = []
    for column in np.broadcast_to(values.reshape(-1, size), (3, size)):
        if column[-1] <= column[0] or np.diff(column).min() < 0:
            return None
        steps = np.interp(positions, np.arange(size), column)
        curves.append(Curve(0.0, table=tuple(np.rint(steps).astype(int).tolist())))
    red, green, blue = curves
    return red, green, blue


def _to_primaries(white: tuple[float, ...], points: tuple[float, ...]) -> Primaries | None:
    x_white, y_white = white
    x_red, y_red, x_green, y_green, x_blue, y_blue = points
    primaries = Primaries((x_red, y_red), (x_green, y_green), (x_blue, y_blue), (x_white, y_white))
    if not is_sound(primaries):
        return None
    numbers = np.array([*points, *white])
    srgb = np.array([*SRGB.red, *SRGB.green, *SRGB.blue, *SRGB.white])
    return SRGB if np.abs(numbers - srgb).max() < _SAME_POINT else primaries


def _unless_srgb(
    primaries: Primaries, curves: tuple[Curve, Curve, Curve], *, is_grey: bool
) -> ColourSign:
    if primaries is SRGB and curves == (SRGB_CURVE,) * 3:
        return ColourSign()
    return describe(primaries, curves, is_grey=is_grey)
