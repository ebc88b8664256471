"""Writes the ICC profile of colours that a file describes by primaries and a curve."""

import struct
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Chromaticity = tuple[float, float]
"""x and y of CIE 1931."""

D65: Chromaticity = (0.3127, 0.3290)
_D50_XYZ = (0.9642, 1.0, 0.8249)
_BRADFORD = np.array(
    [[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]]
)
_LEAST_AREA = 1e-4
_HEADER_BYTES, _ENTRY_BYTES = 128, 12


@dataclass(frozen=True, slots=True)
class Curve:
    """How samples become light: a power, and a straight part near black.

    Light is `(scale * x + offset) ** exponent` from `start` on, and `slope * x` below. x is 0..1.
    """

    exponent: float
    scale: float = 1.0
    offset: float = 0.0
    slope: float = 0.0
    start: float = 0.0


SRGB_CURVE = Curve(2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
BT709_CURVE = Curve(1 / 0.45, 1 / 1.099, 0.099 / 1.099, 1 / 4.5, 0.081)


@dataclass(frozen=True, slots=True)
class MatrixColours:
    """Colours of three primaries.

    Attributes:
        red: Chromaticity of a primary, as the others.
        green: See there.
        blue: See there.
        white: Chromaticity of equal parts of all three.
        curve: Of every channel.
    """

    red: Chromaticity
    green: Chromaticity
    blue: Chromaticity
    white: Chromaticity
    curve: Curve


SRGB = MatrixColours((0.640, 0.330), (0.300, 0.600), (0.150, 0.060), D65, SRGB_CURVE)
ADOBE_RGB = MatrixColours((0.640, 0.330), (0.210, 0.710), (0.150, 0.060), D65, Curve(563 / 256))
"""Adobe RGB (1998): its exponent is exactly 2.19921875."""


def write_profile(colours: MatrixColours) -> bytes | None:
    """A display profile with a matrix and three curves.

    Args:
        colours: May come from an untrusted file.

    Returns:
        None where the primaries span no colours.

    Reference:
        ICC.1:2022, 7 to 10; the adaptation to D50 is Bradford's, its annex E.
    """
    matrix = _to_xyz(colours)
    if matrix is None or not 0.1 <= colours.curve.exponent <= 10:
        return None
    curve = _parametric(colours.curve)
    tags = {
        b"desc": _text("matrix and curves"),
        b"cprt": _text("No copyright, use freely"),
        b"wtpt": _xyz(*_D50_XYZ),
        b"rXYZ": _xyz(*matrix[:, 0]),
        b"gXYZ": _xyz(*matrix[:, 1]),
        b"bXYZ": _xyz(*matrix[:, 2]),
        b"rTRC": curve,
        b"gTRC": curve,
        b"bTRC": curve,
    }
    entries, bodies = [struct.pack(">I", len(tags))], b""
    begin = _HEADER_BYTES + 4 + _ENTRY_BYTES * len(tags)
    for name, body in tags.items():
        entries.append(struct.pack(">4sII", name, begin + len(bodies), len(body)))
        bodies += body + bytes(-len(body) % 4)
    header = struct.pack(
        ">I4sI4s4s4s12s4s28x12s48x",
        begin + len(bodies), bytes(4), 0x04300000, b"mntr", b"RGB ", b"XYZ ",
        struct.pack(">6H", 2026, 1, 1, 0, 0, 0), b"acsp", _fixed(*_D50_XYZ),
    )  # fmt: skip
    return header + b"".join(entries) + bodies


def _to_xyz(colours: MatrixColours) -> NDArray[np.float64] | None:
    """R, G and B to XYZ beside D50, as columns."""
    corners = (colours.red, colours.green, colours.blue, colours.white)
    if any(not -1.0 <= value <= 2.0 for corner in corners for value in corner):
        return None
    (ax, ay), (bx, by), (cx, cy) = corners[:3]
    if abs((bx - ax) * (cy - ay) - (cx - ax) * (by - ay)) < _LEAST_AREA or colours.white[1] <= 0:
        return None
    sums = np.array([[x, y, 1.0 - x - y] for x, y in corners[:3]]).T
    white = np.array([colours.white[0], colours.white[1], 1.0 - sum(colours.white)])
    white /= white[1]
    matrix = sums * np.linalg.solve(sums, white)
    cones, target = _BRADFORD @ white, _BRADFORD @ np.array(_D50_XYZ)
    adapted = np.linalg.inv(_BRADFORD) @ np.diag(target / cones) @ _BRADFORD @ matrix
    is_sound = bool(np.isfinite(adapted).all() and np.abs(adapted).max() < 4)
    return np.asarray(adapted) if is_sound else None


def _fixed(*values: float) -> bytes:
    return struct.pack(f">{len(values)}i", *(round(value * 65536) for value in values))


def _xyz(*values: float) -> bytes:
    return b"XYZ \0\0\0\0" + _fixed(*values)


def _text(value: str) -> bytes:
    words = value.encode("utf-16-be")
    return b"mluc\0\0\0\0" + struct.pack(">II2s2sII", 1, 12, b"en", b"US", len(words), 28) + words


def _parametric(curve: Curve) -> bytes:
    if curve.start == 0:
        return b"para\0\0\0\0" + struct.pack(">HH", 0, 0) + _fixed(curve.exponent)
    numbers = (curve.exponent, curve.scale, curve.offset, curve.slope, curve.start)
    return b"para\0\0\0\0" + struct.pack(">HH", 3, 0) + _fixed(*numbers)
