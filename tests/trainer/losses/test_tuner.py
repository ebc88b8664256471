import math

import pytest
import torch

from trainer.losses.tuner import estimate_gamma, tune_weights


def two_tone(dark: float, bright: float) -> torch.Tensor:
    """Half the pixels dark, half bright: mean and standard deviation by hand."""
    plane = torch.full((1, 1, 8, 8), dark, dtype=torch.float64)
    plane[..., 4:] = bright
    return plane


def test_gamma_of_low_contrast_is_minus_log2_of_sigma():
    # mean 0.5, sigma 0.05: 4 sigma = 0.2 <= 1/3
    gamma = estimate_gamma(two_tone(0.45, 0.55))
    assert gamma.item() == pytest.approx(-math.log2(0.05), rel=1e-12)


def test_gamma_of_high_contrast_follows_mean_and_sigma():
    # mean 0.5, sigma 0.3: exp((1 - 0.8) / 2)
    gamma = estimate_gamma(two_tone(0.2, 0.8))
    assert gamma.item() == pytest.approx(math.exp(0.1), rel=1e-12)


def test_tau_parts_the_classes():
    plane = two_tone(0.2, 0.8)  # 4 sigma = 1.2
    assert estimate_gamma(plane, tau=0.5).item() == pytest.approx(-math.log2(0.3), rel=1e-12)


@pytest.mark.parametrize("value", [0.0, 0.4, 1.0])
def test_gamma_of_a_constant_image_is_that_of_one_grey_level(value):
    plane = torch.full((1, 1, 8, 8), value, dtype=torch.float64)
    assert estimate_gamma(plane).item() == pytest.approx(math.log2(255), rel=1e-12)


def test_weights_by_hand():
    under, correct, over = two_tone(0.0, 0.1), two_tone(0.2, 0.8), two_tone(0.74, 0.86)
    # gammas: -log2(0.05) = 4.3219, exp(0.1) = 1.1052, -log2(0.06) = 4.0589
    distances = (-math.log2(0.05) - math.exp(0.1), -math.log2(0.06) - math.exp(0.1))
    first, second = tune_weights(under, correct, over)
    assert first.item() == pytest.approx(2 * distances[0] / sum(distances), rel=1e-12)
    assert second.item() == pytest.approx(2 * distances[1] / sum(distances), rel=1e-12)


def test_weights_sum_to_beta_for_each_image_of_a_batch():
    generator = torch.Generator().manual_seed(3)
    planes = [torch.rand(5, 1, 16, 16, generator=generator) for _ in range(3)]
    first, second = tune_weights(*planes, beta=3.0)
    assert first.shape == (5,)
    torch.testing.assert_close(first + second, torch.full((5,), 3.0))


def test_weights_are_even_where_nothing_differs():
    plane = two_tone(0.2, 0.8)
    first, second = tune_weights(plane, plane, plane)
    assert (first.item(), second.item()) == (1.0, 1.0)
