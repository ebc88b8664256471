import pickle

import cv2
import numpy as np
import pytest

from model.alignment.estimate import align_exposure
from model.alignment.stack import align_stack
from model.exposure import IDENTITY, ExposureStack
from tests.model.alignment.test_estimate import (
    HEIGHT,
    MARGIN,
    MOTIONS,
    WIDTH,
    corner_error_px,
    expose,
    make_scene,
    turn,
)

GAINS = (0.05, 0.15, 0.45, 1.3)
HANDS = (
    turn(0.6, (5.0, -3.0)),
    turn(-0.8, (-4.0, 2.0)),
    np.eye(3),
    turn(1.1, (2.0, 6.0), (3e-5, -2e-5)),
)


def make_stack(dtype=np.uint8, hands=HANDS):
    scene = make_scene(5)
    return [expose(scene, gain, dtype, hand) for gain, hand in zip(GAINS, hands, strict=True)]


def make_far_stack(noise=2.0):
    """The right half is 10 EV brighter: the darkest shows only that, the brightest the left."""
    scene = make_scene(3)
    scene[:, scene.shape[1] // 2 :] *= 2.0**10
    rng = np.random.default_rng(0)
    stack = []
    for gain, hand in ((0.4 / 2**10, HANDS[0]), (0.5 / 2**6, HANDS[1]), (0.4, np.eye(3))):
        seen = expose(scene, gain, np.uint8, hand)
        stack.append(np.clip(seen + rng.normal(0, noise, seen.shape), 0, 255).astype(np.uint8))
    return stack


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_every_exposure_of_a_hand_finds_its_place(dtype):
    reports = align_stack(make_stack(dtype), reference=2)
    assert reports[2] is None
    for index in (0, 1, 3):
        assert reports[index].model == "homography"
        assert corner_error_px(reports[index], HANDS[index]) < 0.5


def test_a_stack_of_two_is_aligned_as_a_pair():
    under, over = make_stack()[1:3]
    pair = align_exposure(*ExposureStack.from_images([under, over]).exposures)
    assert align_stack([under, over], reference=1) == (pair, None)


def test_nine_exposures_at_rest_stay_where_they_are():
    scene = make_scene(5)
    stack = [expose(scene, 0.02 * 1.7**index) for index in range(9)]
    reports = align_stack(stack, reference=4)
    assert reports[4] is None
    for report in reports[:4] + reports[5:]:
        assert (report.homography, report.refused) == (IDENTITY, None)


def test_an_exposure_far_from_the_reference_is_placed_through_its_neighbour():
    reports = align_stack(make_far_stack(), reference=2)
    assert corner_error_px(reports[1], HANDS[1]) < 1.0
    assert corner_error_px(reports[0], HANDS[0]) < 1.5


@pytest.mark.parametrize("level", [0, 255, 90])
@pytest.mark.parametrize("place", [0, 3])
def test_a_frame_that_shows_nothing_is_refused_and_harms_no_other(level, place):
    stack = make_stack()
    alone = align_stack(stack, reference=2)
    stack[place] = np.full_like(stack[place], level)
    reports = align_stack(stack, reference=2)
    assert reports[place].refused is not None
    assert reports[place].homography == IDENTITY
    assert [reports[index] for index in (1,)] == [alone[1]]


def test_where_the_reference_shows_nothing_all_are_refused():
    stack = make_stack()
    stack[2] = np.zeros_like(stack[2])
    reports = align_stack(stack, reference=2)
    assert all(report.refused is not None for report in reports if report is not None)


def test_another_scene_in_the_stack_is_refused():
    stack = make_stack()
    stack[0] = expose(make_scene(77), GAINS[0])
    reports = align_stack(stack, reference=2)
    assert reports[0].refused is not None
    assert reports[1].refused is None


def test_equal_exposures_are_at_rest():
    image = make_stack()[2]
    before, own, after = align_stack([image, image, image], reference=1)
    assert own is None
    assert (before.model, after.model) == ("identity", "identity")
    assert before.refused is None


def test_the_same_stack_gives_the_same_reports_on_any_number_of_threads():
    stack = make_far_stack()
    threads = cv2.getNumThreads()
    found = []
    try:
        for count in (1, 3):
            cv2.setNumThreads(count)
            found.append(pickle.dumps(align_stack(stack, reference=2)))
    finally:
        cv2.setNumThreads(threads)
    assert len(set(found)) == 1


def test_an_exposure_out_of_focus_is_found_at_a_coarser_level():
    scene = make_scene(6, 960, 720)
    motion = turn(0.5, (9.0, -6.0), width=960, height=720)
    blurred = cv2.GaussianBlur(expose(scene, 0.3, np.uint8, motion), (0, 0), 5.0)
    (report, _) = align_stack([blurred, expose(scene, 0.8)], reference=1)
    assert report.refused is None
    assert corner_error_px(report, motion, 960, 720) < 3.0


def test_a_strip_of_texture_is_placed_by_a_similarity():
    scene = make_scene(8, 960, 720)
    motion = turn(0.4, (8.0, 5.0), width=960, height=720)
    stack = [expose(scene, 0.2, np.uint8, motion), expose(scene, 0.8)]
    for exposure, level in zip(stack, (60, 130), strict=True):
        exposure[:600] = level
    report, _ = align_stack(stack, reference=1)
    assert report.refused is None
    assert corner_error_px(report, motion, 960, 720) < 4.0


@pytest.mark.parametrize("reference", [-1, 4])
def test_a_reference_outside_the_stack_raises(reference):
    with pytest.raises(ValueError, match="reference below 4"):
        align_stack(make_stack(), reference=reference)


def test_several_sizes_raise():
    stack = make_stack()
    with pytest.raises(ValueError, match="of one size"):
        align_stack([stack[0][:-2], stack[1]], reference=1)


def test_the_made_motions_lie_within_the_margin():
    assert max(np.abs(motion[:2, 2]).max() for motion in MOTIONS.values()) < MARGIN
    assert (WIDTH, HEIGHT) == (360, 270)
