import numpy as np
import pytest
from numpy.typing import NDArray

from model.ghosts.ghost_map import NO_LIFT
from model.ghosts.lift import find_lift
from model.ghosts.planes import Planes

HEIGHT, WIDTH = 120, 160
MASK = np.zeros((HEIGHT, WIDTH), np.uint8)
MASK[40:80, 60:100] = 255
INSIDE = slice(11, 19), slice(16, 24)
"""Cells of the lift that lie well inside of the mask."""


def make_planes(level: int | NDArray[np.integer]) -> Planes:
    return np.broadcast_to(level, (3, HEIGHT, WIDTH)).astype(np.uint8)


@pytest.mark.parametrize(("is_brighter", "useless"), [(False, 255), (True, 0)])
@pytest.mark.parametrize("miss", [-30, 25])
def test_a_miss_around_is_carried_inwards(is_brighter: bool, useless: int, miss: int) -> None:
    """What the masked exposure shows, an object that moved, does not count."""
    shown = np.full((HEIGHT, WIDTH), 100 + miss)
    shown[MASK > 0] = 7

    lift = find_lift(
        make_planes(shown), make_planes(100), make_planes(useless), MASK, is_brighter=is_brighter
    )

    assert lift is not None
    assert lift.shape == (HEIGHT // 4, WIDTH // 4, 3)
    assert np.abs(lift[INSIDE].astype(int) - NO_LIFT - miss).max() <= 3
    assert (lift[:, :10] == NO_LIFT).all()


def test_a_gradient_around_goes_on_inside() -> None:
    slope = np.linspace(60, 140, WIDTH).astype(int)[None].repeat(HEIGHT, axis=0)

    lift = find_lift(
        make_planes(slope), make_planes(100), make_planes(255), MASK, is_brighter=False
    )

    assert lift is not None
    middle = lift[15, 16:24, 0].astype(int) - NO_LIFT
    assert (np.diff(middle) >= 0).all()
    assert middle[0] < -4
    assert middle[-1] > 4


def test_levels_just_not_clipped_hold_a_lift_down() -> None:
    """A highlight on something that is predicted well is not lifted like the sky behind it."""

    def lift_highlight(level: int) -> int:
        """The lift of a clipped place on an object of one level before a clipped wall."""
        reference = np.full((HEIGHT, WIDTH), 255)
        reference[MASK > 0] = level
        reference[52:68, 72:88] = 255
        lift = find_lift(
            make_planes(150), make_planes(100), make_planes(reference), MASK, is_brighter=False
        )
        return 0 if lift is None else int(lift[15, 20].max()) - NO_LIFT

    assert lift_highlight(120) > 40
    assert lift_highlight(225) < 20


@pytest.mark.parametrize(
    ("mask", "reference", "miss"),
    [(MASK * 0, 255, 50), (MASK, 120, 50), (MASK, 255, 0), (MASK * 0 + 255, 255, 50)],
    ids=["nothing replaced", "all predicted", "nothing missed", "nothing around"],
)
def test_where_nothing_is_missed_there_is_no_lift(
    mask: NDArray[np.uint8], reference: int, miss: int
) -> None:
    found = find_lift(
        make_planes(100 + miss), make_planes(100), make_planes(reference), mask, is_brighter=False
    )

    assert found is None
