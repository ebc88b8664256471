import math

import numpy as np
import pytest

from model.alignment.adaptive_gamma import adaptive_gamma, apply_gamma

# Two grey levels in equal parts: the mean and the standard deviation are exact by hand.
LOW_CONTRAST = np.array([0.25, 0.3125])  # sigma = 2**-5
HIGH_CONTRAST = np.array([0.2, 0.6])  # mu = 0.4, sigma = 0.2


def test_gamma_of_low_contrast_is_minus_log2_of_sigma():
    assert adaptive_gamma(LOW_CONTRAST) == pytest.approx(5.0, abs=1e-12)


def test_gamma_of_high_contrast_is_the_exponential_of_mean_and_sigma():
    assert adaptive_gamma(HIGH_CONTRAST) == pytest.approx(math.exp(0.2), abs=1e-12)


def test_contrast_is_low_up_to_a_twelfth_of_sigma():
    sigma = 1.0 / 12.0
    just_low = np.array([0.5 - sigma * (1 - 1e-9), 0.5 + sigma * (1 - 1e-9)])
    just_high = np.array([0.5 - sigma * (1 + 1e-9), 0.5 + sigma * (1 + 1e-9)])
    assert adaptive_gamma(just_low) == pytest.approx(math.log2(12.0), abs=1e-6)
    assert adaptive_gamma(just_high) == pytest.approx(math.exp((0.5 - sigma) / 2.0), abs=1e-6)


@pytest.mark.parametrize("level", [0.0, 0.3, 1.0])
def test_gamma_of_a_constant_image_takes_sigma_as_one_grey_level(level):
    assert adaptive_gamma(np.full((4, 5), level)) == pytest.approx(math.log2(255.0), abs=1e-12)


def test_gamma_takes_its_statistics_in_float64():
    image = np.full(1 << 22, 0.1, np.float32)
    image[::2] = 0.3
    assert adaptive_gamma(image) == pytest.approx(math.exp(0.35), abs=1e-6)


def test_gamma_does_not_depend_on_the_order_of_pixels():
    image = np.random.default_rng(0).random((16, 16))
    assert adaptive_gamma(image) == pytest.approx(adaptive_gamma(image[::-1].T), abs=1e-12)


def test_dark_images_are_raised_and_divided_by_k():
    gamma = 1.5
    mu = 0.4
    expected = [x**gamma / (x**gamma + (1 - x**gamma) * mu**gamma) for x in (0.2, 0.6)]
    np.testing.assert_allclose(apply_gamma(HIGH_CONTRAST, gamma), expected, atol=1e-12)


def test_bright_images_are_raised_to_the_power_alone():
    image = np.array([0.6, 0.8])
    np.testing.assert_allclose(apply_gamma(image, 2.0), [0.36, 0.64], atol=1e-12)


def test_a_mean_of_exactly_one_half_counts_as_bright():
    np.testing.assert_allclose(apply_gamma(np.array([0.25, 0.75]), 2.0), [0.0625, 0.5625])


def test_a_dark_image_is_lifted_towards_one_half():
    image = np.random.default_rng(1).normal(0.05, 0.01, (32, 32)).clip(0.0, 1.0)
    corrected = apply_gamma(image, adaptive_gamma(image))
    assert 0.3 < corrected.mean() < 0.7
    assert corrected.std() > 5 * image.std()


@pytest.mark.parametrize("level", [0.0, 1.0])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_black_stays_black_and_white_stays_white(level, dtype):
    image = np.full((3, 4), level, dtype)
    corrected = apply_gamma(image, adaptive_gamma(image))
    assert corrected.dtype == dtype
    np.testing.assert_array_equal(corrected, image)


def test_a_dark_constant_image_comes_out_as_the_formula_says():
    gamma = adaptive_gamma(np.full(8, 0.25))
    expected = 1.0 / (2.0 - 0.25**gamma)
    np.testing.assert_allclose(apply_gamma(np.full(8, 0.25), gamma), expected, atol=1e-12)


def test_one_faint_pixel_in_sixteen_bits_neither_overflows_nor_divides_by_zero():
    image = np.zeros((64, 64), np.float32)
    image[3, 5] = 1.0 / 65535.0
    corrected = apply_gamma(image, adaptive_gamma(image))
    assert np.isfinite(corrected).all()
    assert corrected[3, 5] == corrected.max() <= 1.0


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("offset", [0.0, 0.5])
def test_application_keeps_shape_dtype_range_and_order(dtype, offset):
    image = (np.linspace(0.0, 0.5, 60) + offset).reshape(5, 12).astype(dtype)
    corrected = apply_gamma(image, adaptive_gamma(image))
    assert corrected.shape == image.shape
    assert corrected.dtype == dtype
    assert corrected.min() >= 0.0
    assert corrected.max() <= 1.0
    assert (np.diff(corrected.ravel()) >= 0.0).all()


def test_application_leaves_its_input_alone():
    image = np.array([0.1, 0.2])
    apply_gamma(image, 1.0)
    assert image.tolist() == [0.1, 0.2]


def test_an_empty_image_is_refused():
    with pytest.raises(ValueError, match="at least one pixel"):
        adaptive_gamma(np.empty((0, 3)))
    with pytest.raises(ValueError, match="at least one pixel"):
        apply_gamma(np.empty((0, 3)), 1.0)


@pytest.mark.parametrize("gamma", [0.0, -1.0, math.nan])
def test_a_gamma_that_is_not_positive_is_refused(gamma):
    with pytest.raises(ValueError, match="positive gamma"):
        apply_gamma(np.array([0.5]), gamma)
