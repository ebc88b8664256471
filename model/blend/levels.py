"""Decides what each level of a picture's pyramid is for; arithmetic only."""

from dataclasses import dataclass

MIN_NETWORK_LEVEL = 2
MAX_REDUCTION = 3
COARSE_BANDS = 3
"""Bands above the network's level; the base lies over them."""

GROUPS = MIN_NETWORK_LEVEL + COARSE_BANDS + 1
BANDS = GROUPS - 1


@dataclass(frozen=True, slots=True)
class Levels:
    """What each level of a picture's pyramid is for.

    Attributes:
        network: Level that the network looks at.
        base: Level of the base, above the last band.
        reduction: Level down to which windows of the picture itself are blended.
    """

    network: int
    base: int
    reduction: int

    def group_of(self, level: int) -> int:
        """Group whose coefficients a level uses.

        Levels far below the network's share one: they are the same detail at more pixels.
        """
        return max(level - (self.network - MIN_NETWORK_LEVEL), 0)


def plan_levels(height: int, width: int, *, network_side_px: int) -> Levels:
    """Choose the levels of a picture by its longer side.

    The network's level is the first, from the second on, at which the longer side has at most
    `network_side_px` pixels.

    Args:
        height: Height of the picture, at least 1.
        width: Width of the picture, at least 1.
        network_side_px: Longest side that the network looks at.

    Returns:
        The levels.

    Example:
        >>> plan_levels(3000, 4000, network_side_px=256)
        Levels(network=4, base=7, reduction=3)
    """
    if min(height, width, network_side_px) < 1:
        raise ValueError(
            f"expected positive sides, got {width}x{height} and a network side {network_side_px}"
        )
    level = MIN_NETWORK_LEVEL
    while -(-max(height, width) >> level) > network_side_px:
        level += 1
    return Levels(level, level + COARSE_BANDS, min(level, MAX_REDUCTION))


def size_at(height: int, width: int, level: int) -> tuple[int, int]:
    """Height and width at a level: halved and rounded up, level times."""
    return -(-height >> level), -(-width >> level)


def reduce_halo(reduction: int) -> int:
    """Margin that a window needs so that its core is right once reduced, on the grid 2^reduction.

    Each reduction reads two pixels of the level below on either side.

    Example:
        >>> [reduce_halo(reduction) for reduction in (2, 3)]
        [8, 16]
    """
    return _on_grid(2 * (2**reduction - 1), 2**reduction)


def blend_halo(reduction: int) -> int:
    """Margin that a window needs so that its core is right once blended, on the grid 2^reduction.

    From a border that is not the picture's, wrong pixels grow inwards. The exposures are right at
    the finest level, and at the level `reduction`, where they and what is fused come from
    the whole picture. A reduction in between spoils ceil((e + 2) / 2) pixels where e were spoilt,
    an expansion 2 e + 2, the smoothing of contrasts 2 more.

    Example:
        >>> [blend_halo(reduction) for reduction in (2, 3)]
        [12, 24]
    """
    exposures = [0]
    for _ in range(reduction - 1):
        exposures.append((exposures[-1] + 3) // 2)
    exposures.append(0)
    fused = 0
    for level in reversed(range(reduction)):
        bands = max(exposures[level], 2 * exposures[level + 1] + 2)
        fused = max(2 * fused + 2, bands + 2)
    return _on_grid(fused, 2**reduction)


def _on_grid(length: int, grid: int) -> int:
    return -(-length // grid) * grid
