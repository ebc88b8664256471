"""The compiled whitening of packed spectra by NumPy's, unpacked, on every machine's code."""

import cv2
import numpy as np
import pytest

from model.alignment.phase import WHITENING, cross_spectrum

pytestmark = pytest.mark.usefixtures("each_library")


def noise(*size, seed=0):
    return np.random.default_rng(seed).standard_normal(size).astype(np.float32)


def correlate_by_definition(fixed, moving):
    product = np.fft.fft2(fixed.astype(np.float64)) * np.conj(np.fft.fft2(moving))
    return np.fft.ifft2(product / (np.abs(product) ** WHITENING + 1e-6)).real


def correlate(fixed, moving):
    spectrum = cross_spectrum(cv2.dft(fixed), cv2.dft(moving))
    return cv2.idft(spectrum, flags=cv2.DFT_REAL_OUTPUT | cv2.DFT_SCALE)


@pytest.mark.parametrize("size", [(2, 2), (2, 8), (8, 2), (4, 6), (16, 18), (10, 34), (64, 64)])
def test_a_whitened_product_is_that_of_whole_spectra(size):
    fixed, moving = noise(*size), noise(*size, seed=1)
    expected = correlate_by_definition(fixed, moving)
    found = correlate(fixed, moving)
    np.testing.assert_allclose(found, expected, atol=2e-5 * np.abs(expected).max())


def test_a_peak_lies_at_the_motion():
    picture = noise(32, 48)
    surface = correlate(np.roll(picture, (5, -7), (0, 1)), picture)
    assert np.unravel_index(surface.argmax(), surface.shape) == (5, 48 - 7)


def test_nothing_gives_nothing():
    assert not cross_spectrum(np.zeros((8, 8), np.float32), np.zeros((8, 8), np.float32)).any()


@pytest.mark.parametrize(("one", "other"), [((4, 5), (4, 5)), ((3, 4), (3, 4)), ((4, 4), (4, 6))])
def test_odd_and_unequal_sides_are_refused(one, other):
    with pytest.raises(ValueError, match="one even size"):
        cross_spectrum(noise(*one), noise(*other))
