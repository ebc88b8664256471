"""Compares the picture that a device makes of a small pair in colour with the manifest's.

`model.release.weights.verify_golden` asks the network alone, in floats. This asks everything that
a request meets on the device: compiled kernels, precision, colour, and the rounding to 8 bits.
"""

from collections.abc import Callable

import numpy as np

from model.device import Precision
from model.errors import WeightsError
from model.exposure import ExposureStack, Pixels
from model.lightness.definition import LIGHTNESS_MAX
from model.manifest import Golden, Manifest
from model.release.weights import GOLDEN_STRIDE_PX, golden_pair

CHANNELS = 3
MAX_SAMPLE = 255

PICTURE_TOLERANCE: dict[Precision, int] = {"float32": 2, "float16": 6, "bfloat16": 24}
"""Of 255, by the precision of feature maps. In float32 instruction sets differ by one rounding, and
the curve of sRGB doubles it where it is steep; the others are what `tests/model/lightness` allows
between CUDA and the CPU, 1e-2 and 5e-2 of full scale, with that doubling. Wrong parameters or a
wrong kernel are off by more."""

FuseStack = Callable[[ExposureStack], Pixels]


def golden_stack(golden: Golden) -> ExposureStack:
    """The pair in colour that any machine can make again: three golden pairs as R, G and B.

    Args:
        golden: Its seed and side.

    Returns:
        Two exposures, dark to bright. Shape (side_px, side_px, 3), uint8.
    """
    pairs = [golden_pair(golden.seed + channel, golden.side_px) for channel in range(CHANNELS)]
    under, over = (
        np.rint(np.stack(planes, axis=-1) * (MAX_SAMPLE / LIGHTNESS_MAX)).astype(np.uint8)
        for planes in zip(*pairs, strict=True)
    )
    return ExposureStack((under, over), (0, 1))


def describe_picture(golden: Golden, fuse: FuseStack) -> Golden:
    """The golden values with those of the picture.

    Args:
        golden: Without them.
        fuse: What makes the picture.
    """
    return golden.model_copy(update={"picture": _sample(fuse(golden_stack(golden)))})


def verify_picture(manifest: Manifest, fuse: FuseStack, *, precision: Precision) -> None:
    """Have the golden pair in colour fused and compare it with the manifest's.

    A version that was exported without a golden picture has nothing to compare with.

    Args:
        manifest: Of the version.
        fuse: What makes the picture, on the device that serves.
        precision: Of its feature maps.

    Raises:
        WeightsError: A sample is off by more than `PICTURE_TOLERANCE`, or their number differs.
    """
    expected = manifest.golden.picture
    if not expected:
        return
    actual = _sample(fuse(golden_stack(manifest.golden)))
    if len(expected) != len(actual):
        raise WeightsError(
            f"weights '{manifest.label}': expected {len(actual)} values of the golden picture in "
            f"the manifest, got {len(expected)}"
        )
    off = max(abs(one - other) for one, other in zip(expected, actual, strict=True))
    allowed = PICTURE_TOLERANCE[precision]
    if off > allowed:
        raise WeightsError(
            f"weights '{manifest.label}': the golden picture as this device makes it is off by "
            f"{off} of {MAX_SAMPLE}, at most {allowed} is allowed in {precision}"
        )


def _sample(picture: Pixels) -> tuple[int, ...]:
    """R, G and B of every eighth pixel of the main diagonal."""
    side_px = len(picture)
    places = np.arange(0, side_px, GOLDEN_STRIDE_PX)
    return tuple(int(value) for value in picture[places, places].ravel())
