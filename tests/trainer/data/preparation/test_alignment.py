import cv2
import numpy as np
import pytest

from model.alignment.patches import frame_corners, map_points
from tests.trainer.photographs import (
    CAMERA,
    HEIGHT,
    MARGIN,
    WIDTH,
    make_radiance,
    photograph,
    turn,
)
from trainer.data.camera import expose
from trainer.data.preparation.alignment import (
    Placement,
    crop_to_common,
    place_exposures,
)

STILL = np.eye(3)


def corner_error_px(placement, homography):
    corners = frame_corners(WIDTH, HEIGHT)
    difference = map_points(placement.homography, corners) - map_points(homography, corners)
    return np.abs(difference).max()


def test_exposures_of_a_moving_hand_find_their_places_on_either_side():
    radiance = make_radiance(3)
    hands = (turn(0.6, (5, -3)), STILL, turn(-0.3, (-4, 2)))
    shots = [
        photograph(radiance, ev, hand, seed=index)
        for index, (ev, hand) in enumerate(zip((-2, 0, 2), hands, strict=True))
    ]
    under, correct, over = place_exposures(shots, 1)
    assert correct.homography is None
    assert correct.shift_px == 0
    assert corner_error_px(under, hands[0]) < 0.2
    assert corner_error_px(over, hands[2]) < 0.2
    assert under.shift_px == pytest.approx(8.3, abs=0.3)


def test_an_exposure_that_shares_nothing_with_the_reference_is_placed_by_its_neighbour():
    # The right half is 11 EV brighter: the darkest exposure shows nothing else, the reference
    # everything but that, and only the one between them something of both.
    radiance = make_radiance(3)
    radiance[:, radiance.shape[1] // 2 :] *= 2.0**11
    hands = (turn(0.6, (5, -3)), turn(-0.3, (-4, 2)), STILL)
    shots = []
    for index, (ev, hand) in enumerate(zip((-11, -7.5, 0), hands, strict=True)):
        to_scene = np.array([[1.0, 0, MARGIN], [0, 1, MARGIN], [0, 0, 1]]) @ hand
        flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
        seen = cv2.warpPerspective(radiance, to_scene, (WIDTH, HEIGHT), flags=flags)
        rng = np.random.default_rng(index)
        shots.append(expose(np.maximum(seen, 0), 0.18 * 2.0**ev, CAMERA, rng))
    (alone, _) = place_exposures([shots[0], shots[2]], 1)
    alone_px = corner_error_px(alone, hands[0]) if alone.refused is None else np.inf
    darkest, middle, _ = place_exposures(shots, 2)
    assert corner_error_px(middle, hands[1]) < 1
    assert corner_error_px(darkest, hands[0]) < min(alone_px, 1)


def test_another_scene_is_refused():
    first, second = photograph(make_radiance(1), -2), photograph(make_radiance(2), 0)
    placement, _ = place_exposures([first, second], 1)
    assert placement.refused is not None
    assert placement.homography is None


def test_what_did_not_move_keeps_its_pixels():
    images = [
        np.random.default_rng(seed).integers(0, 256, (30, 40, 3), np.uint8) for seed in (1, 2)
    ]
    cropped, rect = crop_to_common(images, [Placement(), Placement()])
    assert (rect.height, rect.width) == (30, 40)
    for image, same in zip(images, cropped, strict=True):
        assert (image == same).all()


def test_a_whole_pixel_shift_is_undone_exactly_and_its_border_cropped():
    scene = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
    still, moved = scene[5:35, 5:45], scene[8:38, 3:43]
    # A pixel of the moved exposure lies 3 lower and 2 further left in the still one.
    homography = np.array([[1.0, 0, -2], [0, 1.0, 3], [0, 0, 1.0]])
    cropped, rect = crop_to_common([still, moved], [Placement(), Placement(homography, 3.6)])
    assert (rect.top, rect.left, rect.height, rect.width) == (3, 0, 27, 38)
    assert (cropped[0] == still[rect.slices]).all()
    assert (cropped[1] == cropped[0]).all()


def test_exposures_with_nothing_in_common_leave_nothing():
    image = np.zeros((30, 40, 3), np.uint8)
    away = np.array([[1.0, 0, 100], [0, 1.0, 0], [0, 0, 1.0]])
    cropped, rect = crop_to_common([image, image], [Placement(), Placement(away, 100.0)])
    assert cropped == []
    assert (rect.height, rect.width) == (0, 0)
