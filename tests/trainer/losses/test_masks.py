import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from trainer.losses.masks import blur, build_mask, gaussian_kernel


def random_plane(seed: int = 0, side: int = 96) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(1, 1, side, side, generator=generator, dtype=torch.float64) * 255


@pytest.mark.parametrize(("sigma", "sigmas", "taps"), [(10, 6, 61), (50, 8, 401), (20, 6, 121)])
def test_kernel_has_the_stated_number_of_taps_and_sums_to_one(sigma, sigmas, taps):
    kernel = gaussian_kernel(sigma, sigmas)
    assert kernel.numel() == taps
    assert kernel.sum().item() == pytest.approx(1, abs=1e-12)
    torch.testing.assert_close(kernel, kernel.flip(0))


def test_blur_equals_scipy_with_the_border_reflected_without_the_edge_pixel():
    plane = random_plane()
    expected = gaussian_filter(plane[0, 0].numpy(), 10, mode="mirror", truncate=3.0)
    np.testing.assert_allclose(blur(plane, 10, 6)[0, 0].numpy(), expected, atol=1e-10)


def test_under_mask_is_the_normalised_blur_and_over_mask_its_complement():
    plane = random_plane()
    blurred = blur(plane, 10, 6)
    expected = (blurred - blurred.min()) / (blurred.max() - blurred.min())
    under = build_mask(plane, "under")
    torch.testing.assert_close(under, expected)
    torch.testing.assert_close(build_mask(plane, "over"), 1 - expected)
    assert under.min().item() == 0
    assert under.max().item() == 1


def test_under_mask_is_brightest_where_the_source_is():
    plane = torch.zeros(1, 1, 96, 96)
    plane[..., 60:, 60:] = 200
    mask = build_mask(plane, "under")
    assert mask[0, 0, 90, 90] > 0.95
    assert mask[0, 0, 5, 5] < 0.05


@pytest.mark.parametrize("value", [0.0, 93.7, 255.0])
@pytest.mark.parametrize("exposure", ["under", "over"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_mask_of_a_constant_image_is_one_everywhere(value, exposure, dtype):
    plane = torch.full((1, 1, 64, 64), value, dtype=dtype)
    assert (build_mask(plane, exposure) == 1).all()


def test_each_image_of_a_batch_is_normalised_on_its_own():
    first, second = random_plane(1), random_plane(2) / 10
    both = build_mask(torch.cat([first, second]), "under")
    torch.testing.assert_close(both[:1], build_mask(first, "under"))
    torch.testing.assert_close(both[1:], build_mask(second, "under"))


def test_8_bit_mask_takes_only_as_many_values_as_the_blur_has_grey_levels():
    plane = random_plane()
    levels = blur(plane, 10, 6).round().unique().numel()
    assert build_mask(plane, "under", is_8_bit=True).unique().numel() == levels


def test_mask_refuses_what_is_no_plane():
    with pytest.raises(ValueError, match=r"\(N, 1, H, W\)"):
        build_mask(torch.zeros(64, 64), "under")
