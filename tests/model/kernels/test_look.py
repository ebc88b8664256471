"""The compiled look at a picture against the network's own, on shapes that reach every border."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from torch.nn import functional

from model.blend.definition import sharpen
from model.blend.kernels import halve_maps
from model.blend.levels import BANDS
from model.blend.look import Layer, Look
from model.blend.torch_pyramid import repeat_halving
from model.release.torch_networks import build_loaded, to_parameters
from model.release.weights import load_weights
from tests.paths import ROOT

TOLERANCE = 1e-5
"""As a share of the largest value."""

BLEND_VERSIONS = sorted((ROOT / "weights").glob("pyramid-blend-*"))
SIZES = [(1, 1), (1, 9), (5, 2), (37, 70)]


def noise(*shape, seed=0):
    return np.random.default_rng(seed).random(shape, dtype=np.float32)


def assert_equals_torch(network, planes):
    found = Look(network.config, to_parameters(network)).predict(planes)
    ours = (found.coefficients / np.float32(sharpen(len(planes))), found.gains)
    with torch.inference_mode():
        theirs = network.predict(torch.from_numpy(planes)[None])
    for one, other in zip(ours, theirs, strict=True):
        expected = other[0].numpy()
        np.testing.assert_allclose(
            one, expected, rtol=0, atol=TOLERANCE * max(1, np.abs(expected).max())
        )
        assert one.dtype == np.float32
    assert not found.planes[BANDS:, -1].any(), "the base has a gain"


@pytest.mark.usefixtures("each_library")
@pytest.mark.parametrize("count", [2, 3, 9])
@pytest.mark.parametrize("size", SIZES)
def test_a_look_equals_that_of_the_network_in_torch(blend_network, size, count):
    assert_equals_torch(blend_network, noise(count, 3, *size))


@pytest.mark.usefixtures("each_library")
@pytest.mark.parametrize(
    "config",
    [
        {"width": 3},
        {"width": 8, "dilations": (1, 3)},
        {"width": 24},
        {"width": 30, "dilations": ()},
    ],
)
def test_a_look_of_any_width_equals_that_of_the_network(make_blend, config):
    assert_equals_torch(make_blend(**config), noise(2, 3, 19, 23))


@pytest.mark.parametrize("directory", BLEND_VERSIONS, ids=lambda path: path.name)
def test_a_look_by_released_weights_equals_that_in_torch(directory):
    assert_equals_torch(build_loaded(load_weights(directory)), noise(3, 3, 64, 96))


def test_black_and_white_planes_are_looked_at_too(blend_network):
    planes = np.stack([np.zeros((3, 9, 12), np.float32), np.ones((3, 9, 12), np.float32)])
    assert_equals_torch(blend_network, planes)


def test_threads_do_not_change_a_bit_of_a_look(blend_network):
    look, planes = Look(blend_network.config, to_parameters(blend_network)), noise(5, 3, 90, 50)
    alone = look.predict(planes)
    with ThreadPoolExecutor(3) as pool:
        together = look.predict(planes, lambda work, items: list(pool.map(work, items)))
    assert np.array_equal(alone.planes, together.planes)


@pytest.mark.usefixtures("each_library")
@pytest.mark.parametrize("reach", [1, 5])
@pytest.mark.parametrize(("inputs", "outputs"), [(8, 5), (16, 16), (24, 24), (40, 33)])
@pytest.mark.parametrize("size", SIZES)
def test_a_layer_is_a_convolution_that_repeats_the_border(size, inputs, outputs, reach):
    height, width = size
    weights, bias = noise(outputs, inputs, 3, 3) - 0.5, noise(outputs) - 0.5
    planes = noise(inputs, height, width)
    layer = Layer.of(weights, bias, inputs=inputs, reach=reach)
    margin = reach + 1
    given = np.pad(planes.transpose(1, 2, 0), ((0, 0), (margin, margin), (0, 0)), mode="edge")
    result = np.empty((height, width + 2 * margin, len(layer.bias)), np.float32)
    layer.apply(np.ascontiguousarray(given), result, margin=margin)
    padded = functional.pad(torch.from_numpy(planes)[None], (reach,) * 4, mode="replicate")
    expected = functional.conv2d(
        padded, torch.from_numpy(weights), torch.from_numpy(bias), dilation=reach
    ).relu()[0]
    inside = result[:, margin : margin + width, :outputs].transpose(2, 0, 1)
    np.testing.assert_allclose(inside, expected.numpy(), atol=1e-4)
    # the margins repeat the ends, and unused channels are zero
    assert (result[:, :margin] == result[:, margin : margin + 1]).all()
    assert (result[:, margin + width :] == result[:, margin + width - 1, None]).all()
    assert not result[..., outputs:].any()


@pytest.mark.parametrize("times", [0, 1, 3])
@pytest.mark.parametrize("size", SIZES)
def test_maps_are_halved_as_the_pyramid_does_it(size, times):
    maps = noise(2, 4, *size)
    expected = repeat_halving(torch.from_numpy(maps), times).numpy()
    np.testing.assert_allclose(halve_maps(maps, times), expected, rtol=1e-6)
