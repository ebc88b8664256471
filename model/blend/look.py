"""The look of `pyramid-blend` at a whole picture, by compiled arithmetic on arrays.

It computes what `BlendNetwork.predict` defines, from the same parameters, and equals it to float
rounding. Exposures are encoded apart from each other, so that each can have a thread.
"""

import ctypes
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from model.blend.colour import LUMA
from model.blend.definition import (
    CLIPPED_PLANES,
    COEFFICIENT_SCALES,
    MIN_EXPOSURES,
    NEAR_BLACK,
    NEAR_WHITE,
    SEEN_PLANES,
    SPREAD,
    TERMS,
    sharpen,
)
from model.blend.kernels import Planes
from model.blend.levels import BANDS, GROUPS
from model.kernels.native import LIBRARY, Convolution, Decision, Mix
from model.manifest import Parameters, PyramidBlendConfig

CHANNEL_GROUP = 8
"""Channels that the compiled convolution computes at a time; there are whole groups of them."""

TILE = np.array(
    [
        [1 / 4, 0, 0],
        [-1 / 6, -1 / 6, -1 / 6],
        [-1 / 6, 1 / 6, -1 / 6],
        [1 / 24, 1 / 12, 1 / 6],
        [1 / 24, -1 / 12, 1 / 6],
        [0, 0, 1],
    ]
)
TILE_PLACES = TILE.shape[0] ** 2
"""Winograd's transform of three weights along an axis, and the places of a transformed kernel."""

Features = NDArray[np.float32]
"""Shape (h, margin + w + margin, C): channels within a pixel, ends of rows repeated."""


STRIP = 32
"""Rows that are decided at a time."""

Item = TypeVar("Item")
Result = TypeVar("Result")


class DoAll(Protocol):
    """Does independent work, and returns its results in order."""

    def __call__(self, work: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
        """Do the work on every item."""
        ...


def _one_by_one(work: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
    return [work(item) for item in items]


@dataclass(frozen=True, slots=True, eq=False)
class LookMaps:
    """What the network says of a picture, at its own level.

    Attributes:
        planes: Of each group of levels, as `add_band` takes them: the coefficients of every
            exposure, and the logarithm of the gain of the group's band, of which the base has
            none. Shape (GROUPS, K * TERMS + 1, h, w).
    """

    planes: Planes

    @property
    def coefficients(self) -> Planes:
        """Polynomials of the logits, made sharper by `sharpen`. (K, GROUPS, TERMS, h, w)."""
        groups, count, *size = self.planes[:, :-1].shape
        by_group = self.planes[:, :-1].reshape(groups, count // TERMS, TERMS, *size)
        return by_group.swapaxes(0, 1)

    @property
    def gains(self) -> Planes:
        """Logarithms of the bands' gains. Shape (BANDS, h, w)."""
        return self.planes[:BANDS, -1]


class Seen(NamedTuple):
    """An exposure as the network has taken it in.

    Attributes:
        planes: Its luma, the mean luma of all, and what is clipped, -1..1.
        features: What the encoder makes of them.
    """

    planes: Features
    features: Features


@dataclass(frozen=True, slots=True, eq=False)
class Layer:
    """A convolution of 3 x 3 pixels whose negative values become 0, laid out for compiled code.

    Attributes:
        weights: Transformed as the compiled code takes them. Shape (36, inputs, outputs).
        bias: Shape (outputs,).
        reach: Pixels from one tap to the next.

    Reference:
        Lavin and Gray, "Fast algorithms for convolutional neural networks", CVPR 2016: minimal
        filtering F(4 x 4, 3 x 3) after Winograd. Ours: taps that lie apart.
    """

    weights: Features
    bias: Features
    reach: int

    @staticmethod
    def of(
        weights: NDArray[np.float32], bias: NDArray[np.float32], *, inputs: int, reach: int = 1
    ) -> "Layer":
        """Lay out weights, (outputs, given, 3, 3), for so many inputs, the last ones unused.

        Outputs are filled up with zeros to whole groups of channels.
        """
        outputs, given = weights.shape[:2]
        transformed = TILE @ weights.astype(np.float64) @ TILE.T
        laid = np.zeros((TILE_PLACES, inputs, _fill_up(outputs)), np.float32)
        laid[:, :given, :outputs] = transformed.reshape(outputs, given, -1).transpose(2, 1, 0)
        return Layer(laid, _filled(bias), reach)

    def apply(
        self, given: Features, result: Features, *, margin: int, after: Features | None = None
    ) -> None:
        """Convolve features.

        Args:
            given: Features of the layer's inputs.
            result: Where the features of its outputs go.
            margin: Pixels by which each end of a row is repeated, at least the reach.
            after: Features that are added when negative values are cut.
        """
        height, width = given.shape[0], given.shape[1] - 2 * margin
        assert given.shape[2] == self.weights.shape[1]
        assert result.shape == (*given.shape[:2], len(self.bias))
        assert self.reach <= margin
        assert after is None or after.shape == result.shape
        layer = Convolution(
            height, width, margin, given.shape[2], len(self.bias), self.reach,
            given.ctypes.data, self.weights.ctypes.data, self.bias.ctypes.data,
            None if after is None else after.ctypes.data, result.ctypes.data,
        )  # fmt: skip
        scratch = np.empty(LIBRARY.count_convolve_scratch(ctypes.byref(layer)), np.float32)
        LIBRARY.convolve(ctypes.byref(layer), scratch.ctypes.data)


@dataclass(frozen=True, slots=True, eq=False)
class PixelLayer:
    """A convolution of single pixels, laid out for compiled code.

    Attributes:
        weights: Shape (outputs / 8, inputs, 8).
        bias: Shape (outputs,).
        is_rectified: Negative values become 0.
    """

    weights: Features
    bias: Features
    is_rectified: bool

    @staticmethod
    def of(
        weights: NDArray[np.float32],
        bias: NDArray[np.float32],
        *,
        inputs: int,
        is_rectified: bool = False,
    ) -> "PixelLayer":
        """Lay out weights, (outputs, given, 1, 1), see `Layer.of`."""
        outputs, given = weights.shape[:2]
        laid = np.zeros((_fill_up(outputs), inputs), np.float32)
        laid[:outputs, :given] = weights[..., 0, 0]
        by_group = laid.reshape(-1, CHANNEL_GROUP, inputs).transpose(0, 2, 1)
        return PixelLayer(np.ascontiguousarray(by_group), _filled(bias), is_rectified)

    def as_mix(self) -> Mix:
        """The layer as a part of a decision; it must live as long as that does."""
        return Mix(
            self.weights.shape[1], len(self.bias), self.is_rectified,
            self.weights.ctypes.data, self.bias.ctypes.data,
        )  # fmt: skip

    def shifted(self, extra: NDArray[np.float32]) -> "PixelLayer":
        """The layer with something more in its bias."""
        return replace(self, bias=self.bias + extra)

    def scaled(self, factor: float) -> "PixelLayer":
        """The layer with a factor on what it gives."""
        by = np.float32(factor)
        return replace(self, weights=by * self.weights, bias=by * self.bias)


def _fill_up(channels: int) -> int:
    """The channels of whole groups."""
    return -(-channels // CHANNEL_GROUP) * CHANNEL_GROUP


def _filled(bias: NDArray[np.float32]) -> NDArray[np.float32]:
    filled = np.zeros(_fill_up(len(bias)), np.float32)
    filled[: len(bias)] = bias
    return filled


class Look:
    """The network of some weights, ready to look at pictures; any thread may use it.

    Args:
        config: Shape of the network.
        parameters: Its parameters, see `model.blend.definition.parameter_shapes`.
    """

    def __init__(self, config: PyramidBlendConfig, parameters: Parameters) -> None:
        def layer(name: str, inputs: int, reach: int) -> Layer:
            weights, bias = parameters[f"{name}.weight"], parameters[f"{name}.bias"]
            return Layer.of(weights, bias, inputs=inputs, reach=reach)

        width = config.width
        self._channels = channels = _fill_up(width)
        self._margin = max((1, *config.dilations))
        self._first = layer("encoder.first", SEEN_PLANES, 1)
        self._layers = [
            layer(f"encoder.layers.{number}", channels, reach)
            for number, reach in enumerate(config.dilations)
        ]
        # what all exposures share beside their features: one vector of the whole picture
        self._width = width
        self._context = parameters["context.weight"], parameters["context.bias"]
        # The mix of [e_k, mean], without putting the mean beside each e_k; and of [mean, maximum].
        own, shared = np.split(parameters["mix.weight"], 2, axis=1)
        bias = parameters["mix.bias"]
        self._own = PixelLayer.of(own, np.zeros_like(bias), inputs=channels)
        self._shared = PixelLayer.of(shared, bias, inputs=channels)
        self._of_most = replace(self._shared, is_rectified=True)
        self._gains = PixelLayer.of(
            parameters["gains.weight"], parameters["gains.bias"], inputs=channels
        )
        self._band_gain = parameters["band_gain"]
        # A unit of output means a scale in the logit; the prior is a part of the square's.
        scales = np.array(COEFFICIENT_SCALES * GROUPS, np.float32)
        weights = parameters["coefficients.weight"] * scales[:, None, None, None]
        bias = parameters["coefficients.bias"] * scales
        bias[2::TERMS] -= parameters["prior"]
        # what is clipped was brought from 0..1 to -1..1, and lies behind the lumas
        halves = weights[:, width:] / 2
        clipped = np.zeros((len(bias), SEEN_PLANES, 1, 1), np.float32)
        clipped[:, SEEN_PLANES - CLIPPED_PLANES :] = halves
        self._of_seen = PixelLayer.of(
            clipped, bias + halves.sum(axis=(1, 2, 3)), inputs=SEEN_PLANES
        )
        self._of_features = PixelLayer.of(weights[:, :width], np.zeros_like(bias), inputs=channels)

    def encode(self, planes: Planes, lumas: Planes, exposure: int) -> Seen:
        """Take in one exposure beside all of them.

        Args:
            planes: The exposures at the network's level. Shape (K, 3, h, w).
            lumas: Their lumas. Shape (K, h, w).
            exposure: Which one, from 0.

        Returns:
            What it is to the network.
        """
        height, width = lumas.shape[1:]
        margin = self._margin
        one, luma = np.ascontiguousarray(planes[exposure]), np.ascontiguousarray(lumas[exposure])
        mean = lumas.mean(axis=0)
        seen = np.empty((height, width + 2 * margin, SEEN_PLANES), np.float32)
        ends = np.array((NEAR_WHITE, NEAR_BLACK), np.float32)
        LIBRARY.see(
            one.ctypes.data, luma.ctypes.data, mean.ctypes.data, height, width, margin,
            ends.ctypes.data, seen.ctypes.data,
        )  # fmt: skip
        features = np.empty((*seen.shape[:2], self._channels), np.float32)
        spare = np.empty_like(features)
        self._first.apply(seen, features, margin=margin)
        for layer in self._layers:
            layer.apply(features, spare, margin=margin, after=features)
            features, spare = spare, features
        return Seen(seen, features)

    def decide(
        self, exposures: Sequence[Seen], lumas: Planes, do_all: DoAll = _one_by_one
    ) -> LookMaps:
        """Coefficients and gains.

        Args:
            exposures: Every exposure as it was taken in, two or more.
            lumas: Their lumas. Shape (K, h, w).
            do_all: Does the work on strips of rows.

        Returns:
            Both at the level of the lumas.
        """
        count, size = len(exposures), lumas.shape[1:]
        assert count >= MIN_EXPOSURES
        maps = np.empty((GROUPS, count * TERMS + 1, *size), np.float32)
        maps[BANDS:, -1] = 0
        strips = [slice(top, min(top + STRIP, size[0])) for top in range(0, size[0], STRIP)]
        # what all exposures share, in any order: mean and maximum, and one global vector
        sums = np.empty((size[0], 2, self._channels), np.float32)
        layers = self._decide_by(np.zeros(self._channels, np.float32), count)
        decision = self._describe(exposures, layers, maps)
        do_all(partial(_pool, decision, sums), strips)
        context = self._look_around(sums, size[0] * size[1])
        # coefficients of each exposure, and gains of the bands, the same for all
        layers = self._decide_by(context, count)
        decision = self._describe(exposures, layers, maps)
        do_all(partial(self._decide, decision, lumas, maps), strips)
        return LookMaps(maps)

    def predict(self, planes: Planes, do_all: DoAll = _one_by_one) -> LookMaps:
        """Look at a picture once.

        Args:
            planes: Exposures at the network's level. Shape (K, 3, h, w).
            do_all: Does independent work, and returns its results in order.

        Returns:
            Coefficients and gains at that level.
        """
        lumas = to_lumas(planes)
        exposures = do_all(partial(self.encode, planes, lumas), range(len(planes)))
        return self.decide(exposures, lumas, do_all)

    def _decide_by(self, context: NDArray[np.float32], exposures: int) -> list[PixelLayer]:
        """The layers of a decision beside the picture's global vector, in the kernel's order."""
        factor = sharpen(exposures)
        of_seen, of_features = self._of_seen.scaled(factor), self._of_features.scaled(factor)
        shared, of_most = self._shared.shifted(context), self._of_most.shifted(context)
        return [self._own, shared, of_seen, of_features, of_most, self._gains]

    def _describe(
        self, exposures: Sequence[Seen], layers: Sequence[PixelLayer], maps: Planes
    ) -> Decision:
        """A decision as the kernel takes it; what it points to must live as long as it does."""
        count, (height, width) = len(exposures), maps.shape[-2:]
        pointers = ctypes.c_void_p * count
        return Decision(
            count, height, width, self._margin, self._channels, GROUPS, TERMS, BANDS,
            pointers(*(seen.features.ctypes.data for seen in exposures)),
            pointers(*(seen.planes.ctypes.data for seen in exposures)),
            *(layer.as_mix() for layer in layers),
            maps.ctypes.data,
        )  # fmt: skip

    def _decide(self, decision: Decision, lumas: Planes, maps: Planes, rows: slice) -> None:
        """Coefficients and gains of some rows."""
        scratch = np.empty(LIBRARY.count_look_scratch(ctypes.byref(decision)), np.float32)
        LIBRARY.decide_rows(ctypes.byref(decision), rows.start, rows.stop, scratch.ctypes.data)
        # no gain where the exposures are equal
        spread = lumas[:, rows].max(axis=0) - lumas[:, rows].min(axis=0)
        gains = maps[:BANDS, -1, rows]
        np.tanh(gains, out=gains)
        gains += self._band_gain[:, None, None]
        gains *= spread / (spread + np.float32(SPREAD))

    def _look_around(self, sums: Features, pixels: int) -> NDArray[np.float32]:
        """The global vector of sums over rows, filled up to whole groups of channels."""
        means = sums[..., : self._width].sum(axis=0, dtype=np.float64).ravel() / pixels
        weights, bias = self._context
        filled = np.zeros(self._channels, np.float32)
        # Summed by NumPy itself: a library of linear algebra adds in an order of its own.
        filled[: self._width] = (weights * means).sum(axis=1) + bias
        return filled


def _pool(decision: Decision, sums: Features, rows: slice) -> None:
    scratch = np.empty(LIBRARY.count_look_scratch(ctypes.byref(decision)), np.float32)
    own = sums[rows]
    LIBRARY.pool_rows(
        ctypes.byref(decision), rows.start, rows.stop, own.ctypes.data, scratch.ctypes.data
    )


def to_lumas(planes: Planes) -> Planes:
    """Lumas of encoded RGB: (..., 3, h, w) to (..., h, w), see `torch_colour.to_luma`."""
    red, green, blue = (planes[..., channel, :, :] for channel in range(len(LUMA)))
    weights = [np.float32(weight) for weight in LUMA]
    lumas: Planes = weights[0] * red + weights[1] * green + weights[2] * blue
    return lumas
