import numpy as np
import pytest
import skimage.color
import torch

from model.torch_colour import (
    lab_to_srgb,
    linear_to_lab,
    linear_to_srgb,
    pixels_to_linear,
    quantise,
    srgb_to_lab,
    srgb_to_linear,
)


def random_srgb(dtype=torch.float64, *, shape=(2, 3, 41, 37)):
    return torch.rand(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64).to(
        dtype
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_srgb_to_lab_agrees_with_skimage_within_1e_4(dtype):
    srgb = random_srgb(dtype)
    srgb[0, :, 0] *= 0.02
    ours = srgb_to_lab(srgb)
    theirs = skimage.color.rgb2lab(srgb.double().permute(0, 2, 3, 1).numpy())
    difference = np.abs(ours.double().permute(0, 2, 3, 1).numpy() - theirs)
    relative = skimage.color.rgb2xyz(srgb.double().permute(0, 2, 3, 1).numpy()) / [
        0.95047,
        1,
        1.08883,
    ]
    # There skimage rounds: 0.008856 for (6/29)^3 and 7.787 for its slope.
    is_dark = (relative < 0.009).any(axis=-1)
    assert ours.dtype == dtype
    assert difference[~is_dark].max() < 1e-4
    assert difference[is_dark].max() < 2e-4
    assert is_dark.any()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_lab_to_srgb_agrees_with_skimage_within_1e_4(dtype):
    lab = srgb_to_lab(random_srgb(dtype))
    theirs = skimage.color.lab2rgb(lab.double().permute(0, 2, 3, 1).numpy())
    ours = lab_to_srgb(lab).double().permute(0, 2, 3, 1).numpy()
    assert np.abs(ours - theirs).max() < 1e-4


def test_pure_red_has_its_reference_value():
    # python -c "import skimage.color as c; print(c.rgb2lab([[[1.0, 0, 0]]]))"
    # [[[53.24058794 80.09230823 67.20275104]]]
    red = torch.tensor([1.0, 0, 0], dtype=torch.float64).reshape(1, 3, 1, 1)
    expected = torch.tensor([53.24058794, 80.09230823, 67.20275104], dtype=torch.float64)
    torch.testing.assert_close(srgb_to_lab(red).flatten(), expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
def test_the_round_trip_is_the_identity(dtype, tolerance):
    srgb = random_srgb(dtype)
    srgb[0, :, :4] *= 0.01
    assert (lab_to_srgb(srgb_to_lab(srgb)) - srgb).abs().max() < tolerance


def test_the_transfer_curve_is_inverted_outside_the_gamut_too():
    encoded = torch.linspace(-0.5, 1.5, 401, dtype=torch.float64)
    torch.testing.assert_close(linear_to_srgb(srgb_to_linear(encoded)), encoded)


@pytest.mark.parametrize(("dtype", "full"), [(torch.uint8, 255), (torch.uint16, 65535)])
def test_every_grey_is_neutral_monotone_and_comes_back(dtype, full):
    levels = torch.arange(full + 1, dtype=torch.int32).to(dtype)
    grey = levels.reshape(1, 1, 1, -1).expand(1, 3, 1, -1)
    lab = linear_to_lab(pixels_to_linear(grey))
    assert lab[:, 1:].abs().max() < 5e-3
    assert (lab[0, 0, 0].diff() > -1e-5).all()
    assert lab[0, 0, 0, 0].item() == pytest.approx(0, abs=1e-5)
    assert lab[0, 0, 0, -1].item() == pytest.approx(100, abs=1e-4)
    assert torch.equal(quantise(lab_to_srgb(lab), dtype).to(torch.int32), grey.to(torch.int32))


@pytest.mark.parametrize("dtype", [torch.uint8, torch.uint16])
def test_integer_pixels_come_back_through_lab(dtype):
    full = 255 if dtype == torch.uint8 else 65535
    generator = torch.Generator().manual_seed(1)
    pixels = torch.randint(0, full + 1, (2, 3, 60, 70), generator=generator, dtype=torch.int32)
    lab = linear_to_lab(pixels_to_linear(pixels.to(dtype)))
    assert torch.equal(quantise(lab_to_srgb(lab), dtype).to(torch.int32), pixels)


def test_the_table_agrees_with_the_transfer_curve():
    levels = torch.arange(256, dtype=torch.int32).to(torch.uint8)
    expected = srgb_to_linear(levels.to(torch.float64) / 255)
    torch.testing.assert_close(pixels_to_linear(levels).double(), expected, rtol=1e-6, atol=0)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 7), (5, 3)])
def test_shape_and_dtype_are_kept(height, width):
    srgb = random_srgb(torch.float32, shape=(2, 3, height, width))
    assert srgb_to_lab(srgb).shape == srgb.shape
    assert lab_to_srgb(srgb_to_lab(srgb)).dtype == torch.float32


def test_quantise_rounds_half_to_even_and_clamps():
    steps = torch.tensor([-3.0, 0.5, 1.5, 2.5, 254.5, 255.4, 300.0], dtype=torch.float64) / 255
    assert quantise(steps, torch.uint8).tolist() == [0, 0, 2, 2, 254, 255, 255]
    assert quantise(torch.tensor([2.0, -1.0]), torch.uint16).tolist() == [65535, 0]


def test_wrong_shapes_and_types_are_refused():
    with pytest.raises(ValueError, match="expected floating-point planes"):
        linear_to_lab(torch.zeros(3, 4, 4))
    with pytest.raises(ValueError, match="expected floating-point planes"):
        lab_to_srgb(torch.zeros(1, 3, 4, 4, dtype=torch.int32))
    with pytest.raises(ValueError, match="uint8 or uint16"):
        pixels_to_linear(torch.zeros(4))
    with pytest.raises(ValueError, match="uint8 or uint16"):
        quantise(torch.zeros(4), torch.int32)
