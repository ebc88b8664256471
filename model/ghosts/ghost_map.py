"""Describes what moved in an exposure, as arrays and as plain values; loads no OpenCV."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict

LevelTable = tuple[float, ...]
CurveTable = tuple[LevelTable, LevelTable, LevelTable]
"""256 levels of R, G and B."""

NO_LIFT = 128
"""The byte of a lift that stands for 0 levels."""


@dataclass(frozen=True, slots=True, eq=False)
class GhostMap:
    """What moved in one exposure beside the reference, and what to show instead.

    The prediction of a channel is `trust * curve[reference] + (1 - trust) * (neighbour_curve[
    neighbour] + lift)`, where the neighbour is the next exposure on the way to the reference,
    freed of its own ghosts. Where the neighbour is the reference, its curve is `curve`.

    Attributes:
        mask: 0 keeps the exposure, 255 takes the prediction. Shape (h, w) of the proxy.
        curve: The reference's levels of R, G and B, 0..255, as they look in this exposure.
        trust: How far each level of the reference can predict this exposure.
        neighbour_curve: The neighbour's levels as they look in this exposure; None where the
            neighbour is the reference.
        share: Of the picture that is taken from the prediction, 0..1.
        lift: Levels, counted from `NO_LIFT`, by which a bound is missed; None where by none.
            Shape (h', w', 3), over the whole picture as the mask.
    """

    mask: NDArray[np.uint8]
    curve: CurveTable
    trust: tuple[float, ...]
    neighbour_curve: CurveTable | None
    share: float
    lift: NDArray[np.uint8] | None = None


@dataclass(frozen=True, slots=True)
class PackedGhost:
    """A `GhostMap` without arrays.

    Attributes:
        mask: Its mask, see `packing`.
        curve: See `GhostMap`, as the others.
        trust: See there.
        neighbour_curve: See there.
        share: See there.
        lift: Its lift, likewise, or None.
    """

    __pydantic_config__ = ConfigDict(ser_json_bytes="base64", val_json_bytes="base64")

    mask: bytes
    curve: CurveTable
    trust: tuple[float, ...]
    neighbour_curve: CurveTable | None
    share: float
    lift: bytes | None = None
