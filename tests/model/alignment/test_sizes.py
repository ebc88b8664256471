import cv2
import numpy as np
import pytest

from model.alignment.patches import frame_corners, map_points
from model.alignment.sizes import bring_to_size
from model.errors import ExposureError
from tests.model.alignment.test_estimate import expose, make_scene, turn

WIDTH, HEIGHT = 640, 480
SCENE = make_scene(2, WIDTH, HEIGHT)


def corner_error_px(homography, truth, shape):
    corners = frame_corners(shape[1], shape[0])
    found = map_points(np.reshape(homography, (3, 3)), corners)
    return np.linalg.norm(found - map_points(truth, corners), axis=1).max()


@pytest.mark.parametrize(("top", "left", "lost"), [(1, 2, 4), (3, 0, 6), (0, 7, 14)])
def test_an_exposure_that_lost_a_few_pixels_is_found(top, left, lost):
    under, over = expose(SCENE, 0.1), expose(SCENE, 0.8)
    part = under[top : HEIGHT - lost + top, left : WIDTH - lost + left]
    placed = bring_to_size(part, over)
    assert placed.pixels.shape == over.shape
    truth = np.array([[1.0, 0.0, left], [0.0, 1.0, top], [0.0, 0.0, 1.0]])
    assert corner_error_px(placed.report.homography, truth, part.shape) < 0.5
    inner = np.s_[20:-20, 20:-20]
    assert np.abs(placed.pixels[inner].astype(int) - under[inner]).mean() < 2.0


@pytest.mark.parametrize("scale", [0.5, 0.75, 1.5, 2.0])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_an_exposure_of_another_scale_is_found_with_its_motion(scale, dtype):
    motion = turn(0.5, (6.0, -4.0), width=WIDTH, height=HEIGHT)
    under, over = expose(SCENE, 0.1, dtype, motion), expose(SCENE, 0.8, dtype)
    kernel = cv2.INTER_AREA if scale < 1.0 else cv2.INTER_CUBIC
    scaled = cv2.resize(under, None, fx=scale, fy=scale, interpolation=kernel)
    placed = bring_to_size(scaled, over)
    grow, offset = 1.0 / scale, (1.0 / scale - 1.0) / 2.0
    truth = motion @ np.array([[grow, 0.0, offset], [0.0, grow, offset], [0.0, 0.0, 1.0]])
    assert placed.pixels.shape == over.shape
    assert placed.pixels.dtype == dtype
    assert placed.report.model == "homography"
    assert corner_error_px(placed.report.homography, truth, scaled.shape) < 1.0
    still = expose(SCENE, 0.1, dtype)
    inner = np.s_[20:-20, 20:-20]
    unit = np.iinfo(dtype).max / 255
    assert np.abs(placed.pixels[inner].astype(float) - still[inner]).mean() < 6.0 * unit


@pytest.mark.parametrize("seed", [11, 12])
def test_another_scene_of_another_size_is_refused(seed):
    other = expose(make_scene(seed, WIDTH // 2, HEIGHT // 2), 0.3)
    with pytest.raises(ExposureError, match="320x240 and 640x480"):
        bring_to_size(other, expose(SCENE, 0.8))


@pytest.mark.parametrize("level", [0, 255])
def test_a_frame_that_shows_nothing_is_refused(level):
    with pytest.raises(ExposureError, match="nothing matches"):
        bring_to_size(np.full((100, 90, 3), level, np.uint8), expose(SCENE, 0.8))
