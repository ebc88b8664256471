"""Finds what moved in each exposure of a stack beside its reference."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from model.exposure import Pixels
from model.ghosts.consistency import (
    Expectation,
    expect,
    join_expectations,
    score_contradiction,
)
from model.ghosts.curves import Curves, Levels, Proxy, fit_curves, trust_levels
from model.ghosts.ghost_map import CurveTable, GhostMap
from model.ghosts.kernels import sum_trusted
from model.ghosts.lift import find_lift, needs_lift
from model.ghosts.masks import ANY, make_mask
from model.ghosts.planes import Planes, halve, to_planes
from model.ghosts.proxies import reduce_exposure
from model.ghosts.replace import replace_ghost
from model.tiling import Rect

LEAST_SHARE = 1e-5
LEAST_KEPT = 0.3
"""Share of the picture from which curves are fitted again without what moved."""

LEAST_TRUSTED = 0.2
LEAST_CONTRAST = 8.0
LEAST_CORRELATION = 0.3
"""Of an exposure and its prediction; below it they are taken for pictures of different things."""

Absence = NDArray[np.uint8]


def find_ghosts(exposures: Sequence[Pixels], *, reference: int) -> tuple[GhostMap | None, ...]:
    """Find what moved in each exposure of an aligned stack; see `find_ghosts_of_proxies`.

    Args:
        exposures: Dark to bright, of one size. Shape (H, W, 3) each, uint8 or uint16.
        reference: Index of the exposure that says what the scene looks like.

    Returns:
        A map for each exposure; None for the reference and where nothing moved.
    """
    proxies = [reduce_exposure(exposure) for exposure in exposures]
    return find_ghosts_of_proxies(proxies, reference=reference)


def find_ghosts_of_proxies(
    proxies: Sequence[Proxy],
    *,
    reference: int,
    absent: Sequence[Absence | None] | None = None,
    is_motion_sought: bool = True,
) -> tuple[GhostMap | None, ...]:
    """Find what moved, on exposures that are reduced already.

    From the reference outwards, each exposure is compared with what the reference lets expect.
    Where the reference is clipped, or black, and can expect only a bound, the neighbour tested
    before is asked, freed of its own ghosts: two exposures never contradict each other. Where that
    one is clipped too, only the bound is left, and what keeps it is believed.

    Exposures that have nothing in common give a large share.

    Args:
        proxies: Dark to bright, aligned, from `reduce_exposure`. Shape (h, w, 3) each, uint8.
        reference: Index of the reference.
        absent: Of each exposure the pixels that it does not cover, 255 there and 0 elsewhere, shape
            (h, w); None where it covers all. They are taken from the prediction too.
        is_motion_sought: Look for what moved; else only what is absent is replaced.

    Returns:
        A map for each exposure; None for the reference and where nothing moved.

    Raises:
        ValueError: The sizes differ, or there is no such exposure.

    Reference:
        Ma et al., "Robust multi-exposure image fusion: a structural patch decomposition
        approach", IEEE TIP 2017: consistency with a reference by its intensity mapping. Ours:
        bounds where it is clipped, the chain of neighbours, and tolerance from measured spread.
    """
    if not 0 <= reference < len(proxies) or len({proxy.shape for proxy in proxies}) != 1:
        raise ValueError(
            f"expected exposures of one size and a reference among the {len(proxies)}, "
            f"got {reference} and {sorted({proxy.shape for proxy in proxies})}"
        )
    ghosts: list[GhostMap | None] = [None] * len(proxies)
    for step in (-1, 1):
        neighbour: Proxy | None = None
        index = reference + step
        while 0 <= index < len(proxies):
            ghost = _compare(
                proxies[index],
                proxies[reference],
                neighbour,
                None if absent is None else absent[index],
                is_brighter=step > 0,
                is_motion_sought=is_motion_sought,
            )
            ghosts[index] = ghost
            freed = proxies[index]
            if ghost is not None and 0 <= index + step < len(proxies):
                freed = _free(freed, proxies[reference], ghost, neighbour)
            neighbour, index = freed, index + step
    return tuple(ghosts)


def _free(exposure: Proxy, reference: Proxy, ghost: GhostMap, neighbour: Proxy | None) -> Proxy:
    height, width = exposure.shape[:2]
    whole = Rect(0, 0, height, width)
    freed = replace_ghost(exposure, reference, ghost, whole, height, width, neighbour=neighbour)
    return np.asarray(freed, np.uint8)


def _compare(
    exposure: Proxy,
    reference: Proxy,
    neighbour: Proxy | None,
    absent: Absence | None,
    *,
    is_brighter: bool,
    is_motion_sought: bool,
) -> GhostMap | None:
    """The map of one exposure."""
    if not is_motion_sought and (absent is None or _measure_share(absent) < LEAST_SHARE):
        return None
    sources = [reference] if neighbour is None else [reference, neighbour]
    curves = _fit_what_rests(sources, exposure, absent, is_brighter=is_brighter)
    planes, expected = to_planes(exposure), None
    mask = np.zeros(exposure.shape[:2], np.uint8)
    if is_motion_sought:
        expected = _expect(sources, curves, is_brighter=is_brighter)
        mask = _mask_motion(planes, expected)
    if absent is not None:
        mask = np.maximum(mask, absent)
    share = _measure_share(mask)
    if share < LEAST_SHARE:
        return None
    lift, shown = None, to_planes(reference)
    if expected is None and needs_lift(shown, mask, is_brighter=is_brighter):
        expected = _expect(sources, curves, is_brighter=is_brighter)
    if expected is not None:
        lift = find_lift(planes, expected.planes.levels, shown, mask, is_brighter=is_brighter)
    own, *other = (_to_table(one.levels) for one in curves)
    trust = tuple(trust_levels(is_brighter=is_brighter).tolist())
    return GhostMap(mask, own, trust, other[0] if other else None, share, lift)


def _mask_motion(exposure: Planes, expected: Expectation) -> NDArray[np.uint8]:
    if _is_unrelated(exposure, expected):
        return np.full(exposure.shape[1:], 255, np.uint8)
    return make_mask(score_contradiction(exposure, expected))


def _measure_share(mask: NDArray[np.uint8]) -> float:
    return float(mask.mean(dtype=np.float64)) / 255.0


def _fit_what_rests(
    sources: Sequence[Proxy], exposure: Proxy, absent: Absence | None, *, is_brighter: bool
) -> list[Curves]:
    """Curves from each source to the exposure, of what did not move."""
    small, target = [halve(source) for source in sources], halve(exposure)
    # What moved bends the first curves, and is left out of the second.
    curves = [fit_curves(source, target) for source in small]
    score = score_contradiction(to_planes(target), _expect(small, curves, is_brighter=is_brighter))
    keep = (score < ANY.weak).astype(np.uint8)
    if absent is not None:
        keep[halve(absent) > 0] = 0
    if keep.mean() <= LEAST_KEPT:
        return curves
    return [fit_curves(source, target, keep) for source in small]


def _expect(
    sources: Sequence[Proxy], curves: Sequence[Curves], *, is_brighter: bool
) -> Expectation:
    """What the sources together let expect, the first of them as far as it is trusted."""
    trust = trust_levels(is_brighter=is_brighter)
    parts = [
        expect(source, curve, trust, is_brighter=is_brighter)
        for source, curve in zip(sources, curves, strict=True)
    ]
    return parts[0] if len(parts) == 1 else join_expectations(parts[0], parts[1])


def _is_unrelated(exposure: Planes, expected: Expectation) -> bool:
    """Whether nothing that can be predicted of an exposure is seen in it."""
    # Every second row and column says as much as all.
    height, width = expected.planes.trust.shape
    sums = sum_trusted(exposure, expected.planes)
    if sums.number < LEAST_TRUSTED * ((height + 1) // 2) * ((width + 1) // 2):
        return False
    # Whole numbers: n squared times the variances and the covariance.
    of_seen, of_predicted, of_both = (
        sums.number * product - one * other
        for product, one, other in (
            (sums.xx, sums.x, sums.x),
            (sums.yy, sums.y, sums.y),
            (sums.xy, sums.x, sums.y),
        )
    )
    if of_seen < (LEAST_CONTRAST * sums.number) ** 2:
        return False
    if of_predicted < sums.number**2:
        return True
    return of_both < LEAST_CORRELATION * math.sqrt(of_seen * of_predicted)


def _to_table(levels: Levels) -> CurveTable:
    red, green, blue = (tuple(channel) for channel in levels.tolist())
    return red, green, blue
