"""Colour on arrays against the same on tensors."""

import numpy as np
import pytest
import torch

from model import colour, torch_colour


def random_planes(seed=0):
    """Linear sRGB that reaches into the dark and out of the gamut. Shape (3, H, W)."""
    planes = np.random.default_rng(seed).uniform(-0.1, 1.2, (3, 41, 37)).astype(np.float32)
    planes[:, :4] *= 0.005
    return planes


def on_tensors(function, *planes):
    return function(*(torch.from_numpy(one)[None] for one in planes))[0].numpy()


@pytest.mark.parametrize("name", ["srgb_to_linear", "linear_to_srgb"])
def test_the_transfer_curve_is_that_of_tensors(name):
    planes = random_planes()
    expected = on_tensors(getattr(torch_colour, name), planes)
    np.testing.assert_allclose(getattr(colour, name)(planes), expected, atol=2e-6)


def test_lab_and_back_are_those_of_tensors():
    linear = random_planes()
    lab = on_tensors(torch_colour.linear_to_lab, linear)
    np.testing.assert_allclose(colour.linear_to_lab(linear), lab, atol=3e-4)
    back = on_tensors(torch_colour.lab_to_linear, *lab)
    np.testing.assert_allclose(colour.lab_to_linear(*lab), back, atol=3e-6)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_pixels_become_linear_and_come_back(dtype):
    full = np.iinfo(dtype).max
    rng = np.random.default_rng(1)
    pixels = rng.integers(0, full, (60, 70, 3), dtype=dtype, endpoint=True)
    linear = colour.pixels_to_linear(pixels[:, ::-1])
    expected = torch_colour.pixels_to_linear(torch.from_numpy(pixels[:, ::-1].copy()))
    np.testing.assert_allclose(linear, expected.permute(2, 0, 1).numpy(), rtol=1e-6)
    srgb = colour.linear_to_srgb(colour.lab_to_linear(*colour.linear_to_lab(linear)))
    # CIELAB of 32 bits and a power that differs by machine: a step of 16 bits in a thousand pixels.
    off = np.abs(colour.to_pixels(srgb, pixels).astype(int) - pixels[:, ::-1])
    assert off.max() <= (0 if dtype == np.uint8 else 1)
    assert (off > 0).mean() < 1e-3


def test_rounding_is_half_to_even_and_clamps():
    steps = np.array([-3.0, 0.5, 1.5, 2.5, 254.5, 300.0], np.float32) / np.float32(255)
    pixels = colour.to_pixels(np.broadcast_to(steps, (3, 1, 6)), np.zeros(0, np.uint8))
    assert pixels[0, :, 1].tolist() == [0, 0, 2, 2, 254, 255]


def test_pixels_of_another_type_are_refused():
    with pytest.raises(ValueError, match="uint8 or uint16"):
        colour.pixels_to_linear(np.zeros((2, 2, 3), np.float32))
