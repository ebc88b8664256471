"""Cuts and correlates patches by compiled code and by the definitions, on every machine's code."""

import cv2
import numpy as np
import pytest

from model.alignment.correlation import correlate_patches, cut_patches

pytestmark = pytest.mark.usefixtures("each_library")

TILTED = np.array([[1.01, 0.02, 3.3], [-0.015, 0.99, -2.7], [1e-4, -2e-4, 1.0]])
ROUNDED_PLACES = 2e-4


def noise(*shape, seed=0):
    return np.random.default_rng(seed).random(shape, dtype=np.float32)


def correlate_by_definition(patches, windows):
    places = windows.shape[1] - patches.shape[1] + 1
    scores = np.zeros((len(patches), places, places))
    for n, (patch, window) in enumerate(zip(patches, windows, strict=True)):
        p = patch.astype(np.float64) - patch.mean(dtype=np.float64)
        for y in range(places):
            for x in range(places):
                w = window[y : y + len(p), x : x + len(p)].astype(np.float64)
                w = w - w.mean()
                energies = (p**2).sum() * (w**2).sum()
                scores[n, y, x] = (p * w).sum() / np.sqrt(energies) if energies > 1e-9 else 0
    return scores


@pytest.mark.parametrize(("side", "places"), [(1, 1), (2, 3), (5, 1), (8, 9), (25, 5), (25, 17)])
def test_scores_are_normalised_cross_correlations(side, places):
    windows = noise(4, side + places - 1, side + places - 1)
    patches = noise(4, side, side, seed=1)
    windows[1] = 0.25
    scores, contrast = correlate_patches(patches, windows)
    np.testing.assert_allclose(scores, correlate_by_definition(patches, windows), atol=2e-6)
    expected = np.minimum(patches.std(axis=(1, 2)), windows.std(axis=(1, 2)))
    np.testing.assert_allclose(contrast, expected, atol=1e-6)


def test_no_patches_have_no_scores():
    assert correlate_patches(noise(0, 25, 25), noise(0, 29, 29)).scores.shape == (0, 5, 5)


def test_windows_smaller_than_patches_are_refused():
    with pytest.raises(ValueError, match="windows larger than patches"):
        correlate_patches(noise(2, 25, 25), noise(2, 24, 24))


@pytest.mark.parametrize("to_source", [np.eye(3), TILTED, TILTED @ np.diag([1.0, 1.0, 0.5])])
def test_patches_are_those_that_opencv_samples(to_source):
    height, width, radius = 60, 90, 12
    picture = noise(height, width)
    rng = np.random.default_rng(3)
    centres = np.stack([rng.integers(0, width, 40), rng.integers(0, height, 40)], axis=1)
    patches = cut_patches(picture, to_source, centres, radius)
    side = np.arange(-radius, radius + 1)
    across, down = centres[:, 0, None, None] + side, centres[:, 1, None, None] + side[:, None]
    places = np.stack(np.broadcast_arrays(across, down, np.ones_like(across)), axis=-1)
    x, y, depth = np.moveaxis(places @ to_source.T, -1, 0)
    maps = [(one / depth).astype(np.float32).reshape(-1, len(side)) for one in (x, y)]
    expected = cv2.remap(picture, *maps, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    # it rounds places to single precision
    np.testing.assert_allclose(patches.reshape(expected.shape), expected, atol=ROUNDED_PLACES)


def test_places_far_outside_and_without_a_value_repeat_the_edge():
    picture = noise(20, 30)
    far = np.array([[1.0, 0.0, 1e12], [0.0, 1.0, -1e12], [0.0, 0.0, 1.0]])
    patch = cut_patches(picture, far, np.array([[15, 10]]), 2)
    np.testing.assert_allclose(patch, np.full((1, 5, 5), picture[0, -1]), rtol=1e-6)
    nothing = np.zeros((3, 3))
    patch = cut_patches(picture, nothing, np.array([[15, 10]]), 2)
    np.testing.assert_allclose(patch, np.full((1, 5, 5), picture[0, 0]), rtol=1e-6)
