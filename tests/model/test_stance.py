"""A camera that lies flat writes orientations at random; the pictures still fit."""

import numpy as np
import pytest

from model.settle import settle_images
from model.stance import find_stances, turn, view_stored, view_upright
from tests import images


def photographs(*orientations, gains=(0.4, 1.0, 0.7)):
    """One stored scene, turned upright by the tag of each frame."""
    stored = [images.scene(96, 160, gain=gain) for gain in gains[: len(orientations)]]
    return [
        np.ascontiguousarray(view_upright(one, orientation))
        for one, orientation in zip(stored, orientations, strict=True)
    ]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_upright_undoes_stored(orientation):
    pixels = images.scene(20, 30)
    assert (view_upright(view_stored(pixels, orientation), orientation) == pixels).all()


@pytest.mark.parametrize("other", range(2, 9))
@pytest.mark.parametrize("reference", [0, 1])
def test_a_wrong_tag_is_corrected(other, reference):
    given = photographs(1, other)
    stances = find_stances(given, (1, other), reference=reference)
    assert stances == [(1, other)[reference]] * 2


@pytest.mark.parametrize("other", [2, 3, 4])
def test_a_right_tag_is_believed(other):
    scene = images.scene(96, 160)
    assert find_stances([scene // 2, scene], (1, other), reference=0) == [1, other]


def test_pictures_that_an_editor_turned_are_left_alone():
    """One is stored upright, the other by its tag: as they are, they have one size."""
    scene = images.scene(96, 160)
    given = [scene // 2, np.ascontiguousarray(scene)]
    assert find_stances(given, (1, 6), reference=0) == [1, 6]


def test_all_are_settled_as_the_wanted_one_lies():
    given = photographs(1, 6, 1)
    settled = settle_images(given, (1, 6, 1), (None, None, None), wanted=2)
    expected = photographs(6, 6, 6)
    assert all((one == other).all() for one, other in zip(settled, expected, strict=True))
    assert settled[1] is given[1]


def test_the_transparent_part_turns_with_its_picture():
    given = photographs(1, 6)
    hidden = np.zeros((96, 160), bool)
    hidden[:, :30] = True
    mask = np.ascontiguousarray(view_upright(hidden, 6))
    given[1][mask] = 0
    dark, bright = settle_images(given, (1, 6), (None, mask), wanted=1)
    truth = images.scene(96, 160)
    assert dark.shape == bright.shape == truth.shape
    assert np.abs(bright.astype(int) - truth).mean() < 1.0


def test_equal_tags_change_nothing():
    given = photographs(3, 3)
    before = [one.copy() for one in given]
    settled = settle_images(given, (3, 3), (None, None))
    assert all(one is other for one, other in zip(settled, given, strict=True))
    assert all((one == other).all() for one, other in zip(settled, before, strict=True))


def test_turning_between_two_stances():
    pixels = images.scene(20, 30)
    assert turn(pixels, 6, 1).shape == (30, 20, 3)
    assert (turn(pixels, 3, 3) == pixels).all()
