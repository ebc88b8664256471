import numpy as np
import pytest
from numpy.typing import NDArray

from model.ghosts.masks import ANY, LARGE, STRONG, make_mask

Score = NDArray[np.float32]
HEIGHT, WIDTH = 200, 300
BETWEEN = (LARGE.weak + ANY.weak) / 2
"""Too faint to belong to an object, but for a large one."""


def make_score(radius: int) -> Score:
    """A strong square at (100, 80) with something between weak and faint at its right."""
    score = np.zeros((HEIGHT, WIDTH), np.float32)
    score[100 - radius : 100 + radius, 80 - radius : 80 + radius] = STRONG + 1
    score[95:105, 80 + radius : 180] = BETWEEN
    return score


def test_what_is_strong_is_masked_and_nothing_far_from_it() -> None:
    mask = make_mask(make_score(8))

    assert mask[94:106, 74:86].min() == 255
    assert mask[:, :50].max() == 0
    assert mask[:60].max() == 0


@pytest.mark.parametrize("strong", [0, 2])
def test_too_little_that_is_strong_is_no_object(strong: int) -> None:
    score = np.full((HEIGHT, WIDTH), ANY.weak + 0.1, np.float32)
    score[100, 80 : 80 + strong] = STRONG + 1

    assert make_mask(score).max() == 0


def test_scattered_strong_pixels_are_no_object() -> None:
    score = np.zeros((HEIGHT, WIDTH), np.float32)
    score[::20, ::20] = STRONG + 1

    assert make_mask(score).max() == 0


@pytest.mark.parametrize(("radius", "reaches"), [(2, False), (8, True)])
def test_only_a_large_object_reaches_into_what_is_fainter(radius: int, reaches: bool) -> None:
    mask = make_mask(make_score(radius))

    assert mask[100, 80] == 255
    assert (mask[98:102, 150:175].min() == 255) == reaches
    assert (mask[98:102, 150:175].max() > 0) == reaches


def make_ring(centre: tuple[int, int], inner: int) -> tuple[Score, NDArray[np.bool_]]:
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    distance = np.hypot(rows - centre[0], columns - centre[1])
    score = np.where(abs(distance - inner - 6) < 6, STRONG + 1, 0).astype(np.float32)
    return score, distance < inner - 8


@pytest.mark.parametrize(
    ("centre", "inner", "is_filled"),
    [((100, 150), 13, True), ((100, 150), 60, False), ((4, 150), 13, False)],
)
def test_a_small_hole_inside_is_filled(
    centre: tuple[int, int], inner: int, is_filled: bool
) -> None:
    """Neither a large one, nor what is open at the picture's edge."""
    score, hole = make_ring(centre, inner)

    mask = make_mask(score)

    assert (mask[hole].min() == 255) == is_filled
    assert (mask[hole].max() > 0) == is_filled
