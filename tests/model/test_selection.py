"""Exposures that add nothing are left out, and nothing else is."""

import numpy as np
import pytest

from model.describe import describe_unused
from model.exposure import ExposureStack
from model.register import register
from model.selection import choose_reference, find_useless, keep_useful, measure_gap_ev
from tests import images


@pytest.mark.parametrize("stops", [0.0, 1.0, 3.0])
def test_the_gap_is_that_of_the_light(stops):
    levels = [0.4 * 2.0**-stops, 0.4]
    dark, bright = (np.full((40, 48, 3), round(255 * encode(one)), np.uint8) for one in levels)
    assert measure_gap_ev(dark, bright) == pytest.approx(stops, abs=0.05)
    assert measure_gap_ev(bright, dark) == 0.0


def test_the_gap_from_black_is_bounded():
    black, white = np.zeros((9, 9, 3), np.uint8), np.full((9, 9, 3), 255, np.uint8)
    assert measure_gap_ev(black, white) == pytest.approx(16.0)


def encode(light):
    """The sRGB curve above its knee, IEC 61966-2-1."""
    return 1.055 * light ** (1 / 2.4) - 0.055


def stack_of(*pictures):
    return ExposureStack.from_images(pictures)


def bracket(count, dtype=np.uint8):
    return [images.scene(96, 128, dtype=dtype, gain=gain) for gain in np.geomspace(0.2, 1, count)]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("count", [2, 3, 5])
def test_exposures_of_a_bracket_are_all_useful(count, dtype):
    assert find_useless(stack_of(*bracket(count, dtype))) == {}


@pytest.mark.parametrize(("level", "index"), [(0, 0), (2, 0), (253, 3), (255, 3)])
def test_a_black_or_a_white_frame_is_blank(level, index):
    stack = stack_of(*bracket(3), np.full((96, 128, 3), level, np.uint8))
    assert find_useless(stack) == {index: "blank"}
    assert len(keep_useful(stack, find_useless(stack))) == 3


def test_of_equal_exposures_one_stays_and_it_is_the_wanted_one():
    one, other = bracket(2)
    noise = np.random.default_rng(0).integers(0, 2, one.shape, np.uint8)
    stack = stack_of(one, other, one + noise)
    assert find_useless(stack) == {1: "duplicate"}
    assert find_useless(stack, wanted=1) == {0: "duplicate"}


def test_the_noise_of_a_black_frame_is_no_content_and_small_lamps_are():
    rng = np.random.default_rng(0)
    noisy = np.clip(rng.normal(0, 2.3, (96, 128, 3)), 0, 255).astype(np.uint8)
    assert 0.005 < (noisy >= 5).any(axis=2).mean() < 0.2
    lit = images.scene(96, 128)
    assert find_useless(stack_of(noisy, lit)) == {0: "blank"}
    lamps = noisy.copy()
    lamps[10:20, 10:20], lamps[60:66, 90:96] = 90, 200
    assert find_useless(stack_of(lamps, lit)) == {}


def test_a_stack_of_blank_frames_alone_is_left_as_it_is():
    black, white = (np.full((32, 32, 3), level, np.uint8) for level in (0, 255))
    assert find_useless(stack_of(black, white)) == {}


def test_a_registered_stack_names_what_it_does_not_use_as_it_was_given():
    pictures = bracket(3)
    found = register(
        stack_of(pictures[2], pictures[0] * 0, pictures[1], pictures[0], pictures[1]),
        align="off",
        ghosts="off",
    )
    assert describe_unused(found.useless, found.used.order) == "2=blank 5=duplicate"
    assert found.used.order == (3, 2, 0)


def test_the_reference_of_a_stack_shows_most_of_it_well():
    dark, middle, bright = (np.full((48, 48, 3), level, np.uint8) for level in (8, 120, 252))
    for picture in (dark, middle, bright):
        picture[:8] = 60
    assert choose_reference(stack_of(dark, middle, bright), default="over") == 1


@pytest.mark.parametrize("default", ["under", "over"])
@pytest.mark.parametrize(("dark_rows", "bright_rows", "expected"), [(4, 20, 1), (20, 4, 0)])
def test_the_reference_of_a_pair_is_the_exposure_that_shows_more(
    default, dark_rows, bright_rows, expected
):
    dark, bright = np.full((48, 48, 3), 2, np.uint8), np.full((48, 48, 3), 253, np.uint8)
    dark[:dark_rows], bright[:bright_rows] = 60, 160
    assert choose_reference(stack_of(dark, bright), default=default) == expected


def test_weights_choose_the_reference_of_a_pair_that_shows_equally_much():
    dark, bright = np.full((2, 48, 48, 3), 90, np.uint8)
    dark[:20], bright[:22] = 2, 253
    pair = stack_of(dark, bright)
    assert choose_reference(pair, default="under") == 0
    assert choose_reference(pair, default="over") == 1
