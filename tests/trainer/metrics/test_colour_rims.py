"""The guards of the worst per cent: rims of colour, and foreign hue, on made pictures."""

from itertools import permutations

import cv2
import numpy as np
import pytest

from trainer.metrics import GUARDS, colour_rims, hue_error, hue_worst
from trainer.metrics.guards.cells import average_worst

SIDE = 256
NAMES = ("colour-rims", "hue-worst")
LEAF, SKY = np.array((60, 120, 40)), np.array((235, 240, 250))


def make_edge(leaf: np.ndarray, sky: np.ndarray) -> np.ndarray:
    edge = np.tile(np.rint(sky).astype(np.uint8), (SIDE, SIDE, 1))
    edge[:, : SIDE // 2] = np.rint(leaf)
    return edge


def make_pair() -> tuple[np.ndarray, np.ndarray]:
    return make_edge(LEAF * 0.4, SKY * 0.6), make_edge(LEAF, SKY)


def subtract_luma(colour: tuple[float, float, float]) -> np.ndarray:
    """R - Y and B - Y."""
    red, green, blue = colour
    luma = 0.298936 * red + 0.587043 * green + 0.114021 * blue
    return np.array((red - luma, blue - luma))


@pytest.mark.parametrize("columns", [4, 8])
def test_a_violet_fringe_is_as_bad_as_it_overshoots_the_exposures(columns: int) -> None:
    pair, violet = make_pair(), (220, 180, 235)
    fused = make_edge(LEAF * 0.8, SKY * 0.8)
    assert colour_rims(pair, fused) == 0.0
    fused[:, 128 : 128 + columns] = violet
    shown = np.array([subtract_luma(one[0, 200]) for one in pair]).max(axis=0)
    # Near the edge are the two cells, of a pixel each, beside it; the worst per cent of 256
    # columns has room for them.
    expected = (subtract_luma(violet) - 1.5 * shown.clip(min=0)).max()
    assert expected > 10
    share = 2 * SIDE / np.ceil(0.01 * SIDE * SIDE)
    assert colour_rims(pair, fused) == pytest.approx(share * expected, rel=1e-9)


def test_a_stronger_fringe_is_worse_and_one_far_from_edges_is_none() -> None:
    pair = make_pair()
    values = []
    for strength in (0.0, 0.5, 1.0):
        fused = make_edge(LEAF * 0.8, SKY * 0.8).astype(np.float64)
        fused[:, 128:132] += strength * np.array((30, -30, 30))
        values.append(colour_rims(pair, np.rint(fused).astype(np.uint8)))
    assert values[0] == 0.0
    assert values[0] < values[1] < values[2]
    far = make_edge(LEAF, SKY)
    far[:, 180:184] = (220, 180, 235)
    assert colour_rims(pair, far) == 0.0
    assert hue_worst(pair, far) > 10


def test_what_exposures_show_may_be_weaker_and_half_as_strong_again() -> None:
    leaf = np.full((SIDE, SIDE, 3), 128.0)
    leaf[:, :128] += (-20, 10, -20)

    def saturate(gain: float) -> np.ndarray:
        return np.rint(128 + gain * (leaf - 128)).astype(np.uint8)

    pair = saturate(0.5), saturate(1.0)
    for gain in (0.0, 0.3, 1.0, 1.5):
        assert colour_rims(pair, saturate(gain)) < 0.01
    assert colour_rims(pair, saturate(2.0)) > 5


def test_weak_edges_have_no_rims() -> None:
    grey = make_edge(np.array((100, 100, 100)), np.array((200, 200, 200)))
    violet = grey.copy()
    violet[:, 128:132] = (220, 180, 235)
    assert colour_rims((grey, grey), violet) == 0.0
    assert colour_rims((grey, make_edge(LEAF, SKY)), violet) > 10


def make_slow_stack() -> tuple[list[np.ndarray], np.ndarray]:
    """Three exposures of slowly varying colours on either side of an edge, and a mix of them.

    Its weights vary from pixel to pixel at will.
    """
    rng = np.random.default_rng(9)
    side = 2 * SIDE
    noise = rng.standard_normal((3, side, side, 3))
    slow = [cv2.GaussianBlur(one, (0, 0), 48) for one in noise]
    slow = [128 + 60 * one / np.abs(one).max() for one in slow]
    for one in slow:
        one[:, SIDE:] += (-30, 30, -20)
    shares = rng.dirichlet((0.3, 0.3, 0.3), (side, side, 1))
    mix = sum(shares[..., index] * one for index, one in enumerate(slow))
    return [np.rint(one).astype(np.uint8) for one in slow], np.rint(mix).astype(np.uint8)


@pytest.mark.parametrize("name", NAMES)
def test_any_convex_weights_of_slowly_varying_colours_are_good(name: str) -> None:
    exposures, mix = make_slow_stack()
    guard = GUARDS[name].compute
    assert guard(exposures, mix) < 1.5  # levels are rounded
    assert guard(exposures, np.roll(mix, 1, axis=2)) > 20


def test_hue_worst_is_the_hue_of_the_worst_squares() -> None:
    blue = np.full((80, 80, 3), (30, 60, 150), np.uint8)
    fused = blue.copy()
    fused[:8, :8] = (220, 200, 210)  # 4 of 400 squares
    value = hue_error((blue, blue), fused)
    assert hue_worst((blue, blue), fused) == pytest.approx(100 * value, rel=0.01)
    fused[:8, :4] = (30, 60, 150)
    assert hue_worst((blue, blue), fused) == pytest.approx(50 * value, rel=0.01)
    assert hue_worst((blue[:3], blue[:3]), blue[:3]) == 0.0


@pytest.mark.parametrize(("count", "expected"), [(1, 0.0), (100, 99.0), (101, 99.5), (200, 198.5)])
def test_of_few_values_one_at_least_is_the_worst(count: int, expected: float) -> None:
    values = np.random.default_rng(0).permutation(count).astype(np.float64)
    assert average_worst(values) == expected


@pytest.mark.parametrize("name", NAMES)
def test_rims_of_a_stack_are_the_same_in_any_order(name: str) -> None:
    pair = make_pair()
    middle = make_edge(LEAF * 0.7, SKY * 0.8)
    fused = make_edge(LEAF, SKY)
    fused[:, 126:132] = (220, 170, 235)
    value = GUARDS[name].compute((*pair, middle), fused)
    assert type(value) is float
    assert value > 0
    for order in permutations((*pair, middle)):
        assert GUARDS[name].compute(order, fused) == pytest.approx(value, rel=1e-12)
    violet = make_edge(LEAF, np.array((220, 170, 235)))
    assert GUARDS[name].compute((*pair, violet), fused) < value
