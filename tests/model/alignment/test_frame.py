from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from model.alignment.frame import common_frame, common_rectangle
from model.exposure import IDENTITY, AlignmentReport
from model.geometry import stretch
from model.tiling import Rect

STILL = AlignmentReport("identity", IDENTITY, 9, 1.0, 0.0, None)


def shift_by(x, y):
    return replace(STILL, model="homography", homography=(1.0, 0.0, x, 0.0, 1.0, y, 0.0, 0.0, 1.0))


def is_rectangle_inside(rect, inverse, height, width):
    rows, columns = np.mgrid[rect.top : rect.bottom, rect.left : rect.right]
    x, y, depth = (row[0] * columns + row[1] * rows + row[2] for row in inverse)
    x, y = x / depth, y / depth
    return bool(((x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)).all())


@pytest.mark.parametrize(
    "reports", [[], [None], [None, STILL], [replace(STILL, refused="uncertain")]]
)
def test_exposures_that_stay_share_the_whole_frame(reports):
    assert common_frame(reports, 30, 40) == Rect(0, 0, 30, 40)


def test_the_frame_of_two_shifts_is_what_both_cover():
    frame = common_frame([shift_by(3.0, -2.0), None, shift_by(-4.5, 0.0)], 30, 40)
    assert frame == Rect(top=0, left=3, height=28, width=32)


def test_exposures_with_nothing_in_common_have_an_empty_frame():
    assert common_frame([shift_by(30.0, 0.0), shift_by(-30.0, 0.0)], 30, 40) == Rect(0, 0, 0, 0)


@pytest.mark.parametrize("own_size", [(20, 15), (40, 30), (80, 60), (57, 43)])
def test_an_exposure_of_any_size_that_fills_the_frame_covers_it(own_size):
    homography = tuple(stretch(own_size, (40, 30)).ravel().tolist())
    report = replace(STILL, model="homography", homography=homography, own_size=own_size)
    assert common_frame([report, None], 30, 40) == Rect(0, 0, 30, 40)


def test_an_exposure_of_fewer_pixels_covers_those():
    report = replace(shift_by(2.0, 1.0), own_size=(37, 28))
    assert common_frame([report, None], 30, 40) == Rect(top=1, left=2, height=28, width=37)


def test_an_exposure_of_half_the_size_that_moved_covers_what_is_left_of_it():
    # own pixel x is reference pixels 2x + 6 and 2x + 7
    homography = (2.0, 0.0, 6.5, 0.0, 2.0, 0.5, 0.0, 0.0, 1.0)
    report = replace(STILL, model="homography", homography=homography, own_size=(20, 15))
    assert common_frame([report], 30, 40) == Rect(top=0, left=6, height=30, width=34)


def test_a_whole_shift_keeps_its_border_pixels_whatever_the_rounding():
    for x, y in product(range(-7, 8), repeat=2):
        frame = common_frame([shift_by(float(x), float(y))], 30, 40)
        assert (frame.height, frame.width) == (30 - abs(y), 40 - abs(x))


@pytest.mark.parametrize("seed", range(4))
def test_the_common_rectangle_is_the_largest_of_all(seed):
    height, width = 9, 12
    rng = np.random.default_rng(seed)
    inverses = []
    for _ in range(2):
        angle, (x, y) = rng.uniform(-0.2, 0.2), rng.uniform(-2, 2, 2)
        cosine, sine = np.cos(angle), np.sin(angle)
        tilt = rng.uniform(-0.004, 0.004, 2)
        inverses.append(np.array([[cosine, -sine, x], [sine, cosine, y], [*tilt, 1.0]]))
    found = common_rectangle(inverses, height, width)
    areas = [
        rectangle.height * rectangle.width
        for rectangle in all_rectangles(height, width)
        if all(is_rectangle_inside(rectangle, one, height, width) for one in inverses)
    ]
    assert all(is_rectangle_inside(found, one, height, width) for one in inverses)
    assert found.height * found.width == max(areas)


def all_rectangles(height, width):
    for top in range(height):
        for bottom in range(top + 1, height + 1):
            for left in range(width):
                for right in range(left + 1, width + 1):
                    yield Rect(top, left, bottom - top, right - left)
