"""Agreement: what exposures of a stack show alike, so that a fusion has no reason to contradict."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from trainer.metrics.windows import Plane

WITNESSES = 2
"""So many exposures must show a thing: the word of a single one is no agreement."""

EQUAL_WITHIN = 1.0
"""Exposures that differ in no cell by more grey levels are one exposure, taken twice."""

Claims = NDArray[np.bool_]


def find_agreement(claims: Claims, contradictions: Claims) -> Claims:
    """Find where at least `WITNESSES` exposures show a thing and none shows its contrary.

    An exposure that shows neither, being clipped or too dark, has no say. Of a pair both must show
    the thing.

    Args:
        claims: What each exposure shows. Shape (K, ...), bool.
        contradictions: Where it shows the contrary, likewise.

    Returns:
        Where they agree. Shape (...), bool.

    Example:
        >>> claims = np.array([[True, True, True], [True, False, True], [False, False, False]])
        >>> contradictions = np.array([[False] * 3, [False] * 3, [False, False, True]])
        >>> find_agreement(claims, contradictions).tolist()
        [True, False, False]
    """
    agreed: Claims = (np.count_nonzero(claims, axis=0) >= WITNESSES) & ~contradictions.any(axis=0)
    return agreed


def keep_distinct(tones: Sequence[Plane]) -> list[Plane]:
    """Leave out exposures that repeat another one, as long as two are left: a pair stays a pair.

    Args:
        tones: Cells of each exposure, grey, 0..255. Equal shapes.

    Returns:
        Those of the exposures that are witnesses of their own.

    Example:
        >>> dark, bright = np.zeros(3), np.full(3, 200.0)
        >>> len(keep_distinct([dark, bright, bright + 0.5])), len(keep_distinct([dark, dark]))
        (2, 2)
    """
    kept: list[Plane] = []
    repeated: list[Plane] = []
    for of_exposure in tones:
        is_known = any(abs(of_exposure - other).max() <= EQUAL_WITHIN for other in kept)
        (repeated if is_known else kept).append(of_exposure)
    return kept if len(kept) >= WITNESSES else [*kept, *repeated][:WITNESSES]
