"""Builds ICC profiles of greys and of RGB by three primaries and a curve, and reads their mark."""

import struct
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Point = tuple[float, float]
"""CIE 1931 chromaticity x, y."""

D65: Point = (0.3127, 0.3290)
# Of the profile connection space, ICC.1:2022, 7.2.16.
_D50_XYZ = (0.9642, 1.0, 0.8249)
# The Bradford cone responses, ICC.1:2022, annex E.
_BRADFORD = np.array(
    [[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]]
)
_HEADER_BYTES, _ENTRY_BYTES = 128, 12
_MAX_TAGS = 200


@dataclass(frozen=True, slots=True)
class Primaries:
    """Chromaticities of an RGB space.

    Attributes:
        red: Of the red primary.
        green: Of the green primary.
        blue: Of the blue primary.
        white: Of R = G = B.
    """

    red: Point
    green: Point
    blue: Point
    white: Point = D65


@dataclass(frozen=True, slots=True)
class Curve:
    """From an encoded value v to linear light, both 0..1.

    `(a v + b) ** gamma` from the threshold `d` on, `c v` below it. With a table, its entries at
    equal distances instead.

    Attributes:
        gamma: The exponent.
        a: See above.
        b: See above.
        c: See above.
        d: See above.
        table: Linear light in steps of 1/65535; empty where the formula holds.
    """

    gamma: float
    a: float = 1.0
    b: float = 0.0
    c: float = 0.0
    d: float = 0.0
    table: tuple[int, ...] = ()


SRGB_CURVE = Curve(2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)


def build_rgb_profile(primaries: Primaries, curves: tuple[Curve, Curve, Curve]) -> bytes:
    """A matrix profile of version 4 (ICC.1:2022, 8.4.3).

    Args:
        primaries: They span a triangle, see `is_sound`.
        curves: Of R, G and B.
    """
    matrix = _to_d50(primaries.white) @ rgb_to_xyz(primaries)
    tags = {b"wtpt": _xyz(*_D50_XYZ)}
    for letter, column, curve in zip("rgb", matrix.T, curves, strict=True):
        tags[f"{letter}XYZ".encode()] = _xyz(*column)
        tags[f"{letter}TRC".encode()] = _curve(curve)
    return _build(b"RGB ", tags)


def build_grey_profile(curve: Curve) -> bytes:
    """A profile of grey by its curve (ICC.1:2022, 8.4.4)."""
    return _build(b"GRAY", {b"wtpt": _xyz(*_D50_XYZ), b"kTRC": _curve(curve)})


def rgb_to_xyz(primaries: Primaries) -> NDArray[np.float64]:
    """Matrix from linear RGB to XYZ, white at Y = 1. Shape (3, 3), float64."""
    points = (primaries.red, primaries.green, primaries.blue)
    columns = np.array([_point_to_xyz(point) for point in points]).T
    return np.asarray(columns * np.linalg.solve(columns, _point_to_xyz(primaries.white)))


def is_sound(primaries: Primaries) -> bool:
    """Whether the primaries span a triangle that holds the white point and a profile can state."""
    points = (primaries.red, primaries.green, primaries.blue, primaries.white)
    if any(y <= 0.0005 or not -1 <= x <= 2 or y > 2 for x, y in points):
        return False
    try:
        matrix = _to_d50(primaries.white) @ rgb_to_xyz(primaries)
        shares = np.linalg.solve(
            np.array([_point_to_xyz(point) for point in points[:3]]).T, _point_to_xyz(points[3])
        )
    except np.linalg.LinAlgError:
        return False
    return bool(np.isfinite(matrix).all() and np.abs(matrix).max() < 4 and shares.min() > 0)


def read_cicp(profile: bytes) -> tuple[int, int] | None:
    """Primaries and transfer of the tag `cicp` (ICC.1:2022, 9.2.17), None where there is none."""
    try:
        (count,) = struct.unpack_from(">I", profile, _HEADER_BYTES)
        for index in range(min(count, _MAX_TAGS)):
            entry = _HEADER_BYTES + 4 + index * _ENTRY_BYTES
            name, offset, _ = struct.unpack_from(">4sII", profile, entry)
            if name == b"cicp":
                primaries, transfer = struct.unpack_from(">8xBB", profile, offset)
                return primaries, transfer
    except struct.error:
        return None
    return None


def _point_to_xyz(point: Point) -> NDArray[np.float64]:
    x, y = point
    return np.array([x / y, 1.0, (1 - x - y) / y])


def _to_d50(white: Point) -> NDArray[np.float64]:
    source = _BRADFORD @ _point_to_xyz(white)
    target = _BRADFORD @ np.array(_D50_XYZ)
    return np.asarray(np.linalg.solve(_BRADFORD, np.diag(target / source) @ _BRADFORD))


def _fixed(*values: float) -> bytes:
    return b"".join(struct.pack(">i", round(value * 65536)) for value in values)


def _xyz(*values: float) -> bytes:
    return b"XYZ \0\0\0\0" + _fixed(*values)


def _curve(curve: Curve) -> bytes:
    if curve.table:
        count = len(curve.table)
        return b"curv\0\0\0\0" + struct.pack(f">I{count}H", count, *curve.table)
    head = b"para\0\0\0\0"
    if curve.d == 0 and curve.a == 1:
        return head + struct.pack(">HH", 0, 0) + _fixed(curve.gamma)
    return head + struct.pack(">HH", 3, 0) + _fixed(curve.gamma, curve.a, curve.b, curve.c, curve.d)


def _text(words: str) -> bytes:
    encoded = words.encode("utf-16-be")
    return (
        b"mluc\0\0\0\0" + struct.pack(">II2s2sII", 1, 12, b"en", b"US", len(encoded), 28) + encoded
    )


def _build(space: bytes, tags: dict[bytes, bytes]) -> bytes:
    tags = {b"desc": _text("from the file's own tags"), b"cprt": _text("CC0"), **tags}
    start = _HEADER_BYTES + 4 + _ENTRY_BYTES * len(tags)
    table, bodies = struct.pack(">I", len(tags)), b""
    for name, body in tags.items():
        table += struct.pack(">4sII", name, start + len(bodies), len(body))
        bodies += body + bytes(-len(body) % 4)
    header = struct.pack(
        ">I4xI4s4s4s12x4s28x12s48x",
        start + len(bodies),
        0x04000000,
        b"mntr",
        space,
        b"XYZ ",
        b"acsp",
        _fixed(*_D50_XYZ),
    )
    return header + table + bodies
