r"""Computes `pyramid-blend` on NumPy planes, by OpenCV's and NumPy's kernels.

Two exposures are held as their mean M and their half difference D. As their weights sum to 1,

.. math::
    w_u B_u + w_o B_o = B_M + \tanh(z / 2) B_D, \qquad z = z_u - z_o,

which needs no softmax and gives the same picture when the exposures change places. With m and d
their lumas, m counted from 1/2, the polynomials of `BlendNetwork` become one:

.. math::
    z / 2 = a_0 + m (a_1 + a_2 m + a_3 d) + d (a_4 + a_5 d)
"""

from collections.abc import Sequence
from typing import NamedTuple, TypeAlias, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from model.blend.network import LUMA, SALIENCY_FLOOR, SALIENCY_SCALE, BlendMaps
from model.blend.pyramid import TAPS, find_cells
from model.exposure import Pixels
from model.tiling import Rect

Plane: TypeAlias = NDArray[np.float32]
Planes: TypeAlias = list[Plane]
"""R, G and B."""

DEPTHS = {np.dtype(np.uint8): cv2.CV_8U, np.dtype(np.uint16): cv2.CV_16U}
SMOOTHING = np.array(TAPS, np.float32)


class Mixture(NamedTuple):
    """Two exposures at one level of the pyramid.

    Attributes:
        mean: Their mean.
        half: Half of under minus over.
    """

    mean: Planes
    half: Planes

    def reduced(self) -> "Mixture":
        """The next coarser level."""
        return Mixture(
            [reduce_plane(one) for one in self.mean], [reduce_plane(one) for one in self.half]
        )


class LevelMaps(NamedTuple):
    """What the network says of one level.

    Attributes:
        polynomial: a_0 to a_5.
        gain: Logarithm of the band's gain before it is bounded.
    """

    polynomial: Planes
    gain: Plane

    def magnified(self, times: int, place: Rect) -> "LevelMaps":
        """The maps at the pixels of a finer level."""
        return LevelMaps(
            [magnify_map(one, times, place) for one in self.polynomial],
            magnify_map(self.gain, times, place),
        )


def load_planes(pixels: Pixels, scale: float = 1.0) -> Planes:
    """One exposure's window as planes, 0..scale.

    Args:
        pixels: Pixels, (H, W, 3).
        scale: What full scale becomes.

    Returns:
        R, G and B, float32.
    """
    factor = np.float32(scale / np.iinfo(pixels.dtype).max)
    # Of rows that lie apart, and into arrays of its own making, OpenCV splits ten times as slowly.
    planes = list(np.empty((3, *pixels.shape[:2]), pixels.dtype))
    cv2.split(np.ascontiguousarray(pixels), planes)
    return [np.multiply(plane, factor, dtype=np.float32) for plane in planes]


def mix(under: Planes, over: Planes) -> Mixture:
    """Mean and half difference of two exposures that are given at half scale."""
    pairs = list(zip(under, over, strict=True))
    return Mixture([one + other for one, other in pairs], [one - other for one, other in pairs])


def reduce_plane(plane: Plane) -> Plane:
    """See `model.blend.pyramid.down`."""
    return cast(Plane, cv2.pyrDown(plane))


def mix_stack(stack: Plane) -> Mixture:
    """Mean and half difference of two exposures, (2, 3, h, w)."""
    under, over = stack * np.float32(0.5)
    return mix(list(under), list(over))


def reduce_stack(stack: Plane) -> Plane:
    """The next coarser level of all planes, (K, 3, h, w)."""
    return np.stack([[reduce_plane(plane) for plane in planes] for planes in stack])


def expand_plane(plane: Plane, like: Plane) -> Plane:
    """See `model.blend.pyramid.up`; the result has the size of `like`."""
    height, width = like.shape
    return cast(Plane, cv2.pyrUp(plane, dstsize=(width, height)))


def take_luma(planes: Planes) -> Plane:
    """See `model.blend.network.to_luma`."""
    red, green, blue = planes
    luma = cv2.addWeighted(red, LUMA[0], green, LUMA[1], 0)
    return cast(Plane, cv2.scaleAdd(blue, LUMA[2], luma, luma))


def magnify_map(coarse: Plane, times: int, place: Rect) -> Plane:
    """See `model.blend.pyramid.magnify`."""
    if times == 0:
        return coarse[place.slices]
    cells, inside = find_cells(place, times, *coarse.shape)
    size = (cells.width << times, cells.height << times)
    fine = cv2.resize(coarse[cells.slices], size, interpolation=cv2.INTER_LINEAR)
    return cast(Plane, fine)[inside.slices]


def add_band(
    fused: Planes, fine: Mixture, coarse: Mixture, maps: LevelMaps, *, bias: float, saliency: float
) -> Planes:
    """One step of the collapse, see `BlendNetwork.add_band`.

    Args:
        fused: The fused picture one level above.
        fine: The exposures at this level.
        coarse: The exposures one level above.
        maps: What the network says of this level.
        bias: Logarithm of the gain that all its pixels share.
        saliency: The weight of local contrast; 0 leaves it out.

    Returns:
        The fused picture at this level.
    """
    # bands of the Laplacian pyramid: a level minus the expanded level above
    bands = Mixture(
        [one - expand_plane(above, one) for one, above in zip(fine.mean, coarse.mean, strict=True)],
        [one - expand_plane(above, one) for one, above in zip(fine.half, coarse.half, strict=True)],
    )
    # z / 2: the polynomial of the lumas, and the contrast of the bands
    tilt = _evaluate(maps.polynomial, take_luma(fine.mean), take_luma(fine.half))
    if saliency != 0:
        tilt += _compare_contrast(bands, saliency)
    # weights of both exposures in one number: w_u - w_o = tanh(z / 2)
    np.tanh(tilt, out=tilt)
    # gain of the band, within e to the power of the bias plus or minus one
    gain = np.tanh(maps.gain)
    gain += np.float32(bias)
    np.exp(gain, out=gain)
    # collapse: up(F_above) + gain (B_mean + tilt B_half)
    result: Planes = []
    for above, mean, half in zip(fused, bands.mean, bands.half, strict=True):
        half *= tilt
        half += mean
        half *= gain
        half += expand_plane(above, half)
        result.append(half)
    return result


def finish_pixels(fused: Planes, core: Rect, like: Pixels, chroma_gain: float) -> Pixels:
    """Multiply chroma and round to pixels: half to even, then clamp to full scale.

    Args:
        fused: The fused picture of a window, 0..1.
        core: The part of it that is kept.
        like: Pixels of the type to return.
        chroma_gain: What the distance from the luma is multiplied by.

    Returns:
        Shape (core.height, core.width, 3).
    """
    kept = [plane[core.slices] for plane in fused]
    luma = take_luma(kept)
    full = float(np.iinfo(like.dtype).max)
    depth = DEPTHS[like.dtype]
    rounded = [
        cv2.addWeighted(plane, full * chroma_gain, luma, full * (1 - chroma_gain), 0, dtype=depth)
        for plane in kept
    ]
    return cast(Pixels, cv2.merge(rounded))


def combine_coefficients(under: Plane, over: Plane) -> Planes:
    """The coefficients a_0 to a_5 of z / 2 from those of each exposure, (TERMS, h, w)."""
    difference, total = (under - over) / 2, (under + over) / 2
    return [
        difference[0],
        difference[1],
        difference[2] + difference[3],
        2 * total[2] + total[3],
        total[1],
        difference[2].copy(),
    ]


def _evaluate(polynomial: Planes, mean: Plane, half: Plane) -> Plane:
    a0, a1, a2, a3, a4, a5 = polynomial
    mean -= np.float32(0.5)
    # m (a1 + a2 m + a3 d), by Horner's scheme and without new arrays
    result = a2 * mean
    result += a1
    term = a3 * half
    result += term
    result *= mean
    # d (a4 + a5 d)
    np.multiply(a5, half, out=term)
    term += a4
    term *= half
    result += term
    result += a0
    return result


def _compare_contrast(bands: Mixture, saliency: float) -> Plane:
    mean, half = take_luma(bands.mean), take_luma(bands.half)
    ratio = smooth_contrast(mean + half)
    ratio /= smooth_contrast(mean - half)
    np.log(ratio, out=ratio)
    ratio *= np.float32(saliency * SALIENCY_SCALE / 2)
    return ratio


def smooth_contrast(band: Plane) -> Plane:
    """Local contrast of a band, S(|band| + floor); the band is overwritten."""
    np.abs(band, out=band)
    band += np.float32(SALIENCY_FLOOR)
    return cast(Plane, cv2.sepFilter2D(band, -1, SMOOTHING, SMOOTHING))


class PairArithmetic:
    """The steps of a blend of two exposures.

    Attributes:
        load_scale: Scale at which a window's exposures are loaded.
    """

    load_scale = 0.5

    @staticmethod
    def gather(exposures: Sequence[Planes]) -> Mixture:
        """The finest level of exposures that were loaded at `load_scale`."""
        under, over = exposures
        return mix(under, over)

    @staticmethod
    def gather_stack(stack: Plane) -> Mixture:
        """A level that lies in one array, (2, 3, h, w), at full scale."""
        return mix_stack(stack)

    @staticmethod
    def read_maps(maps: BlendMaps, group: int) -> LevelMaps:
        """What the network says of one group of levels, at its own level."""
        under, over = maps.coefficients[0, :, group].numpy()
        return LevelMaps(combine_coefficients(under, over), maps.gains[0, group].numpy())

    @staticmethod
    def add_band(
        fused: Planes,
        fine: Mixture,
        coarse: Mixture,
        maps: LevelMaps,
        *,
        bias: float,
        saliency: float,
    ) -> Planes:
        """One step of the collapse, see `BlendNetwork.add_band`."""
        return add_band(fused, fine, coarse, maps, bias=bias, saliency=saliency)
