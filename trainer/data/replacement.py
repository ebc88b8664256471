"""Regions of an exposure made of another one, as the removal of ghosts leaves them."""

import numpy as np
from numpy.typing import NDArray

from trainer.data.camera import SRGB_TO_LINEAR, linear_to_srgb

SHARE_OF_SIDE = (0.1, 0.35)
"""Semi-axes of a region."""

FEATHER_SHARE = 0.2


def replace_region(
    pictures: list[NDArray[np.uint8]], rng: np.random.Generator
) -> list[NDArray[np.uint8]]:
    """Replace a region of one exposure by another one, brought to its exposure.

    What is black or clipped in the other one is flat in the region, and its noise is amplified.

    Args:
        pictures: Two or more exposures of one scene. Shape (S, S, 3) each.
        rng: Where the numbers come from.

    Returns:
        The exposures, one of them changed; the arguments are left as they are.
    """
    target, source = rng.choice(len(pictures), 2, replace=False)
    linear = [SRGB_TO_LINEAR[pictures[index]] for index in (target, source)]
    gain = linear[0].mean() / max(float(linear[1].mean()), 1e-4)
    lifted = 255 * linear_to_srgb(np.clip(linear[1] * np.float32(gain), 0, 1))
    side = pictures[0].shape[0]
    axes, centre = rng.uniform(*SHARE_OF_SIDE, 2) * side, rng.uniform(0, side, 2)
    rows, columns = np.ogrid[:side, :side]
    radius = np.hypot((rows - centre[0]) / axes[0], (columns - centre[1]) / axes[1])
    opacity = np.clip((1 - radius) / FEATHER_SHARE, 0, 1)[..., None].astype(np.float32)
    changed = list(pictures)
    own = pictures[target].astype(np.float32)
    changed[target] = np.rint(own + opacity * (lifted - own)).astype(np.uint8)
    return changed
