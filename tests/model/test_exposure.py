import dataclasses
import pickle
import subprocess
import sys

import numpy as np
import pytest

from model.errors import ExposureError
from model.exposure import IDENTITY, MIN_SIDE_PX, AlignmentReport, ExposurePair


def flat(level, dtype=np.uint8, size=(20, 24)):
    return np.full((*size, 3), level, dtype)


def test_the_darker_image_comes_first():
    pair = ExposurePair.from_images(flat(40), flat(200))
    assert (pair.under.max(), pair.over.max(), pair.is_swapped) == (40, 200, False)


def test_a_swapped_pair_is_put_right_and_says_so():
    pair = ExposurePair.from_images(flat(200), flat(40))
    assert (pair.under.max(), pair.over.max(), pair.is_swapped) == (40, 200, True)


def test_images_of_equal_mean_keep_their_order():
    first, second = flat(100), flat(100)
    pair = ExposurePair.from_images(first, second)
    assert np.shares_memory(pair.under, first)
    assert np.shares_memory(pair.over, second)
    assert not pair.is_swapped


def test_nothing_is_copied_where_nothing_changes():
    first, second = flat(10, np.uint16), flat(60_000, np.uint16)
    pair = ExposurePair.from_images(second, first)
    assert np.shares_memory(pair.under, first)
    assert np.shares_memory(pair.over, second)


def test_a_strided_image_becomes_contiguous():
    wide = np.zeros((20, 48, 3), np.uint8)
    wide[:, ::2] = 9
    pair = ExposurePair.from_images(wide[:, ::2], flat(200))
    assert pair.under.flags.c_contiguous
    assert (pair.under == 9).all()


@pytest.mark.parametrize("is_first_narrow", [True, False])
def test_uint8_next_to_uint16_is_brought_to_uint16_at_full_scale(is_first_narrow):
    narrow, wide = flat(255), flat(1_000, np.uint16)
    images = (narrow, wide) if is_first_narrow else (wide, narrow)
    pair = ExposurePair.from_images(*images)
    assert pair.under.dtype == pair.over.dtype == np.uint16
    assert (pair.under.max(), pair.over.max()) == (1_000, 65_535)
    assert pair.is_swapped is is_first_narrow


def test_brightness_is_compared_after_the_depths_are_made_equal():
    pair = ExposurePair.from_images(flat(100), flat(200, np.uint16))
    assert pair.is_swapped
    assert pair.under.max() == 200


def test_height_and_width_are_in_this_order():
    pair = ExposurePair.from_images(flat(1, size=(16, 31)), flat(2, size=(16, 31)))
    assert (pair.height, pair.width) == (16, 31)


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
    with pytest.raises(ExposureError, match="the first image"):
        ExposurePair.from_images(image, flat(1))
    with pytest.raises(ExposureError, match="the second image"):
        ExposurePair.from_images(flat(1), image)


def test_different_sizes_are_refused_with_both_sizes_named():
    with pytest.raises(ExposureError, match="24x20 and 30x20"):
        ExposurePair.from_images(flat(1), flat(1, size=(20, 30)))


@pytest.mark.parametrize("size", [(MIN_SIDE_PX - 1, 40), (40, MIN_SIDE_PX - 1), (0, 0)])
def test_a_side_below_the_least_is_refused(size):
    with pytest.raises(ExposureError, match="at least 16 pixels"):
        ExposurePair.from_images(flat(1, size=size), flat(2, size=size))


def test_the_least_side_is_taken():
    size = (MIN_SIDE_PX, MIN_SIDE_PX)
    pair = ExposurePair.from_images(flat(1, size=size), flat(2, size=size))
    assert pair.height == pair.width == MIN_SIDE_PX


def test_a_report_is_frozen_and_crosses_processes():
    report = AlignmentReport("identity", IDENTITY, 0, 0.0, 0.0, "few_matches", "over")
    assert pickle.loads(pickle.dumps(report)) == report
    with pytest.raises(dataclasses.FrozenInstanceError):
        report.refused = None


def test_exposure_loads_neither_torch_nor_opencv():
    check = "import sys, model.exposure; print('torch' in sys.modules, 'cv2' in sys.modules)"
    answer = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True)
    assert answer.stdout.split() == ["False", "False"], answer.stderr
