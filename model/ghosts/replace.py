"""Replaces what moved in a window of an exposure by the prediction from the reference."""

from collections.abc import Sequence

from model.exposure import Pixels
from model.ghosts.ghost_map import GhostMap
from model.ghosts.prediction import Predictor, mix
from model.ghosts.sampling import Grid
from model.tiling import Rect


def replace_ghosts(
    exposures: Sequence[Pixels],
    ghosts: Sequence[GhostMap | None],
    *,
    reference: int,
    window: Rect,
    height: int,
    width: int,
) -> list[Pixels]:
    """Free one window of all exposures of what moved, from the reference outwards.

    Args:
        exposures: The window's pixels of each exposure, aligned, dark to bright. Shape
            (window.height, window.width, 3) each, uint8 or uint16.
        ghosts: A map for each exposure, from `find_ghosts`.
        reference: Index of the reference that they were found with.
        window: The window.
        height: Height of the whole picture.
        width: Width of the whole picture.

    Returns:
        The exposures; those without a ghost in the window are the arguments themselves.
    """
    result = list(exposures)
    for step in (-1, 1):
        index = reference + step
        while 0 <= index < len(exposures):
            ghost = ghosts[index]
            if ghost is not None:
                result[index] = replace_ghost(
                    exposures[index],
                    exposures[reference],
                    ghost,
                    window,
                    height,
                    width,
                    neighbour=result[index - step],
                )
            index += step
    return result


def replace_ghost(
    exposure: Pixels,
    reference: Pixels,
    ghost: GhostMap,
    window: Rect,
    height: int,
    width: int,
    *,
    neighbour: Pixels | None = None,
) -> Pixels:
    r"""Free one window of one exposure of what moved.

    With E the exposure, P the prediction that `GhostMap` states, and m the mask, bilinear between
    its pixels,

    .. math::
        E' = E + m (P - E)

    Every step is of single pixels at absolute places, so that a result does not depend on the
    window. Where m is 0 the exposure is kept to the bit.

    Args:
        exposure: The window's pixels. Shape (window.height, window.width, 3), uint8 or uint16.
        reference: Those of the reference.
        ghost: What moved.
        window: The window.
        height: Height of the whole picture.
        width: Width of the whole picture.
        neighbour: Those of the next exposure on the way to the reference, freed of its ghosts;
            used where `ghost` has a curve of it.

    Returns:
        The window, shape and dtype of the exposure; the exposure itself where nothing moved.
    """
    lift = None if ghost.lift is None else Grid(ghost.lift, window, height, width)
    result = exposure
    predictor: Predictor | None = None
    for place, weight in Grid(ghost.mask, window, height, width).sample_weights():
        if predictor is None:
            result, predictor = exposure.copy(), Predictor(ghost, exposure.dtype)
        part = place.slices
        prediction = predictor.predict(
            reference[part], None if neighbour is None else neighbour[part]
        )
        lifted = None if lift is None else lift.sample_lift(place)
        if lifted is not None:
            where, levels = lifted
            inner = where.relative_to(place).slices
            prediction[inner] = predictor.raise_levels(
                prediction[inner], reference[where.slices], levels
            )
        result[part] = prediction if weight is None else mix(exposure[part], prediction, weight)
    return result
