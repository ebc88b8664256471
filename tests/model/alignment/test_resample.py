import cv2
import numpy as np
import pytest

import model.alignment.resample as module
from model.alignment.resample import resample
from model.geometry import stretch

RNG = np.random.default_rng(0)


def run(image, homography, height, width):
    out = np.empty((height, width, 3), image.dtype)
    resample(image, np.array(homography, np.float64), out)
    return out


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_the_identity_and_a_shift_by_whole_pixels_keep_pixels_and_repeat_the_edge(dtype):
    image = RNG.integers(0, np.iinfo(dtype).max, (37, 53, 3), dtype, endpoint=True)
    np.testing.assert_array_equal(run(image, np.eye(3), 37, 53), image)
    shifted = run(image, [[1, 0, 3], [0, 1, -2], [0, 0, 1]], 37, 53)
    np.testing.assert_array_equal(shifted[:35, 3:], image[2:, :50])
    np.testing.assert_array_equal(shifted[:35, :3], np.repeat(image[2:, :1], 3, axis=1))
    np.testing.assert_array_equal(shifted[35:, 3:], np.repeat(image[-1:, :50], 2, axis=0))


@pytest.mark.parametrize("times", [2, 3, 7])
def test_a_whole_reduction_is_the_mean_of_its_pixels(times):
    image = RNG.integers(0, 65536, (13 * times, 17 * times, 3), np.uint16)
    found = run(image, stretch((17 * times, 13 * times), (17, 13)), 13, 17)
    mean = image.reshape(13, times, 17, times, 3).mean(axis=(1, 3))
    # of seven pixels every sixth place is sampled, and interpolated
    assert np.abs(found - mean).max() <= (1 if times < 4 else 2000)


def test_a_fine_pattern_does_not_come_back_as_a_coarse_one():
    stripes = np.zeros((300, 300, 3), np.uint8)
    stripes[:, ::2] = 255
    reduced = run(stripes, stretch((300, 300), (140, 140)), 140, 140)
    assert reduced[5:-5, 5:-5].std() < 12
    assert cv2.resize(stripes, (140, 140), interpolation=cv2.INTER_CUBIC).std() > 60


@pytest.mark.parametrize("size", [(90, 120), (45, 60), (180, 240)])
def test_blocks_leave_no_trace(size, monkeypatch):
    y, x = np.mgrid[:90, :120]
    smooth = np.stack([np.sin(x / 9) * np.cos(y / 11), np.sin((x + y) / 13), np.cos(x / 7)], -1)
    image = np.rint((0.5 + 0.4 * smooth) * 65535).astype(np.uint16)
    turned = np.array([[0.99, 0.05, 2.3], [-0.04, 1.01, -1.7], [1e-5, 2e-5, 1.0]])
    homography = stretch((120, 90), size[::-1]) @ turned
    whole = run(image, homography, *size)
    monkeypatch.setattr(module, "BLOCK_PX", 32)
    blocks = run(image, homography, *size)
    # places are rounded to a 32nd of a pixel, from each block's own origin
    assert np.abs(whole.astype(int) - blocks).max() <= 65535 * 0.01


def test_a_source_wider_than_opencv_remaps_is_resampled():
    image = np.repeat(np.arange(40_000, dtype=np.uint16)[None, :, None], 20, 0).repeat(3, 2)
    found = run(image, stretch((40_000, 20), (20_000, 10)), 10, 20_000)
    assert np.abs(found[0, 10:-10, 0] - (2 * np.arange(10, 19_990) + 0.5)).max() <= 1
