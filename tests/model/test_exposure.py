import dataclasses
import pickle
import subprocess
import sys

import numpy as np
import pytest

from model.errors import ExposureError
from model.exposure import IDENTITY, MIN_SIDE_PX, AlignmentReport, ExposureStack


def flat(level, dtype=np.uint8, size=(20, 24)):
    return np.full((*size, 3), level, dtype)


def test_the_darker_image_comes_first():
    pair = ExposureStack.from_images([flat(40), flat(200)])
    assert (pair.darkest.max(), pair.brightest.max(), pair.is_reordered) == (40, 200, False)


def test_a_swapped_pair_is_put_right_and_says_so():
    pair = ExposureStack.from_images([flat(200), flat(40)])
    assert (pair.darkest.max(), pair.brightest.max(), pair.is_reordered) == (40, 200, True)


def test_images_of_equal_mean_keep_their_order():
    first, second = flat(100), flat(100)
    pair = ExposureStack.from_images([first, second])
    assert np.shares_memory(pair.darkest, first)
    assert np.shares_memory(pair.brightest, second)
    assert not pair.is_reordered


def test_nothing_is_copied_where_nothing_changes():
    first, second = flat(10, np.uint16), flat(60_000, np.uint16)
    pair = ExposureStack.from_images([second, first])
    assert np.shares_memory(pair.darkest, first)
    assert np.shares_memory(pair.brightest, second)


def test_a_strided_image_becomes_contiguous():
    wide = np.zeros((20, 48, 3), np.uint8)
    wide[:, ::2] = 9
    pair = ExposureStack.from_images([wide[:, ::2], flat(200)])
    assert pair.darkest.flags.c_contiguous
    assert (pair.darkest == 9).all()


@pytest.mark.parametrize("is_first_narrow", [True, False])
def test_uint8_next_to_uint16_is_brought_to_uint16_at_full_scale(is_first_narrow):
    narrow, wide = flat(255), flat(1_000, np.uint16)
    images = (narrow, wide) if is_first_narrow else (wide, narrow)
    pair = ExposureStack.from_images(images)
    assert pair.darkest.dtype == pair.brightest.dtype == np.uint16
    assert (pair.darkest.max(), pair.brightest.max()) == (1_000, 65_535)
    assert pair.is_reordered is is_first_narrow


def test_brightness_is_compared_after_the_depths_are_made_equal():
    pair = ExposureStack.from_images([flat(100), flat(200, np.uint16)])
    assert pair.is_reordered
    assert pair.darkest.max() == 200


def test_height_and_width_are_in_this_order():
    pair = ExposureStack.from_images([flat(1, size=(16, 31)), flat(2, size=(16, 31))])
    assert (pair.height, pair.width) == (16, 31)


def test_a_stack_is_ordered_by_what_it_shows_and_not_as_it_was_sent():
    levels = (120, 40, 250, 80, 10)
    stack = ExposureStack.from_images([flat(level) for level in levels])
    assert [int(one.max()) for one in stack.exposures] == sorted(levels)
    assert stack.order == (4, 1, 3, 0, 2)
    assert stack.is_reordered
    assert (stack.darkest.max(), stack.brightest.max(), len(stack)) == (10, 250, 5)


def test_exposures_of_equal_mean_keep_their_order_in_a_stack():
    images = [flat(100), flat(50), flat(100), flat(50), flat(100)]
    stack = ExposureStack.from_images(images)
    assert stack.order == (1, 3, 0, 2, 4)
    for place, index in enumerate(stack.order):
        assert np.shares_memory(stack.exposures[place], images[index])


def test_one_exposure_of_16_bits_brings_a_whole_stack_to_16():
    stack = ExposureStack.from_images([flat(255), flat(1_000, np.uint16), flat(100)])
    assert {one.dtype for one in stack.exposures} == {np.dtype(np.uint16)}
    assert [int(one.max()) for one in stack.exposures] == [1_000, 25_700, 65_535]
    assert stack.order == (1, 2, 0)


@pytest.mark.parametrize("count", [2, 9])
def test_two_to_nine_exposures_are_a_stack(count):
    assert len(ExposureStack.from_images([flat(9)] * count)) == count


@pytest.mark.parametrize("count", [0, 1, 10])
def test_another_number_of_exposures_is_refused(count):
    with pytest.raises(ExposureError, match=f"expected 2 to 9 exposures, got {count}"):
        ExposureStack.from_images([flat(9)] * count)


def test_sizes_of_a_stack_are_named_as_they_were_sent():
    with pytest.raises(ExposureError, match="24x20, 26x20 and 24x40"):
        ExposureStack.from_images([flat(200), flat(1, size=(20, 26)), flat(3, size=(40, 24))])


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((20, 24), np.uint8),
        np.zeros((20, 24, 4), np.uint8),
        np.zeros((20, 24, 3), np.float32),
        np.zeros((20, 24, 3), np.int16),
    ],
    ids=["grey", "alpha", "float", "signed"],
)
def test_what_is_not_rgb_of_unsigned_integers_is_refused(image):
    with pytest.raises(ExposureError, match="exposure 1 as"):
        ExposureStack.from_images([image, flat(1)])
    with pytest.raises(ExposureError, match="exposure 2 as"):
        ExposureStack.from_images([flat(1), image])


def test_different_sizes_are_refused_with_both_sizes_named():
    with pytest.raises(ExposureError, match="24x20 and 30x20"):
        ExposureStack.from_images([flat(1), flat(1, size=(20, 30))])


@pytest.mark.parametrize("size", [(MIN_SIDE_PX - 1, 40), (40, MIN_SIDE_PX - 1), (0, 0)])
def test_a_side_below_the_least_is_refused(size):
    with pytest.raises(ExposureError, match="at least 16 pixels"):
        ExposureStack.from_images([flat(1, size=size), flat(2, size=size)])


def test_the_least_side_is_taken():
    size = (MIN_SIDE_PX, MIN_SIDE_PX)
    pair = ExposureStack.from_images([flat(1, size=size), flat(2, size=size)])
    assert pair.height == pair.width == MIN_SIDE_PX


def test_a_report_is_frozen_and_crosses_processes():
    report = AlignmentReport("identity", IDENTITY, 0, 0.0, 0.0, "few_matches")
    assert pickle.loads(pickle.dumps(report)) == report
    with pytest.raises(dataclasses.FrozenInstanceError):
        report.refused = None


def test_exposure_loads_neither_torch_nor_opencv():
    check = "import sys, model.exposure; print('torch' in sys.modules, 'cv2' in sys.modules)"
    answer = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True)
    assert answer.stdout.split() == ["False", "False"], answer.stderr
