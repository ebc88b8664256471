"""The compiled arithmetic against the network's own, on shapes that reach every border rule."""

import numpy as np
import pytest
import torch

from model.blend.colour import RULE, ColourRule
from model.blend.definition import FLOOR_SHARE, SALIENCY_SCALE, sharpen
from model.blend.kernels import (
    add_band,
    blend_pixels,
    reduce_lumas,
    reduce_pixels,
    reduce_planes,
)
from model.blend.levels import Levels
from model.blend.torch_colour import mix_colour, to_luma
from model.blend.torch_network import BlendMaps, bring_maps
from model.blend.torch_pyramid import down
from model.tiling import Rect

SIZES = [(1, 1), (1, 7), (2, 2), (3, 1), (5, 4), (16, 31), (33, 70)]
FLOAT_TOLERANCE = 3e-6


@pytest.fixture
def rng():
    return np.random.default_rng(5)


def find_floor(fine):
    """The darkest that a level may become."""
    return fine.min(axis=0) + FLOOR_SHARE * (fine.mean(axis=0) - fine.min(axis=0))


def noise(rng, *shape):
    return rng.random(shape, dtype=np.float32)


def to_planes(pixels):
    full = np.iinfo(pixels.dtype).max
    return torch.from_numpy(pixels.astype(np.float32).transpose(2, 0, 1) / full)


@pytest.mark.usefixtures("each_library")
@pytest.mark.parametrize("size", [*SIZES, (9, 259), (6, 601)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_pixels_are_reduced_from_windows_and_from_odd_arrays(rng, dtype, size):
    full, (height, width) = np.iinfo(dtype).max, size
    picture = rng.integers(0, full, (height + 9, width + 8, 3), dtype=dtype, endpoint=True)
    picture[3 : 3 + height // 2] = full
    window = picture[3 : 3 + height, 5 : 5 + width]
    flipped = picture[:, ::-1][3 : 3 + height, 5 : 5 + width]
    lumas = reduce_lumas([window, flipped])
    for one, luma in zip((window, flipped), lumas, strict=True):
        expected = down(to_planes(one))
        np.testing.assert_allclose(reduce_pixels(one), expected, atol=FLOAT_TOLERANCE)
        np.testing.assert_allclose(luma, to_luma(expected), atol=FLOAT_TOLERANCE)


@pytest.mark.usefixtures("each_library")
@pytest.mark.parametrize("size", SIZES)
def test_a_reduction_is_that_of_the_pyramid(rng, size):
    planes = noise(rng, 2, 3, *size)
    reduced = reduce_planes(planes)
    np.testing.assert_allclose(reduced, down(torch.from_numpy(planes)), atol=FLOAT_TOLERANCE)


@pytest.mark.usefixtures("each_library")
@pytest.mark.parametrize("times", [0, 1, 3])
@pytest.mark.parametrize("count", [2, 3, 9])
@pytest.mark.parametrize("size", [*SIZES, (6, 129), (9, 259)])
def test_a_band_is_added_as_the_network_does_it(rng, make_blend, size, count, times):
    network = make_blend(saliency=True)
    height, width = size
    fine, fused = noise(rng, count, *size), noise(rng, (height + 1) // 2, (width + 1) // 2)
    coarse = reduce_planes(fine)
    map_size = (-(-height >> times), -(-width >> times))
    coefficients = torch.from_numpy(3 * noise(rng, 1, count, 6, 4, *map_size) - 1)
    gains = torch.from_numpy(2 * noise(rng, 1, 5, *map_size) - 1)
    maps = BlendMaps(coefficients, gains)
    place = Rect(0, 0, height, width)
    levels = Levels(network=times, base=times + 3, reduction=0)
    group = levels.group_of(0)
    expected = network.add_band(
        torch.from_numpy(fused)[None],
        torch.from_numpy(fine)[None],
        torch.from_numpy(coarse)[None],
        bring_maps(maps, levels, 0, place),
        group,
    )
    own = sharpen(count) * coefficients[0, :, group]
    given = torch.cat((own.flatten(0, 1), gains[0, group : group + 1]))
    saliency = network.saliency.tolist()[group] if group < 2 else 0.0
    result = add_band(
        fused,
        fine,
        coarse,
        given.numpy(),
        times=times,
        place=place,
        saliency=sharpen(count) * SALIENCY_SCALE * saliency,
    )
    np.testing.assert_allclose(result, expected[0].numpy(), atol=FLOAT_TOLERANCE)


@pytest.mark.usefixtures("each_library")
def test_the_bits_of_a_pixel_do_not_depend_on_where_its_array_begins(rng):
    fine, fused = noise(rng, 3, 64, 96), noise(rng, 32, 48)
    coarse, maps = reduce_planes(fine), noise(rng, 13, 16, 24)
    options = {"times": 2, "saliency": 1.5}
    whole = add_band(fused, fine, coarse, maps, place=Rect(0, 0, 64, 96), **options)
    for top, left, bottom, right in [(8, 10, 50, 90), (2, 4, 64, 71), (20, 0, 41, 33)]:
        part = add_band(
            fused[top // 2 : -(-bottom // 2), left // 2 : -(-right // 2)],
            fine[:, top:bottom, left:right],
            coarse[:, top // 2 : -(-bottom // 2), left // 2 : -(-right // 2)],
            maps,
            place=Rect(top, left, bottom - top, right - left),
            **options,
        )
        inner = whole[top + 4 : bottom - 4, left + 4 : right - 4]
        np.testing.assert_array_equal(part[4:-4, 4:-4], inner, strict=True)


@pytest.mark.usefixtures("each_library")
@pytest.mark.parametrize("logit", [-1e30, -200.0, 0.0, 200.0, 1e30])
def test_no_logit_is_too_large(rng, logit):
    fine, fused = noise(rng, 2, 8, 8), np.zeros((4, 4), np.float32)
    maps = np.zeros((9, 8, 8), np.float32)
    maps[0] = logit
    place, coarse = Rect(0, 0, 8, 8), np.zeros((2, 4, 4), np.float32)
    result = add_band(fused, fine, coarse, maps, times=0, place=place, saliency=0.0)
    chosen = {True: fine[0], False: fine[1]}[logit > 0] if logit else fine.mean(axis=0)
    np.testing.assert_allclose(result, np.maximum(chosen, find_floor(fine)), rtol=1e-5)


@pytest.mark.usefixtures("each_library")
def test_a_level_stays_within_the_span_of_its_exposures(rng):
    fine, maps = 0.4 + 0.2 * noise(rng, 2, 8, 8), np.zeros((9, 8, 8), np.float32)
    maps[8] = 50.0
    place, coarse = Rect(0, 0, 8, 8), reduce_planes(fine)
    low, high = find_floor(fine), fine.max(axis=0)
    for fused, bound in ((0.0, low), (1.0, high)):
        flat = np.full((4, 4), fused, np.float32)
        result = add_band(flat, fine, coarse, maps, times=0, place=place, saliency=0.0)
        assert (result >= low - FLOAT_TOLERANCE).all()
        assert (result <= high).all()
        assert np.isclose(result, bound, atol=FLOAT_TOLERANCE).any()


def make_exposures(rng, count, dtype):
    """Exposures with places near black, near white and at either end; windows of pictures."""
    full = np.iinfo(dtype).max
    picture = rng.integers(0, full, (count, 24, 609, 3), dtype=dtype, endpoint=True)
    picture[:, :4] //= 20
    picture[:, 4:6] = full - picture[:, 4:6] // 20
    picture[0, 6], picture[-1, 6] = 0, full
    return [one[1:, 3:] for one in picture]


def make_level(rng, count, height, width):
    """What is above a picture, and its maps: (fused, coarse, maps)."""
    above = (height + 1) // 2, (width + 1) // 2
    maps = noise(rng, 4 * count + 1, -(-height // 4), -(-width // 4))
    return noise(rng, *above), noise(rng, count, *above), maps


@pytest.mark.usefixtures("each_library")
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("count", [2, 3, 9])
@pytest.mark.parametrize("rule", [RULE, ColourRule(-1.0, 2.0, 1.0, 0.2, -0.3, 1.5)])
def test_pixels_are_blended_and_coloured_as_the_network_does_it(rng, count, dtype, rule):
    exposures = make_exposures(rng, count, dtype)
    full, (height, width) = np.iinfo(dtype).max, exposures[0].shape[:2]
    place, options = Rect(8, 16, height, width), {"times": 2, "saliency": 1.5}
    level = make_level(rng, count, height + 8, width + 16)
    level = (level[0][4:, 8:], level[1][:, 4:, 8:], level[2])
    planes = torch.stack([to_planes(one) for one in exposures])
    luma = add_band(level[0], to_luma(planes).numpy(), *level[1:], place=place, **options)
    expected = mix_colour(planes[None], torch.from_numpy(luma)[None], rule)[0]
    result = blend_pixels(exposures, *level, place=place, core=place, rule=rule, **options)
    assert result.dtype == dtype
    assert (
        np.abs(result - full * expected.permute(1, 2, 0).numpy()).max()
        <= 0.5 + 2 * full * FLOAT_TOLERANCE
    )


@pytest.mark.usefixtures("each_library")
@pytest.mark.parametrize("count", [2, 5])
def test_the_bits_of_a_core_are_those_of_the_whole(rng, count):
    exposures = make_exposures(rng, count, np.uint16)
    height, width = exposures[0].shape[:2]
    level, place = make_level(rng, count, height, width), Rect(0, 0, height, width)
    options = {"times": 2, "place": place, "saliency": 1.5}
    whole = blend_pixels(exposures, *level, core=place, **options)
    for core in (Rect(8, 16, 9, 300), Rect(0, 0, 1, 1), Rect(20, 600, 3, 6), Rect(4, 0, 19, 130)):
        part = blend_pixels(exposures, *level, core=core, **options)
        np.testing.assert_array_equal(part, whole[core.slices], strict=True)


def test_levels_that_do_not_fit_are_refused(rng):
    fine = noise(rng, 2, 8, 8)
    maps, coarse = noise(rng, 9, 4, 4), reduce_planes(fine)
    options = {"times": 1, "place": Rect(0, 0, 8, 8), "saliency": 0.0}
    with pytest.raises(ValueError, match="expected levels that fit"):
        add_band(noise(rng, 4, 5), fine, coarse, maps, **options)
    with pytest.raises(ValueError, match="expected levels that fit"):
        add_band(noise(rng, 4, 4), fine, coarse, maps[:8], **options)
    with pytest.raises(ValueError, match="at most 9"):
        add_band(noise(rng, 4, 4), noise(rng, 10, 8, 8), coarse, maps, **options)
    pixels = [np.zeros((8, 8, 3), np.uint8), np.zeros((8, 7, 3), np.uint8)]
    with pytest.raises(ValueError, match="exposures of the size"):
        blend_pixels(pixels, noise(rng, 4, 4), coarse, maps, core=Rect(0, 0, 8, 8), **options)
