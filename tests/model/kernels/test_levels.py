"""Compiled counts of levels, and ranks read off them, equal OpenCV and NumPy to the bit."""

import cv2
import numpy as np
import pytest

from model.ghosts.kernels import count_brightest, count_levels, count_shown, read_ranks

SIZES = [(1, 1), (1, 9), (7, 5), (40, 61)]
pytestmark = pytest.mark.usefixtures("each_library")


@pytest.fixture
def rng():
    return np.random.default_rng(11)


def make_pictures(rng, size):
    pictures = rng.integers(0, 256, (2, *size, 3)).astype(np.uint8)
    pictures[0, : size[0] // 2] = 255
    return pictures


@pytest.mark.parametrize("is_kept", [False, True])
@pytest.mark.parametrize("size", SIZES)
def test_joint_histograms_are_those_of_opencv(rng, size, is_kept):
    source, target = make_pictures(rng, size)
    keep = rng.integers(0, 2, size).astype(np.uint8) if is_kept else None
    counts = count_levels(source, target, keep)
    for channel, count in enumerate(counts):
        expected = cv2.calcHist(
            [source, target], [channel, 3 + channel], keep, [256, 256], [0, 256, 0, 256]
        )
        np.testing.assert_array_equal(count, expected)


def test_views_are_counted_as_their_copies(rng):
    source, target = make_pictures(rng, (20, 30))
    counts = count_levels(source[::2, ::-1], target[::2, ::-1], None)
    expected = count_levels(source[::2, ::-1].copy(), target[::2, ::-1].copy(), None)
    np.testing.assert_array_equal(counts, expected)


def test_pictures_of_other_sizes_are_refused(rng):
    source, target = make_pictures(rng, (20, 30))
    with pytest.raises(ValueError, match="one size"):
        count_levels(source, target[1:], None)
    with pytest.raises(ValueError, match="one size"):
        count_levels(source, target, np.ones((20, 31), np.uint8))


def find_quantile(row, share):
    """A rank between levels, by its definition: levels reach half a level to either side."""
    total = np.cumsum(row, dtype=np.float64)
    level = int((total >= share * total[-1]).argmax())
    return level, level - 0.5 + 1 - (total[level] - share * total[-1]) / row[level]


def test_ranks_are_read_as_they_are_defined(rng):
    counts = rng.poisson(0.05, (64, 256)).astype(np.uint32)
    counts[0] = 0
    counts[0, 255] = 2**31
    counts[1] = 0
    counts[1, 3] = 1
    counts[2] = 2**24
    counts = counts[counts.sum(axis=1) > 0]
    ranks = read_ranks(counts)
    np.testing.assert_array_equal(ranks.total, counts.sum(axis=1, dtype=np.uint64))
    for share, found in zip((0.25, 0.5, 0.75), ranks[1:4], strict=True):
        np.testing.assert_array_equal(found, [find_quantile(row, share)[1] for row in counts])
    np.testing.assert_array_equal(
        ranks.median_level, [find_quantile(row, 0.5)[0] for row in counts]
    )


def test_empty_rows_are_no_error():
    ranks = read_ranks(np.zeros((2, 256), np.uint32))
    assert np.isfinite(ranks).all()
    assert ranks.total.tolist() == [0, 0]
    assert read_ranks(np.zeros((0, 256), np.uint32)).total.shape == (0,)


@pytest.mark.parametrize("size", [*SIZES, (3, 257)])
@pytest.mark.parametrize("levels", [(31, 239), (0, 255), (255, 255), (9, 8)])
def test_pixels_are_counted_by_their_channels(rng, size, levels):
    picture, _ = make_pictures(rng, size)
    low, high = levels
    brightest = picture.max(axis=2)
    assert count_brightest(picture, low, high) == ((brightest >= low) & (brightest <= high)).sum()
    shown = ((picture >= low) & (picture <= high)).any(axis=2)
    assert count_shown(picture, low, high) == shown.sum()
