import cv2
import numpy as np
import pytest

from model.alignment.stack import align_stack
from model.alignment.unrelated import are_unrelated, find_unrelated, measure_agreement
from tests.model.alignment.test_estimate import expose, make_scene, turn


def make_landscape(seed):
    """A scene whose rough outline differs from seed to seed, as pictures' outlines do."""
    scene = make_scene(seed)
    rng = np.random.default_rng(seed)
    outline = cv2.GaussianBlur(rng.standard_normal(scene.shape), (0, 0), 40.0)
    return scene * 2.0 ** (2.0 * outline / outline.std())


@pytest.mark.parametrize("seed", range(4))
def test_exposures_of_one_scene_are_related_whatever_the_gain_and_motion(seed):
    scene = make_landscape(seed)
    over = expose(scene, 0.9)
    for gain, motion in ((0.02, None), (0.1, turn(2.0, (9.0, -7.0)))):
        under = expose(scene, gain, np.uint8, motion)
        assert measure_agreement(under, over) > 0.6
        assert not are_unrelated(under, over)


@pytest.mark.parametrize("seed", range(4))
def test_pictures_of_different_scenes_are_unrelated(seed):
    first, second = expose(make_landscape(seed), 0.1), expose(make_landscape(seed + 50), 0.8)
    assert measure_agreement(first, second) < 0.5
    assert are_unrelated(first, second)
    assert are_unrelated(first, second[::2, ::2].copy())


def test_equal_pictures_agree_most():
    picture = expose(make_landscape(0), 0.5)
    assert measure_agreement(picture, picture) == pytest.approx(1.5, abs=1e-3)


def test_the_agreement_does_not_depend_on_the_depth():
    first, second = expose(make_landscape(0), 0.1), expose(make_landscape(0), 0.8)
    wide = [image.astype(np.uint16) * np.uint16(257) for image in (first, second)]
    assert measure_agreement(*wide) == pytest.approx(measure_agreement(first, second), abs=0.02)


@pytest.mark.parametrize("level", [0, 255, 128])
def test_a_frame_that_shows_nothing_is_unrelated_to_nothing(level):
    frame = np.full((270, 360, 3), level, np.uint8)
    assert np.isnan(measure_agreement(frame, expose(make_landscape(0), 0.5)))
    assert not are_unrelated(frame, expose(make_landscape(0), 0.5))
    assert not are_unrelated(frame, frame)


def test_the_stranger_in_a_stack_is_named_and_nobody_else():
    scene = make_landscape(1)
    stack = [expose(scene, gain) for gain in (0.05, 0.2, 0.8)]
    stack.append(expose(make_landscape(60), 2.0))
    stack.append(np.full_like(stack[0], 255))
    reports = align_stack(stack, reference=1)
    assert find_unrelated(stack, reports) == (3,)
