"""What defines `hyperp-mb`, wherever it is computed."""

from typing import Literal

from model.manifest import NetworkConfig

Padding = Literal["reflect", "valid"]
ChromaRule = Literal["mean", "weighted", "unclipped"]

KERNEL_PX = 3
DENSE_LAYERS = 3
DECODER_LAYERS = 4
LIGHTNESS_MAX = 100.0
"""L* of the reference white."""

RECEPTIVE_FIELD = 1 + (KERNEL_PX - 1) * (1 + DENSE_LAYERS + DECODER_LAYERS)
"""Side of the input square that one output pixel depends on, in pixels."""

HALO_PX = (RECEPTIVE_FIELD - 1) // 2
"""Margin that a window reads around its core."""

WHITE_SOFT = 32 / 255
BLACK_SOFT = 48 / 255
"""Ours. Distances from white and from black, in sRGB, below which an exposure loses weight: a
channel bends towards white before it clips, and noise and rounding turn the hue near black."""

PARTLY_CLIPPED = 0.5
"""Ours. Share of the distance from white that the smallest channel decides, the largest the rest: a
bright red whose red alone is clipped tells more of it than a nearly black one does."""

CLIPPED_WEIGHT = 1e-3
"""Ours. Weight of black and white: where all exposures are, their mean is what is left."""

GAMUT_TOLERANCE = 1e-4
"""In linear sRGB, a hundredth of an 8-bit step at white and a third of one at black; float32
rounding and the constants of CIELAB's white stay within it."""

GAMUT_STEPS = 5
"""Ours. Bisections of the share of chroma that the gamut holds, before it is interpolated. On
random colours outside the gamut the result is then off by 0.03 8-bit steps in the mean and by less
than 7 in all but a thousandth of them; without the interpolation, after one step more, by 4.4."""


def parameter_shapes(config: NetworkConfig) -> dict[str, tuple[int, ...]]:
    """Name and shape of every parameter of a network.

    Example:
        >>> parameter_shapes(NetworkConfig())["decoder.3.convolution.weight"]
        (1, 16, 3, 3)
    """
    width = config.width
    layers: dict[str, tuple[int, int]] = {}
    for encoder in range(1 if config.encoders == "tied" else 2):
        layers[f"encoders.{encoder}.first"] = (width, 1)
        for number in range(DENSE_LAYERS):
            layers[f"encoders.{encoder}.dense.{number}"] = (width, width * (number + 1))
    decoder = [(4 * width, 4 * width), (2 * width, 4 * width), (width, 2 * width), (1, width)]
    layers |= {f"decoder.{number}": sides for number, sides in enumerate(decoder)}
    shapes: dict[str, tuple[int, ...]] = {}
    for name, (outputs, inputs) in layers.items():
        shapes[f"{name}.convolution.weight"] = (outputs, inputs, KERNEL_PX, KERNEL_PX)
        shapes[f"{name}.convolution.bias"] = (outputs,)
    return shapes
