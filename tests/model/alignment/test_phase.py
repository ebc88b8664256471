import cv2
import numpy as np
import pytest

from model.alignment.phase import MIN_PEAK, WHITENING, correlate_tiles, cross_spectrum

SIDE = 64


def make_tile(seed, side=SIDE):
    noise = np.random.default_rng(seed).standard_normal((side, side))
    return cv2.GaussianBlur(noise, (0, 0), 1.5).astype(np.float32)


@pytest.mark.parametrize("shift", [(0, 0), (5, -3), (-12, 9), (1, 0)])
def test_a_whole_shift_is_found_beside_other_tiles(shift):
    x, y = shift
    tiles = np.stack([make_tile(0), make_tile(1)])
    references = np.stack([make_tile(0), np.roll(make_tile(1), (y, x), axis=(0, 1))])
    shifts, peaks = correlate_tiles(tiles, references)
    np.testing.assert_allclose(shifts, [(0, 0), shift], atol=0.2)
    assert (peaks > MIN_PEAK).all()


def test_unlike_tiles_have_no_peak():
    tiles = np.stack([make_tile(seed) for seed in range(20)])
    _, peaks = correlate_tiles(tiles, np.stack([make_tile(100 + seed) for seed in range(20)]))
    assert (peaks > MIN_PEAK).sum() == 0


def test_a_tile_is_measured_the_same_alone_and_in_a_stack():
    tiles = np.stack([make_tile(seed) for seed in range(4)])
    references = np.roll(tiles, 2, axis=1)
    shifts, peaks = correlate_tiles(tiles, references)
    alone = correlate_tiles(tiles[2:3], references[2:3])
    assert alone[0].tolist() == shifts[2:3].tolist()
    assert alone[1].tolist() == peaks[2:3].tolist()


def test_no_tiles_are_no_error():
    nothing = np.empty((0, SIDE, SIDE), np.float32)
    shifts, peaks = correlate_tiles(nothing, nothing)
    assert (shifts.shape, peaks.shape) == ((0, 2), (0,))


def test_the_packed_spectrum_is_whitened_as_the_whole_one_is():
    fixed, moving = make_tile(0, 32), make_tile(1, 32)
    packed = cross_spectrum(cv2.dft(fixed), cv2.dft(moving))
    surface = cv2.idft(packed, flags=cv2.DFT_REAL_OUTPUT | cv2.DFT_SCALE)
    product = np.fft.fft2(fixed) * np.conj(np.fft.fft2(moving))
    expected = np.fft.ifft2(product / (np.abs(product) ** WHITENING + 1e-6)).real
    np.testing.assert_allclose(surface, expected, atol=2e-4 * np.abs(expected).max())
