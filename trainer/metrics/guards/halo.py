"""Halo: rims beside strong edges that no exposure has."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from trainer.metrics.grey import Grey, as_compared_planes
from trainer.metrics.guards.agreement import find_agreement, keep_distinct
from trainer.metrics.guards.cells import average_cells
from trainer.metrics.windows import Plane

CELLS = 128
"""Cells along the longer side; a cell of a 12-megapixel photograph has a side of 31 pixels."""

STRONG_EDGE = 32.0
"""Grey levels over two cells by which an exposure, and another with it, shows an edge."""

REACHES = (2, 4, 8)
"""Cells from the foot of an edge to the tone that the tone at its foot is compared with."""

GAIN = 2.0
"""A fusion may show what an exposure shows so many times as strongly; the rest is made up."""

SLACK = 2.0
"""Grey levels that nobody sees."""


def halo(exposures: Sequence[Grey], fused: Grey) -> float:
    r"""Compute the overshoot at strong edges, in per cent of their contrast; lower is better.

    On coarse tones (`CELLS` along the longer side, see `average_cells`), along rows and columns
    and looking to either side of every edge, with the tones x_k of the exposures and f of the
    result; the edge lies at cell 0, its foot at cell 1:

    .. math::
        e_k &= x_{k,1} - x_{k,-1}, \qquad c = \max_k |e_k|, \qquad
             s = \operatorname{sign}(e_k) \text{ of the largest } |e_k| \\
        d_r(x) &= s \, (x_1 - x_{1+r}) \\
        h &= \max_{r \in \{2, 4, 8\}} \max\left(0, \;
             d_r(f) - 2 \max(0, \max_k d_r(x_k)) - 2\right) \\
        \mathrm{halo} &= 100 \, \frac{\sum h}{\sum c}

    summed over the edges: where c is above `STRONG_EDGE`, at least two exposures have the sign s,
    and none the other one by more than `SLACK`; of two exposures both have it. An exposure that
    comes twice counts once. A positive d means that the bright side is brighter, or the dark side
    darker, at the foot of the edge than farther away: the pale rim of a roof, the dark fringe of a
    cloud. What an exposure shows of it is the scene's, and a fusion may strengthen it up to `GAIN`
    times, as it strengthens all contrast. Without a strong edge the result is 0, and so it is for
    a picture of fewer than 12 cells in both directions.

    Args:
        exposures: Two or more, grey, 0..255. Shape (H, W) each, sides of at least 2.
        fused: Fused picture, likewise.

    Returns:
        Overshoot in per cent of the contrast of the edges, 0 or more.

    Reference:
        Ours; what Durand and Dorsey, "Fast bilateral filtering for the display of high-dynamic-
        range images", SIGGRAPH 2002, describe as the halos of multi-scale tone mapping. On thirty
        pairs the worst of ten methods are the same by any choice near these; smaller cells or
        reaches count narrow rims for more, and methods that have those change places with others.

    Example:
        >>> edge = np.repeat([[40.0, 200.0]], 8, axis=0).repeat([256, 256], axis=1)
        >>> edge = edge.repeat(16, axis=0)
        >>> rim = edge.copy()
        >>> rim[:, 256:272] += 20
        >>> halo([edge, edge], edge), round(halo([edge, edge], rim), 3)
        (0.0, 5.625)
    """
    sources, result = as_compared_planes(exposures, fused)
    shown = keep_distinct([average_cells(plane, CELLS) for plane in sources])
    tones = np.stack([*shown, average_cells(result, CELLS)])
    overshoot = contrast = 0.0
    for along in (tones, tones.transpose(0, 2, 1)):
        for towards in (along, along[:, :, ::-1]):
            of_side = _look_right(towards)
            overshoot += of_side[0]
            contrast += of_side[1]
    return 100.0 * overshoot / contrast if contrast > 0 else 0.0


def _look_right(tones: Plane) -> tuple[float, float]:
    """Sums of h and c over the edges whose right side is looked at. Tones (K + 1, h, w), f last."""
    count = tones.shape[2] - 2 - max(REACHES)
    if count < 1:
        return 0.0, 0.0
    foot = tones[:, :, 2 : 2 + count]
    rises = (foot - tones[:, :, :count])[:-1]
    strongest = abs(rises).argmax(axis=0)[None]
    direction = np.sign(np.take_along_axis(rises, strongest, axis=0))[0]
    contrast = abs(rises).max(axis=0)
    along = rises * direction
    is_edge = find_agreement(along > 0, along < -SLACK) & (contrast > STRONG_EDGE)
    overshoot = np.zeros_like(contrast)
    for reach in REACHES:
        beyond = tones[:, :, 2 + reach : 2 + reach + count]
        *of_exposures, of_fused = direction * (foot - beyond)
        allowed = GAIN * np.max(of_exposures, axis=0).clip(min=0) + SLACK
        overshoot = np.maximum(overshoot, of_fused - allowed)
    return float(overshoot[is_edge].sum()), float(contrast[is_edge].sum())
