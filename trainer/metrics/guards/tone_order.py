"""Tone inversion: how many coarse tones of the fused picture stand in the wrong order."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from trainer.metrics.grey import Grey, as_compared_planes
from trainer.metrics.guards.agreement import find_agreement, keep_distinct
from trainer.metrics.guards.cells import average_cells

CELLS = 32
"""Cells along the longer side; a cell of a 12-megapixel photograph has a side of 125 pixels."""

ORDERED_BY = 2.0
"""Grey levels by which an exposure must tell two cells apart to show their order."""

REVERSED_BY = 2.0
"""Grey levels by which the result must contradict it."""


def tone_inversion(exposures: Sequence[Grey], fused: Grey) -> float:
    r"""Compute the share of tone pairs that a fusion reverses, in per cent; lower is better.

    Over all pairs (i, j) of cells anywhere in the picture, with the means x_k and f of the
    exposures and of the result over a cell (`CELLS` along the longer side, see `average_cells`):

    .. math::
        100 \, \frac{|\{(i, j) \in O, \; f_i - f_j < -2\}|}{|O|}, \qquad
        O = \{(i, j): x_{k,i} - x_{k,j} > 2 \text{ for at least two } k, \;
            \ge -2 \text{ for every } k\}

    A cell averages hundreds of pixels, so that texture and noise do not count; all pairs are
    taken, so that nothing is drawn. An exposure that shows a pair as equal has no say: it may be
    clipped. A pair of which one exposure alone shows an order does not count: a fusion that
    renders the two alike in the others breaks no agreement. Of two exposures both must show it.
    Where no pair is ordered the result is 0. An exposure that comes twice counts once.

    A monotone curve of any exposure reverses nothing that it shows, but for cells of wide and
    different spread, whose means the curve may swap; the negative reverses all.

    Args:
        exposures: Two or more, grey, 0..255. Shape (H, W) each, sides of at least 2.
        fused: Fused picture, likewise.

    Returns:
        Share in per cent, 0..100.

    Reference:
        Ours. On thirty pairs and ten methods the order of those above 0.3 % is the same with 16 to
        64 cells and with thresholds from 1 to 8 grey levels.

    Example:
        >>> ramp = np.tile(np.arange(64.0), (64, 1))
        >>> tone_inversion([ramp, 2 * ramp], ramp), tone_inversion([ramp, 2 * ramp], 63 - ramp)
        (0.0, 100.0)
    """
    planes, fused_plane = as_compared_planes(exposures, fused)
    tones = np.stack(keep_distinct([average_cells(plane, CELLS).ravel() for plane in planes]))
    result = average_cells(fused_plane, CELLS).ravel()
    count_ordered = count_reversed = 0
    for cell in range(len(result) - 1):
        rest = slice(cell + 1, None)
        steps = tones[:, rest] - tones[:, cell, None]
        step = result[rest] - result[cell]
        are_above, are_below = steps > ORDERED_BY, steps < -ORDERED_BY
        rises = find_agreement(are_above, are_below)
        falls = find_agreement(are_below, are_above)
        is_reversed = (rises & (step < -REVERSED_BY)) | (falls & (step > REVERSED_BY))
        count_ordered += int(np.count_nonzero(rises | falls))
        count_reversed += int(np.count_nonzero(is_reversed))
    return 100.0 * count_reversed / count_ordered if count_ordered else 0.0
