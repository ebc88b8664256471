"""Says how near a fusion comes to what the machine can do at all: copy memory, multiply matrices.

Bytes are those that no fusion can do without: every exposure read once, the picture written once.
Operations are those of the formulas in `model/blend`, `torch_network.py` and its neighbours,
each value computed once. A share of the roof is so a lower bound of how busy the machine is, and
does not reward work that is not needed. Both are counted by the core second, so that the number of
threads does not matter.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bench.measurement import Rounds, describe_values
from bench.timing import Cost, measure
from model.manifest import PyramidBlendConfig

COPY_BYTES = 2**27
MATRIX_SIDE = 1024
CHANNELS = 3
SEEN_PLANES = 8

EXPONENTIAL, LOGARITHM = 18.0, 15.0
"""Operations of one, as a series of the length that float needs."""

PYRAMID = 4 / 3
"""Pixels of all levels over those of the finest."""

PER_EXPOSURE_AND_LEVEL_PIXEL = {
    "reduce": 5.25,
    "expand and band": 5.5,
    "contrast": 16.0,
    "its logarithm": LOGARITHM,
    "maps brought down": 8.0,
    "logit": 8.0,
    "softmax": EXPONENTIAL + 4.0,
}
PER_LEVEL_PIXEL = {"expand": 4.5, "gain and bounds": 12.0}
PER_EXPOSURE_AND_PIXEL = {
    "luma": 5.0,
    "near white and black": 24.0,
    "softmax": EXPONENTIAL + 4.0,
    "chroma": 13.0,
}
PER_PIXEL = {"gamut": 20.0, "rounding": 6.0}


@dataclass(frozen=True, slots=True)
class Work:
    """What a fusion must do at least.

    Attributes:
        bytes: Read and written.
        operations: Additions and multiplications of floats.
    """

    bytes: float
    operations: float


def count_work(height: int, width: int, exposures: int, config: PyramidBlendConfig) -> Work:
    """What blending uint8 exposures takes at least.

    Args:
        height: Of the picture.
        width: Likewise.
        exposures: How many.
        config: Of the network.

    Example:
        >>> pair = count_work(1000, 1000, 2, PyramidBlendConfig())
        >>> pair.bytes / 1e6, 250 < pair.operations / 1e6 < 500
        (9.0, True)
    """
    pixels = height * width
    each = PYRAMID * sum(PER_EXPOSURE_AND_LEVEL_PIXEL.values())
    each += sum(PER_EXPOSURE_AND_PIXEL.values())
    once = PYRAMID * sum(PER_LEVEL_PIXEL.values()) + sum(PER_PIXEL.values())
    shrink = min(config.network_side_px / max(height, width), 1 / 4)
    taps = 9 * config.width * (SEEN_PLANES + len(config.dilations) * config.width)
    look = 2.0 * taps * exposures * pixels * shrink**2
    return Work(
        bytes=float(CHANNELS * pixels * (exposures + 1)),
        operations=pixels * (each * exposures + once) + look,
    )


class Roof:
    """What the machine can do, measured once in every round."""

    def __init__(self) -> None:
        self._from = np.ones(COPY_BYTES, np.uint8)
        self._to = np.zeros(COPY_BYTES, np.uint8)
        self._matrix = np.random.default_rng(0).random((MATRIX_SIDE, MATRIX_SIDE), np.float32)

    def copy(self) -> Cost:
        """Copy memory; every byte is read and written."""
        _, cost = measure(lambda: np.copyto(self._to, self._from))
        return cost

    def multiply(self) -> Cost:
        """Multiply two matrices of float32."""
        _, cost = measure(lambda: self._matrix @ self._matrix)
        return cost


def describe_roofline(rounds: Rounds, work: Work, *, fusion: str) -> dict[str, object]:
    """What was reached of what can be, by the core second and by the round.

    Args:
        rounds: With `copy` and `multiply` of a `Roof` beside the fusion.
        work: Of the fusion.
        fusion: Its name in the rounds.
    """
    copies = [2 * COPY_BYTES / cost.cpu_s for cost in rounds["copy"]]
    products = [2 * MATRIX_SIDE**3 / cost.cpu_s for cost in rounds["multiply"]]
    moved = [work.bytes / cost.cpu_s for cost in rounds[fusion]]
    computed = [work.operations / cost.cpu_s for cost in rounds[fusion]]
    return {
        "least_bytes": work.bytes,
        "least_operations": work.operations,
        "bytes_per_core_s": describe_values(moved),
        "copy_bytes_per_core_s": describe_values(copies),
        "share_of_copy": describe_values([a / b for a, b in zip(moved, copies, strict=True)]),
        "operations_per_core_s": describe_values(computed),
        "product_operations_per_core_s": describe_values(products),
        "share_of_product": describe_values(
            [a / b for a, b in zip(computed, products, strict=True)]
        ),
    }
