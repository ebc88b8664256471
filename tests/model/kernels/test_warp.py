"""The compiled warp against the definition in torch, inside, on the edge and beyond it."""

import numpy as np
import pytest
import torch

from model.tiling import Rect
from model.torch_colour import to_pixels
from model.torch_warp import warp_window
from model.warp import warp_pixels, warp_planes
from tests.model.kernels.homographies import MAPS, TILT

CPU = torch.device("cpu")
pytestmark = pytest.mark.usefixtures("each_library")


@pytest.fixture(params=[np.uint8, np.uint16])
def picture(request):
    full = np.iinfo(request.param).max
    rng = np.random.default_rng(3)
    return rng.integers(0, full, (61, 83, 3), dtype=request.param, endpoint=True)


@pytest.mark.parametrize("target", [Rect(0, 0, 61, 83), Rect(7, 9, 1, 70), Rect(50, 80, 11, 1)])
@pytest.mark.parametrize("to_moving", MAPS.values(), ids=MAPS.keys())
def test_the_kernel_equals_the_definition_but_for_rounding(picture, to_moving, target):
    warped = warp_pixels(picture, to_moving, target)
    defined = to_pixels(warp_window(picture, to_moving, target, device=CPU)[0], picture)
    difference = np.abs(warped.astype(int) - defined)
    assert difference.max() <= 1
    assert (difference > 0).mean() < (0.001 if picture.dtype == np.uint8 else 0.01)


@pytest.mark.parametrize("to_moving", MAPS.values(), ids=MAPS.keys())
def test_the_kernel_that_does_not_round_equals_the_definition(picture, to_moving):
    target = Rect(7, 9, 31, 70)
    defined = warp_window(picture, to_moving, target, device=CPU)[0].numpy()
    np.testing.assert_allclose(warp_planes(picture, to_moving, target), defined, atol=2e-6)


def test_a_window_is_cut_from_the_whole_to_the_bit(picture):
    whole = warp_pixels(picture, TILT, Rect(0, 0, 61, 83))
    for part in (Rect(3, 5, 30, 70), Rect(60, 0, 1, 83), Rect(0, 82, 61, 1)):
        cut = warp_pixels(picture, TILT, part)
        np.testing.assert_array_equal(cut, whole[part.slices])


def test_a_window_of_a_larger_picture_is_sampled_as_it_lies(picture):
    inside = picture[4:50, 6:70]
    target = Rect(0, 0, 40, 60)
    np.testing.assert_array_equal(
        warp_pixels(inside, TILT, target),
        warp_pixels(inside.copy(), TILT, target),
    )


def test_a_picture_smaller_than_the_kernel_repeats_its_edge(picture):
    point = picture[:1, :1]
    warped = warp_pixels(point, TILT, Rect(0, 0, 5, 7))
    np.testing.assert_array_equal(warped, np.broadcast_to(point, (5, 7, 3)))
