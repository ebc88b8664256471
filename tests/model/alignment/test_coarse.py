import cv2
import numpy as np
import pytest

from model.alignment.coarse import match_tiles
from model.alignment.patches import frame_corners, map_points
from model.alignment.view import FIRST_LOOK, ExposureView, Look
from tests.model.alignment.test_estimate import MARGIN, expose, make_scene, turn

WIDTH, HEIGHT = 640, 480
MOTIONS = {
    "still": turn(),
    "large shift": turn(shift=(48.0, -40.0), width=WIDTH, height=HEIGHT),
    "turn": turn(degrees=5.0, width=WIDTH, height=HEIGHT),
    "turn the other way": turn(degrees=-3.0, width=WIDTH, height=HEIGHT),
    "perspective": turn(perspective=(4e-5, -5e-5), width=WIDTH, height=HEIGHT),
    "all": turn(2.2, (30.0, 14.0), (3e-5, 2e-5), width=WIDTH, height=HEIGHT),
}


def view_pair(motion, seed=0):
    scene = make_scene(seed, WIDTH, HEIGHT)
    return ExposureView(expose(scene, 0.08, homography=motion)), ExposureView(expose(scene, 0.8))


def corner_error_px(found, truth, width=WIDTH, height=HEIGHT):
    corners = frame_corners(width, height)
    return np.linalg.norm(map_points(found, corners) - map_points(truth, corners), axis=1).max()


@pytest.mark.parametrize("motion", MOTIONS)
def test_tiles_find_a_hand_s_motion_within_the_reach_of_patches(motion):
    matches = match_tiles(*view_pair(MOTIONS[motion]))
    assert len(matches.moving_points) > 20
    assert corner_error_px(matches.fit(FIRST_LOOK, "homography"), MOTIONS[motion]) < 4.0


def test_a_similarity_of_tiles_has_no_perspective():
    found = match_tiles(*view_pair(MOTIONS["all"])).fit(FIRST_LOOK, "similarity")
    assert found[2].tolist() == [0.0, 0.0, 1.0]
    assert found[0, 0] == pytest.approx(found[1, 1])
    assert found[0, 1] == pytest.approx(-found[1, 0])


def test_a_coarser_look_has_the_same_motion_on_fewer_pixels():
    matches = match_tiles(*view_pair(MOTIONS["large shift"]))
    whole = matches.fit(FIRST_LOOK, "homography")
    half = matches.fit(Look(1), "homography")
    points = np.array([[10.0, 20.0], [300.0, 200.0]])
    np.testing.assert_allclose(
        map_points(half, points), (map_points(whole, 2 * points + 0.5) - 0.5) / 2, atol=1e-6
    )


@pytest.mark.parametrize("levels", [(0, 0), (0, 255), (255, 255), (40, 200)])
@pytest.mark.parametrize("size", [(16, 16), (63, 200), (64, 64), (300, 400)])
def test_exposures_without_structure_match_no_tiles(size, levels):
    first, second = (ExposureView(np.full((*size, 3), level, np.uint8)) for level in levels)
    matches = match_tiles(first, second)
    assert len(matches.moving_points) == len(matches.fixed_points) == 0
    assert matches.fit(FIRST_LOOK, "homography") is None


def test_different_scenes_agree_on_no_motion():
    first = ExposureView(expose(make_scene(1, WIDTH, HEIGHT), 0.3))
    second = ExposureView(expose(make_scene(2, WIDTH, HEIGHT), 0.8))
    assert len(match_tiles(first, second).moving_points) < 8


def test_two_motions_are_not_bent_into_one():
    """Two thirds of the picture moved by nine pixels: a shear would pass through both parts."""
    scene = make_scene(3, WIDTH, HEIGHT)
    shift = turn(shift=(9.0, 0.0), width=WIDTH, height=HEIGHT)
    under, over = expose(scene, 0.08), expose(scene, 0.8)
    rows = int(0.7 * HEIGHT)
    under[:rows] = expose(scene, 0.08, homography=shift)[:rows]
    found = match_tiles(ExposureView(under), ExposureView(over)).fit(FIRST_LOOK, "homography")
    upper = np.array([[100.0, 60.0], [500.0, 60.0], [300.0, 250.0]])
    np.testing.assert_allclose(map_points(found, upper), upper + np.array([9.0, 0.0]), atol=0.6)


def test_large_exposures_are_matched_on_a_proxy():
    """Odd sides: the proxies are halved without the last row and column."""
    scene = make_scene(0, WIDTH, HEIGHT)
    motion = turn(1.5, (8.0, -6.0), width=WIDTH, height=HEIGHT)
    grow = np.array([[4.0, 0.0, 1.5], [0.0, 4.0, 1.5], [0.0, 0.0, 1.0]])
    size = (4 * WIDTH + 1, 4 * HEIGHT + 3)
    moving, fixed = (
        ExposureView(cv2.warpPerspective(image, grow, size, borderMode=cv2.BORDER_REPLICATE))
        for image in (expose(scene, 0.08, homography=motion), expose(scene, 0.8))
    )
    assert fixed.proxy().shape == ((4 * HEIGHT + 3) // 2, (4 * WIDTH + 1) // 2)
    assert fixed.proxy_frame() == (4 * WIDTH, 4 * HEIGHT + 2)
    found = match_tiles(moving, fixed).fit(FIRST_LOOK, "homography")
    half = np.array([[2.0, 0.0, 0.5], [0.0, 2.0, 0.5], [0.0, 0.0, 1.0]])
    truth = half @ motion @ np.linalg.inv(half)
    assert corner_error_px(found, truth, 2 * WIDTH, 2 * HEIGHT) < 8.0


def test_the_scene_is_wider_than_the_largest_motion():
    assert max(np.abs(MOTIONS["large shift"][:2, 2])) < MARGIN
