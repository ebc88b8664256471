r"""Computes `pyramid-blend` of three to nine exposures on NumPy planes.

The weights are a softmax over the exposures, evaluated as in `BlendNetwork`, exposure by exposure
into running sums, so that no more than one exposure's logits beside the sums are held:

.. math::
    \sum_k w_k B_k = \frac{\sum_k e^{z_k} B_k}{\sum_k e^{z_k}}

The logits of trained networks stay far below the range of float32's exponential; they are bounded
all the same. For two exposures `model.blend.planes` has a shorter way.
"""

from collections.abc import Sequence
from typing import cast

import numpy as np

from model.blend.network import SALIENCY_SCALE, TERMS, BlendMaps
from model.blend.planes import (
    Plane,
    Planes,
    expand_plane,
    magnify_map,
    reduce_plane,
    smooth_contrast,
    take_luma,
)
from model.tiling import Rect

MAX_LOGIT = np.float32(60.0)
"""e to the power of 60, summed over nine exposures, is far inside float32."""


class StackLevel:
    """Exposures at one level of the pyramid.

    Args:
        exposures: R, G and B of each.
    """

    def __init__(self, exposures: Sequence[Planes]) -> None:
        self.exposures = list(exposures)

    def reduced(self) -> "StackLevel":
        """The next coarser level."""
        return StackLevel([[reduce_plane(plane) for plane in one] for one in self.exposures])


class StackMaps:
    """What the network says of one level.

    Args:
        coefficients: c_0 to c_3 of every exposure.
        gain: Logarithm of the band's gain before it is bounded.
    """

    def __init__(self, coefficients: Sequence[Planes], gain: Plane) -> None:
        self.coefficients = coefficients
        self.gain = gain

    def magnified(self, times: int, place: Rect) -> "StackMaps":
        """The maps at the pixels of a finer level."""
        return StackMaps(
            [[magnify_map(term, times, place) for term in one] for one in self.coefficients],
            magnify_map(self.gain, times, place),
        )


class StackArithmetic:
    """The steps of a blend of any number of exposures; see `PairArithmetic` for those of two."""

    load_scale = 1.0

    @staticmethod
    def gather(exposures: Sequence[Planes]) -> StackLevel:
        """The finest level of exposures that were loaded at `load_scale`."""
        return StackLevel(exposures)

    @staticmethod
    def gather_stack(stack: Plane) -> StackLevel:
        """A level that lies in one array, (K, 3, h, w), at full scale."""
        return StackLevel([list(planes) for planes in stack])

    @staticmethod
    def read_maps(maps: BlendMaps, group: int) -> StackMaps:
        """What the network says of one group of levels, at its own level."""
        coefficients = maps.coefficients[0, :, group].numpy()
        return StackMaps([list(one) for one in coefficients], maps.gains[0, group].numpy())

    @staticmethod
    def add_band(
        fused: Planes,
        fine: StackLevel,
        coarse: StackLevel,
        maps: StackMaps,
        *,
        bias: float,
        saliency: float,
    ) -> Planes:
        """One step of the collapse, see `BlendNetwork.add_band`."""
        # lumas, counted from 1/2, and their mean over the exposures
        lumas = [take_luma(one) for one in fine.exposures]
        for luma in lumas:
            luma -= np.float32(0.5)
        mean = cast(Plane, np.mean(lumas, axis=0, dtype=np.float32))
        total = np.zeros_like(mean)
        sums: Planes = [np.zeros_like(mean) for _ in range(3)]
        for exposure, above, luma, terms in zip(
            fine.exposures, coarse.exposures, lumas, maps.coefficients, strict=True
        ):
            # bands of the Laplacian pyramid: a level minus the expanded level above
            bands = [one - expand_plane(up, one) for one, up in zip(exposure, above, strict=True)]
            # the weight before it is divided by the sum of all
            weight = _evaluate(terms, luma, mean)
            if saliency != 0:
                contrast = smooth_contrast(take_luma(bands))
                np.log(contrast, out=contrast)
                contrast *= np.float32(saliency * SALIENCY_SCALE)
                weight += contrast
            np.clip(weight, -MAX_LOGIT, MAX_LOGIT, out=weight)
            np.exp(weight, out=weight)
            total += weight
            for channel, band in enumerate(bands):
                band *= weight
                sums[channel] += band
        # gain of the band, within e to the power of the bias plus or minus one, over the sum
        gain = np.tanh(maps.gain)
        gain += np.float32(bias)
        np.exp(gain, out=gain)
        gain /= total
        # collapse: up(F_above) + gain * sum
        for plane, above_plane in zip(sums, fused, strict=True):
            plane *= gain
            plane += expand_plane(above_plane, plane)
        return sums


def _evaluate(terms: Planes, luma: Plane, mean: Plane) -> Plane:
    """c_0 + x (c_1 + c_2 x + c_3 m), by Horner's scheme."""
    assert len(terms) == TERMS
    c0, c1, c2, c3 = terms
    result = c2 * luma
    result += c1
    result += c3 * mean
    result *= luma
    result += c0
    return result
