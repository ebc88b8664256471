"""The numbers that define `pyramid-blend`, wherever it is computed."""

import math
from collections.abc import Sequence

from model.blend.levels import BANDS, GROUPS
from model.manifest import PyramidBlendConfig

PRIOR = 12.5
"""Well-exposedness as a parabola: 1 / (2 sigma^2) with the sigma = 0.2 of Mertens et al."""

COEFFICIENT_SCALES = (4.0, 8.0, 20.0, 8.0)
"""Of 1, x, x^2 and x m: what a unit of the network's output means in the logit."""

TERMS = len(COEFFICIENT_SCALES)

SALIENCY_SCALE = 8.0
SALIENCY_FLOOR = 0.06
"""Contrast far below it counts as none: the noise of a flat place must not choose an exposure."""

SALIENCY_GROUPS = 2

CLIPPED_PLANES = 6
"""How near R, G and B of an exposure are to white, and how near to black."""

SEEN_PLANES = 2 + CLIPPED_PLANES
"""The luma of an exposure, the mean luma of all, and what is clipped."""

NEAR_WHITE, NEAR_BLACK = 0.80, 0.12
"""Channel values from which one counts as partly clipped at the network's level."""

SPREAD = 0.06
"""Spread of the exposures at which half of a band's gain counts; equal exposures have none."""

FLOOR_SHARE = 0.2
"""A level stays so far of the way from its darkest exposure to the mean of all, or brighter."""


def sharpen(exposures: int) -> float:
    """Factor of the logits of so many exposures; 1 for two.

    The same softmax over more exposures, which lie closer together, gives each of them less weight,
    and the picture goes flat. The root of half their number keeps contrast; found on the brackets
    of the training data, confirmed on others (`docs/results/stacks.md`).

    Example:
        >>> sharpen(2), sharpen(8)
        (1.0, 2.0)
    """
    return math.sqrt(exposures / 2)


def weigh_contrast(saliency: Sequence[float], exposures: int, group: int) -> float:
    """Weight of the logarithm of local contrast in the logits of a group of levels.

    Args:
        saliency: That parameter of the network; without values where it has none.
        exposures: How many there are.
        group: Of levels; those after the first `SALIENCY_GROUPS` have none.

    Example:
        >>> weigh_contrast([0.5, 0.25], 2, 0), weigh_contrast([0.5, 0.25], 2, 2)
        (4.0, 0.0)
    """
    if group >= len(saliency):
        return 0.0
    return sharpen(exposures) * SALIENCY_SCALE * saliency[group]


MIN_EXPOSURES, MAX_EXPOSURES = 2, 9


def parameter_shapes(config: PyramidBlendConfig) -> dict[str, tuple[int, ...]]:
    """Name and shape of every parameter of a network.

    Example:
        >>> parameter_shapes(PyramidBlendConfig())["encoder.first.weight"]
        (16, 8, 3, 3)
    """
    width = config.width
    layers = {
        "encoder.first": (width, SEEN_PLANES, 3, 3),
        **{f"encoder.layers.{n}": (width, width, 3, 3) for n in range(len(config.dilations))},
        "context": (width, 2 * width),
        "mix": (width, 2 * width, 1, 1),
        "coefficients": (GROUPS * TERMS, width + CLIPPED_PLANES, 1, 1),
        "gains": (BANDS, width, 1, 1),
    }
    shapes: dict[str, tuple[int, ...]] = {"prior": (), "band_gain": (BANDS,)}
    for name, shape in layers.items():
        shapes |= {f"{name}.weight": shape, f"{name}.bias": shape[:1]}
    if config.saliency:
        shapes["saliency"] = (SALIENCY_GROUPS,)
    return shapes
