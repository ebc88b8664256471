import cv2
import numpy as np
import pytest
import torch

from model.blend.levels import Levels, blend_halo, plan_levels, reduce_halo, size_at
from model.blend.torch_pyramid import down, magnify, mirror, repeat_halving, smooth, up
from model.tiling import Rect

SIZES = [(1, 1), (1, 2), (2, 1), (2, 2), (2, 3), (3, 3), (5, 8), (9, 1), (17, 40), (64, 65)]


def make_plane(height, width):
    return np.random.default_rng(height * 100 + width).random((height, width), dtype=np.float32)


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_reducing_and_expanding_follow_opencv_at_every_size(height, width):
    plane = make_plane(height, width)
    small = down(torch.from_numpy(plane))
    expected = cv2.pyrDown(plane)
    assert tuple(small.shape) == expected.shape == ((height + 1) // 2, (width + 1) // 2)
    assert np.abs(small.numpy() - expected).max() < 1e-6
    back = up(small, (height, width)).numpy()
    assert np.abs(back - cv2.pyrUp(expected, dstsize=(width, height))).max() < 1e-6


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_smoothing_is_the_binomial_of_opencv(height, width):
    plane = make_plane(height, width)
    smoothed = smooth(torch.from_numpy(plane)).numpy()
    assert np.abs(smoothed - cv2.GaussianBlur(plane, (5, 5), 0)).max() < 1e-6


def test_planes_of_any_number_of_axes_are_filtered_alike():
    planes = torch.rand(2, 3, 4, 9, 12, dtype=torch.float64)
    small = down(planes)
    assert small.shape == (2, 3, 4, 5, 6)
    assert small.dtype == torch.float64
    assert torch.equal(small[1, 2, 3], down(planes[1, 2, 3]))
    large = up(small, (9, 12))
    assert large.shape == planes.shape
    assert torch.equal(large[1, 2, 3], up(small[1, 2, 3], (9, 12)))


def test_a_constant_stays_constant_through_every_filter():
    plane = torch.full((1, 7, 9), 0.25, dtype=torch.float64)
    for result in (down(plane), smooth(plane), up(plane, (13, 18))):
        assert (result - 0.25).abs().max() < 1e-15


def test_filters_have_right_gradients():
    plane = torch.rand(1, 1, 5, 6, dtype=torch.float64, requires_grad=True)
    for work in (down, smooth, lambda one: up(one, (9, 12)), lambda one: repeat_halving(one, 2)):
        assert torch.autograd.gradcheck(work, (plane,))


def test_a_mirror_shows_opencv_s_border():
    for length in range(1, 6):
        for index in range(-2, length + 2):
            expected = cv2.borderInterpolate(index, length, cv2.BORDER_REFLECT_101)
            assert mirror(index, length) == expected


@pytest.mark.parametrize(
    ("longer", "network", "reduction"),
    [(1, 2, 2), (1024, 2, 2), (1025, 3, 3), (2048, 3, 3), (4000, 4, 3), (4097, 5, 3), (6000, 5, 3)],
)
def test_levels_follow_the_longer_side(longer, network, reduction):
    for height, width in ((longer, 1), (1, longer), (longer, longer)):
        levels = plan_levels(height, width, network_side_px=256)
        assert levels == Levels(network, network + 3, reduction)
        assert max(size_at(height, width, levels.network)) <= 256


def test_groups_are_counted_from_the_network_s_level():
    assert [Levels(2, 5, 2).group_of(level) for level in range(6)] == [0, 1, 2, 3, 4, 5]
    assert [Levels(4, 7, 3).group_of(level) for level in range(8)] == [0, 0, 0, 1, 2, 3, 4, 5]


def test_levels_of_nothing_are_refused():
    with pytest.raises(ValueError, match="expected positive sides, got 0x3"):
        plan_levels(3, 0, network_side_px=256)


def test_halos_cover_what_the_levels_spoil():
    assert [reduce_halo(reduction) for reduction in (1, 2, 3, 4)] == [2, 8, 16, 32]
    assert [blend_halo(reduction) for reduction in (1, 2, 3)] == [4, 12, 24]


@pytest.mark.parametrize("times", [0, 1, 3])
def test_magnified_maps_are_those_of_the_whole_wherever_one_looks(times):
    maps = torch.rand(1, 2, 5, 7, dtype=torch.float64)
    factor = 2**times
    whole = magnify(maps, times, Rect(0, 0, 5 * factor, 7 * factor))
    for place in (Rect(0, 0, 3, 2), Rect(2, 1, 3, 5), Rect(5 * factor - 2, 7 * factor - 3, 2, 3)):
        part = magnify(maps, times, place)
        assert torch.equal(part, whole[..., place.slices[0], place.slices[1]])


def test_magnifying_interpolates_between_the_centres_of_cells():
    maps = torch.tensor([[[[0.0, 1.0]]]])
    expected = [0.0, 0.0, 0.125, 0.375, 0.625, 0.875, 1.0, 1.0]
    assert magnify(maps, 2, Rect(0, 0, 1, 8)).flatten().tolist() == expected


def test_halving_averages_a_cut_cell_over_what_it_has():
    maps = torch.tensor([[[[1.0, 3.0, 5.0]]]])
    assert repeat_halving(maps, 1).flatten().tolist() == [2.0, 5.0]
    assert repeat_halving(maps, 0) is maps
