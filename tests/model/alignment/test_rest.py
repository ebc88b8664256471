import cv2
import numpy as np
import pytest

from model.alignment.estimate import align_exposure
from model.alignment.rest import MIN_TILES, TileMotion, measure_tiles
from model.alignment.view import ExposureView
from model.exposure import ExposureStack
from tests.model.alignment.test_estimate import HEIGHT, MARGIN, WIDTH, expose, make_scene, turn

LARGE = (640, 480)


def measure(moving, fixed):
    return measure_tiles(ExposureView(moving), ExposureView(fixed))


def expose_large(seed, gain, homography=None, dtype=np.uint8):
    return expose(make_scene(seed, *LARGE), gain, dtype, homography)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_exposures_of_a_still_scene_are_at_rest(dtype):
    tiles = measure(expose_large(0, 0.08, dtype=dtype), expose_large(0, 0.8, dtype=dtype))
    assert len(tiles.centres) > 30
    assert tiles.rest_share > 0.95
    assert tiles.is_at_rest()
    assert tiles.corner_shift_px(*LARGE) < 0.2


@pytest.mark.parametrize("shift", [(1.4, 0.0), (-6.3, 9.2), (12.0, -15.0)])
def test_a_shift_is_measured_by_its_tiles(shift):
    moving = expose_large(0, 0.08, turn(shift=shift, width=LARGE[0], height=LARGE[1]))
    tiles = measure(moving, expose_large(0, 0.8))
    np.testing.assert_allclose(np.median(tiles.shifts_px, axis=0), shift, atol=0.3)
    assert not tiles.is_at_rest()


def test_a_turn_of_the_camera_is_not_at_rest():
    moving = expose_large(0, 0.08, turn(degrees=0.5, width=LARGE[0], height=LARGE[1]))
    assert not measure(moving, expose_large(0, 0.8)).is_at_rest()


def test_large_exposures_are_measured_in_full_size_pixels():
    grown = [
        cv2.resize(image, None, fx=4, fy=4, interpolation=cv2.INTER_CUBIC)
        for image in (
            expose_large(0, 0.08, turn(shift=(2.0, -1.0), width=LARGE[0], height=LARGE[1])),
            expose_large(0, 0.8),
        )
    ]
    tiles = measure(*grown)
    np.testing.assert_allclose(np.median(tiles.shifts_px, axis=0), (8.0, -4.0), atol=0.5)
    assert tiles.limit_px > 0.5


@pytest.mark.parametrize("levels", [(0, 0), (0, 255), (255, 255), (40, 200)])
@pytest.mark.parametrize("size", [(16, 16), (16, 500), (63, 64), (64, 64), (65, 66), (300, 400)])
def test_exposures_without_structure_have_no_tiles(size, levels):
    first, second = (np.full((*size, 3), level, np.uint8) for level in levels)
    tiles = measure(first, second)
    assert len(tiles.centres) == 0
    assert not tiles.is_at_rest()
    assert not tiles.is_torn_by(turn(shift=(9.0, 0.0)))


@pytest.mark.parametrize("size", [(16, 16), (40, 300), (63, 64), (65, 64), (70, 66)])
def test_exposures_smaller_than_a_tile_do_not_raise(size):
    noise = np.random.default_rng(0).integers(0, 120, (*size, 3)).astype(np.uint8)
    assert not measure(noise, noise * 2).is_at_rest()


def test_different_scenes_are_not_at_rest():
    assert not measure(expose_large(1, 0.3), expose_large(2, 0.8)).is_at_rest(share=0.2)


def make_tiles(shifts):
    across, down = np.meshgrid(np.linspace(50, 590, 8), np.linspace(50, 430, 6))
    centres = np.stack([across.ravel(), down.ravel()], axis=1)
    return TileMotion(centres, np.asarray(shifts(centres), np.float64), 0.5)


def test_a_homography_that_moves_what_is_at_rest_tears_it():
    still = make_tiles(np.zeros_like)
    assert still.is_torn_by(turn(shift=(3.0, 0.0)))
    assert not still.is_torn_by(np.eye(3))
    assert not still.is_torn_by(turn(shift=(0.4, 0.0)))


def test_a_homography_that_moves_what_moved_tears_nothing():
    moved = make_tiles(lambda centres: np.full_like(centres, 3.0))
    assert not moved.is_torn_by(turn(shift=(3.0, 3.0)))


def test_a_few_tiles_at_rest_do_not_hold_a_camera_that_moved():
    def shifts(centres):
        found = np.full_like(centres, 3.0)
        found[: MIN_TILES // 2 - 1] = 0.0
        return found

    assert not make_tiles(shifts).is_torn_by(turn(shift=(3.0, 3.0)))


def drift(scene_seed, cloud_seed, shift, share):
    """A still scene over whose upper part a textured layer drifts."""
    pictures = []
    for gain, moved in ((0.08, shift), (0.8, 0)):
        picture = expose_large(scene_seed, gain)
        cloud = expose(make_scene(cloud_seed, LARGE[0] + 60, LARGE[1]), gain)
        rows = int(share * LARGE[1])
        picture[:rows] = cloud[:rows, 20 + moved : 20 + moved + LARGE[0]]
        pictures.append(picture)
    return ExposureStack.from_images(pictures)


@pytest.mark.parametrize(("shift", "share"), [(4, 0.4), (9, 0.4), (9, 0.55), (9, 0.7)])
def test_a_drifting_cloud_does_not_pull_the_still_horizon_along(shift, share):
    report = align_exposure(*drift(3, 4, shift, share).exposures)
    assert report.model == "identity"
    assert report.refused is None
    assert report.inliers >= MIN_TILES


def test_a_pair_at_rest_is_never_searched_for_keypoints(monkeypatch):
    monkeypatch.setattr(
        ExposureView, "keypoints", lambda *_: pytest.fail("keypoints of a pair at rest")
    )
    scene = make_scene(0, *LARGE)
    report = align_exposure(
        *ExposureStack.from_images([expose(scene, 0.08), expose(scene, 0.8)]).exposures
    )
    assert (report.model, report.refused) == ("identity", None)


def test_the_margins_of_the_scene_are_what_the_tests_suppose():
    assert make_scene().shape == (HEIGHT + 2 * MARGIN, WIDTH + 2 * MARGIN)
