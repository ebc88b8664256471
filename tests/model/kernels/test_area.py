"""The compiled reduction by areas against OpenCV's, on sizes that share no factor."""

import cv2
import numpy as np
import pytest

from model.ghosts.kernels import reduce_area

pytestmark = pytest.mark.usefixtures("each_library")
SIZES = [
    ((1, 1), (1, 1)),
    ((7, 5), (7, 5)),
    ((9, 13), (1, 1)),
    ((40, 64), (20, 32)),
    ((41, 63), (20, 31)),
    ((40, 64), (33, 51)),
    ((90, 130), (17, 29)),
    ((91, 131), (17, 29)),
    ((300, 6), (100, 2)),
    ((2, 3000), (1, 701)),
]
"""Height and width, and those of the result."""


def make_picture(size, dtype):
    full = np.iinfo(dtype).max
    picture = np.random.default_rng(4).integers(0, full + 1, (*size, 3)).astype(dtype)
    picture[: size[0] // 3] = full
    return picture


def reduce_by_opencv(picture, size):
    height, width = picture.shape[:2]
    if height % 2 == 0 and width % 2 == 0 and 2 * size[0] <= width and 2 * size[1] <= height:
        picture = cv2.resize(picture, (width // 2, height // 2), interpolation=cv2.INTER_AREA)
    reduced = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    return np.rint(reduced / (np.iinfo(picture.dtype).max / 255))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize(("size", "target"), SIZES)
def test_means_of_areas_are_those_of_opencv_but_for_rounding(size, target, dtype):
    picture = make_picture(size, dtype)
    reduced = reduce_area(picture, target[::-1])
    assert (reduced.dtype, reduced.shape) == (np.uint8, (*target, 3))
    difference = np.abs(reduced - reduce_by_opencv(picture, target[::-1]))
    assert difference.max() <= 1
    # Sums that end on a half are rounded by the last bit of a float.
    assert (difference > 0).mean() < 0.01


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_window_is_reduced_as_its_copy(dtype):
    picture = make_picture((60, 80), dtype)
    for window in (picture[3:53, 7:77], picture[::-1, ::-1], picture[::2]):
        result, expected = (reduce_area(one, (21, 13)) for one in (window, window.copy()))
        np.testing.assert_array_equal(result, expected)


@pytest.mark.parametrize("level", [0, 1, 128, 255])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_what_has_one_level_keeps_it(level, dtype):
    flat = np.full((97, 61, 3), level * (np.iinfo(dtype).max // 255), dtype)
    np.testing.assert_array_equal(reduce_area(flat, (23, 41)), level)


@pytest.mark.parametrize("size", [(0, 4), (9, 4), (8, 5)])
def test_sizes_beyond_the_picture_are_refused(size):
    with pytest.raises(ValueError, match="expected a size within 8x4"):
        reduce_area(np.zeros((4, 8, 3), np.uint8), size)
