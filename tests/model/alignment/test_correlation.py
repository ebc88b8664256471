import cv2
import numpy as np
import pytest

from model.alignment.correlation import correlate_patches, locate_patches, measure_deviations

SIDE = 25


def make_texture(seed, side):
    rng = np.random.default_rng(seed)
    noise = cv2.GaussianBlur(rng.standard_normal((side, side)), (0, 0), 1.5)
    return (0.5 + 0.2 * noise / noise.std()).astype(np.float32)


@pytest.mark.parametrize("reach", [2, 4, 8])
def test_scores_are_those_of_template_matching(reach):
    windows = np.stack([make_texture(seed, SIDE + 2 * reach) for seed in range(5)])
    patches = np.stack([make_texture(10 + seed, SIDE) for seed in range(5)])
    scores, _ = correlate_patches(patches, windows)
    expected = [
        cv2.matchTemplate(window, patch, cv2.TM_CCOEFF_NORMED)
        for window, patch in zip(windows, patches, strict=True)
    ]
    assert scores.shape == (5, 2 * reach + 1, 2 * reach + 1)
    np.testing.assert_allclose(scores, expected, atol=2e-4)


def test_scores_are_blind_to_gain_and_offset():
    windows = np.stack([make_texture(0, SIDE + 4)])
    patches = windows[:, 1 : SIDE + 1, 3 : SIDE + 3]
    scores, _ = correlate_patches(0.3 * patches + 0.1, windows)
    assert np.unravel_index(scores.argmax(), scores.shape) == (0, 1, 3)
    assert scores.max() == pytest.approx(1.0, abs=1e-4)


def test_a_window_without_contrast_scores_nothing():
    flat = np.full((1, SIDE + 4, SIDE + 4), 0.5, np.float32)
    assert not correlate_patches(make_texture(0, SIDE)[None], flat).scores.any()
    assert not correlate_patches(np.full((1, SIDE, SIDE), 0.2, np.float32), flat).scores.any()


def shift_texture(seed, x, y, reach):
    """A patch, and a window in which it lies off the middle."""
    whole = make_texture(seed, 2 * SIDE)
    middle, half = SIDE, SIDE // 2
    window = whole[middle - half - reach : middle + half + reach + 1]
    window = window[:, middle - half - reach : middle + half + reach + 1]
    moved = cv2.warpAffine(
        whole,
        np.array([[1.0, 0.0, -x], [0.0, 1.0, -y]]),
        (2 * SIDE, 2 * SIDE),
        flags=cv2.INTER_CUBIC,
    )
    patch = moved[middle - half : middle + half + 1, middle - half : middle + half + 1]
    return patch.astype(np.float32), window


def test_each_patch_is_located_to_a_fraction_of_a_pixel():
    shifts = [(0.0, 0.0), (1.0, -2.0), (0.4, 0.3), (-2.3, 1.6), (2.5, 2.5)]
    pairs = [shift_texture(seed, x, y, 4) for seed, (x, y) in enumerate(shifts)]
    patches, windows = (np.stack(stack) for stack in zip(*pairs, strict=True))
    is_found, offsets, information = locate_patches(correlate_patches(patches, windows))
    assert is_found.all()
    np.testing.assert_allclose(offsets, shifts, atol=0.12)
    assert (np.linalg.eigvalsh(information) > 0.0).all()


def test_what_is_flat_unlike_or_out_of_reach_is_not_found():
    good, window = shift_texture(0, 1.0, 1.0, 4)
    far, far_window = shift_texture(1, 6.0, 0.0, 4)
    flat = np.full_like(good, 0.5)
    patches = np.stack([flat, good, make_texture(9, SIDE), far, good])
    windows = np.stack([window, np.full_like(window, 0.5), window, far_window, window])
    is_found, offsets, information = locate_patches(correlate_patches(patches, windows))
    assert is_found.tolist() == [False, False, False, False, True]
    assert (offsets.shape, information.shape) == ((1, 2), (1, 2, 2))


def test_a_stripe_is_not_located_along_itself():
    stripes = np.tile(make_texture(0, SIDE + 4)[:1], (SIDE + 4, 1))[None]
    is_found, offsets, _ = locate_patches(correlate_patches(stripes[:, 2:-2, 2:-2], stripes))
    assert not is_found.any()
    assert len(offsets) == 0


def test_no_patches_are_no_error():
    nothing = np.empty((0, SIDE, SIDE), np.float32)
    windows = np.empty((0, SIDE + 4, SIDE + 4), np.float32)
    is_found, offsets, information = locate_patches(correlate_patches(nothing, windows))
    assert (len(is_found), len(offsets), len(information)) == (0, 0, 0)


def test_deviations_are_those_of_numpy():
    stack = np.random.default_rng(0).random((7, 9, 9), dtype=np.float32)
    np.testing.assert_allclose(measure_deviations(stack), stack.std(axis=(1, 2)), rtol=1e-5)
    assert measure_deviations(stack[:0]).shape == (0,)
