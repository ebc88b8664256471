"""Shadows: what the brightest exposure shows and the fusion leaves dark or black."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from trainer.metrics.grey import Grey, rgb_to_grey
from trainer.metrics.guards.ends import find_ends

HIDDEN_BELOW = 24
"""Luma under which the darkest exposure shows nothing."""

SHADOW = (24, 140)
"""Luma of the brightest exposure, first and last, where it shows what is dark in the other."""

DARKENED_TO = 0.5
"""Share of the brightest exposure's luma under which a fusion has lost what that one shows."""

VISIBLE = (32, 250)
"""Luma of the brightest exposure, first and last, of what must not come out black."""

BLACK_BELOW = 8
"""Luma that looks black."""


def lost_shadows(exposures: Sequence[Grey], fused: Grey) -> float:
    r"""Compute the share of the picture whose shadows stay dark, in per cent; lower is better.

    With the luma Y of the exposures D of the lowest and B of the highest mean luma, and of the
    result f, over all N pixels:

    .. math::
        \frac{100}{N} \, |\{p: Y_D < 24, \; 24 \le Y_B \le 140, \; Y_f < Y_B / 2\}|

    A room behind a dark door, which B alone shows, is to be seen in the fusion.

    Args:
        exposures: Two or more, in any order, RGB in sRGB, 0..255. Shape (H, W, 3) each, uint8.
        fused: Fused picture, likewise.

    Returns:
        Share in per cent, 0..100; 0 for a scene without such shadows.

    Raises:
        ValueError: There are fewer than two exposures, a picture is not RGB of 8 bits, or they
            differ in size.

    Reference:
        Ours.

    Example:
        >>> night, room, dim = (np.full((4, 4, 3), level, np.uint8) for level in (5, 90, 40))
        >>> lost_shadows([room, night], room), lost_shadows([room, night], dim)
        (0.0, 100.0)
    """
    ends = find_ends(exposures, fused)
    first, last = SHADOW
    is_shadow = (ends.over_luma >= first) & (ends.over_luma <= last)
    is_shadow &= ends.under_luma < HIDDEN_BELOW
    luma = rgb_to_grey(np.asarray(fused, dtype=np.uint8))
    return 100.0 * float(np.mean(is_shadow & (luma < DARKENED_TO * ends.over_luma)))


def crushed(exposures: Sequence[Grey], fused: Grey) -> float:
    r"""Compute the share of the picture that an exposure shows and that comes out black.

    With the notation of `lost_shadows`:

    .. math::
        \frac{100}{N} \, |\{p: 32 \le Y_B \le 250, \; Y_f < 8\}|

    Args:
        exposures: See `lost_shadows`.
        fused: See there.

    Returns:
        Share in per cent, 0..100, lower is better.

    Raises:
        ValueError: See there.

    Reference:
        Ours.
    """
    ends = find_ends(exposures, fused)
    first, last = VISIBLE
    is_visible = (ends.over_luma >= first) & (ends.over_luma <= last)
    luma = rgb_to_grey(np.asarray(fused, dtype=np.uint8))
    return 100.0 * float(np.mean(is_visible & (luma < BLACK_BELOW)))
