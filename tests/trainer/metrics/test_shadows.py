"""The guards of shadows, of black and of clipping, on made pictures."""

from itertools import permutations

import numpy as np
import pytest

from trainer.metrics import GUARDS, clipped, crushed, lost_shadows

NAMES = ("lost-shadows", "crushed", "clipped")


def tile(*levels: int | tuple[int, int, int]) -> np.ndarray:
    """A picture of equal columns of these colours."""
    columns = [np.full((12, 10, 3), level, np.uint8) for level in levels]
    return np.concatenate(columns, axis=1)


def test_shadows_that_stay_dark_are_counted_of_the_picture() -> None:
    under, over = tile(5, 5, 5, 60), tile(90, 90, 90, 200)
    assert lost_shadows((under, over), tile(45, 90, 90, 10)) == 0.0
    assert lost_shadows((under, over), tile(44, 90, 90, 10)) == 25.0
    assert lost_shadows((under, over), tile(20, 44, 44, 10)) == 75.0


def test_a_shadow_is_dark_in_one_exposure_and_neither_dark_nor_bright_in_the_other() -> None:
    under = tile(23, 24, 23, 23, 23, 23)
    over = tile(24, 90, 140, 141, 23, 250)
    fused = tile(0, 0, 0, 0, 0, 0)
    assert lost_shadows((under, over), fused) == pytest.approx(100 * 2 / 6)


def test_crushed_is_what_the_brightest_exposure_shows_and_the_fusion_hides() -> None:
    under, over = tile(0, 0, 0, 0, 0), tile(31, 32, 250, 251, 120)
    assert crushed((under, over), tile(0, 7, 7, 0, 8)) == pytest.approx(40)
    assert crushed((under, over), tile(8, 8, 8, 8, 8)) == 0.0
    assert crushed((under, over), tile(0, 0, 0, 0, 0)) == pytest.approx(60)


def test_a_scene_without_shadows_has_lost_none() -> None:
    bright, black = tile(200, 220), tile(0, 0)
    assert lost_shadows((bright, bright), black) == 0.0
    assert crushed((black, black), black) == 0.0
    assert crushed((bright, bright), black) == 100.0


def test_clipped_counts_values_that_no_exposure_has_at_that_end() -> None:
    under, over = tile((0, 9, 9), (9, 9, 9)), tile((90, 90, 90), (255, 90, 90))
    assert clipped((under, over), tile((0, 9, 9), (255, 9, 9))) == 0.0
    assert clipped((under, over), tile((255, 9, 9), (9, 9, 9))) == pytest.approx(100 / 6)
    assert clipped((under, over), tile((0, 0, 9), (255, 255, 0))) == pytest.approx(50)


def test_no_mix_of_the_exposures_loses_what_its_weights_keep() -> None:
    rng = np.random.default_rng(6)
    exposures = [rng.integers(0, 256, (40, 50, 3), np.uint8) for _ in range(3)]
    shares = rng.dirichlet((1, 1, 1), (40, 50, 1))
    mix = np.rint(sum(shares[..., k] * exposures[k] for k in range(3)) * 0.998 + 0.25)
    assert clipped(exposures, mix.astype(np.uint8)) < 0.05
    assert lost_shadows(exposures[:2], exposures[1]) <= lost_shadows(exposures[:2], exposures[0])


@pytest.mark.parametrize("name", NAMES)
def test_shadows_of_a_stack_are_the_same_in_any_order(name: str) -> None:
    under, middle, over = tile(5, 20, 90), tile(30, 60, 120), tile(60, 130, 240)
    fused = tile((0, 9, 12), (3, 4, 5), (255, 0, 9))
    value = GUARDS[name].compute((under, middle, over), fused)
    assert type(value) is float
    assert value > 0
    for order in permutations((under, middle, over)):
        assert GUARDS[name].compute(order, fused) == value


def test_a_further_exposure_may_be_the_one_that_is_clipped() -> None:
    pair, fused = (tile(90), tile(120)), tile(255)
    assert clipped(pair, fused) == 100.0
    assert clipped((*pair, tile(255)), fused) == 0.0
