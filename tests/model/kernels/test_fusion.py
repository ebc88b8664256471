"""The GPU's kernels against the CPU's, which share their formulas: compiled as C, and on a GPU."""

import re

import numpy as np
import pytest
import torch

from model.blend import definition, kernels
from model.blend.colour import RULE, ColourRule
from model.kernels import grids
from model.kernels.grids import FOLDER, HEADERS, SOURCE
from model.tiling import Rect
from model.torch_kernels import open_kernels
from model.torch_passes import (
    Level,
    Moving,
    add_band,
    blend_pixels,
    half_of,
    reduce_pixels,
    reduce_planes,
    warp_pixels,
    warp_planes,
)
from model.warp import warp_pixels as warp_on_cpu
from model.warp import warp_planes as warp_planes_on_cpu
from tests.model.host_launcher import HostLauncher, compile_kernels
from tests.model.kernels.homographies import MAPS, TILT
from tests.torch_devices import needs_cuda

SIZES = [(1, 1), (1, 7), (2, 2), (3, 1), (5, 4), (16, 31), (33, 70)]
FLOAT_TOLERANCE = 3e-6


CPU, GPU = torch.device("cpu"), torch.device("cuda:0")
needs_gpu = [
    pytest.mark.gpu,
    needs_cuda,
]
where = {"device": CPU}
"""Where the tensors of a test lie: where its launcher computes."""


@pytest.fixture(
    scope="module", params=["in order", "backwards", pytest.param("on a GPU", marks=needs_gpu)]
)
def launcher(request, tmp_path_factory):
    """Items in either order: were one to read what another of its phase writes, they would differ.

    Both orders, and the device, stand beside the same expectation.
    """
    if request.param == "on a GPU":
        where["device"] = GPU
        yield open_kernels(GPU)
        where["device"] = CPU
        return
    flags = ("-DBACKWARDS",) if request.param == "backwards" else ()
    yield HostLauncher(compile_kernels(tmp_path_factory.mktemp("kernels"), *flags))


@pytest.fixture
def rng():
    return np.random.default_rng(5)


def noise(rng, *shape):
    return rng.random(shape, dtype=np.float32)


def tensor(array):
    return torch.from_numpy(np.ascontiguousarray(array)).to(where["device"])


def host(values):
    """An array of a tensor, wherever it lies."""
    return values.cpu().numpy()


def inside(tensor, top=2, left=3):
    """The same values as a part of a larger tensor, so that rows and planes have gaps."""
    *many, height, width = tensor.shape
    larger = torch.full((*many, height + 5, width + 7), torch.nan, device=tensor.device)
    part = larger[..., top : top + height, left : left + width]
    part[...] = tensor
    return part


@pytest.mark.parametrize("size", [*SIZES, (9, 259), (67, 131)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("count", [2, 9])
def test_pixels_are_reduced_to_planes_and_lumas(launcher, rng, dtype, size, count):
    full, (height, width) = np.iinfo(dtype).max, size
    pixels = rng.integers(0, full, (count, height, width, 3), dtype=dtype, endpoint=True)
    pixels[0] = full
    half = half_of(height, width)
    larger = np.zeros((count, height + 2, width + 3, 3), dtype)
    larger[:, 1:-1, 2:-1] = pixels
    stack = tensor(larger)[:, 1:-1, 2:-1]
    planes = inside(tensor(np.full((3 * count, *half), np.nan, np.float32)))
    lumas = inside(tensor(np.full((count, *half), np.nan, np.float32)))
    reduce_pixels(launcher, stack, planes=planes, lumas=lumas)
    for index, one in enumerate(pixels):
        expected = kernels.reduce_pixels(one)
        found = host(planes).reshape(count, 3, *half)[index]
        np.testing.assert_allclose(found, expected, rtol=0, atol=FLOAT_TOLERANCE)
    expected = kernels.reduce_lumas(list(pixels))
    np.testing.assert_allclose(host(lumas), expected, rtol=0, atol=FLOAT_TOLERANCE)
    alone = torch.full_like(lumas, torch.nan)
    reduce_pixels(launcher, stack, planes=None, lumas=alone)
    np.testing.assert_array_equal(host(alone), host(lumas))


@pytest.mark.parametrize("size", [*SIZES, (40, 200)])
def test_planes_are_reduced(launcher, rng, size):
    planes = noise(rng, 6, *size)
    expected = kernels.reduce_planes(planes)
    given = inside(tensor(planes))
    found = host(reduce_planes(launcher, given))
    np.testing.assert_allclose(found, expected, rtol=0, atol=FLOAT_TOLERANCE)
    into = inside(tensor(np.zeros_like(expected)))
    assert reduce_planes(launcher, given, into) is into
    np.testing.assert_array_equal(host(into), found)


@pytest.mark.parametrize("saliency", [0.0, 1.5])
@pytest.mark.parametrize("times", [0, 1, 3])
@pytest.mark.parametrize("count", [2, 3, 9])
@pytest.mark.parametrize("size", [*SIZES, (18, 129)])
def test_a_band_is_added(launcher, rng, size, count, times, saliency):
    fine, fused = noise(rng, count, *size), noise(rng, *half_of(*size))
    coarse = kernels.reduce_planes(fine)
    maps = 3 * noise(rng, 4 * count + 1, *(-(-side >> times) for side in size)) - 1
    place = Rect(0, 0, *size)
    expected = kernels.add_band(
        fused, fine, coarse, maps, times=times, place=place, saliency=saliency
    )
    found = add_band(
        launcher,
        inside(tensor(fused)[None])[0],
        inside(tensor(fine)),
        inside(tensor(coarse)),
        Level(tensor(maps), times, place, saliency),
    )
    np.testing.assert_allclose(host(found), expected, rtol=0, atol=FLOAT_TOLERANCE)


def test_the_bits_of_a_pixel_do_not_depend_on_where_its_array_begins(launcher, rng):
    fine, fused = tensor(noise(rng, 3, 64, 96)), tensor(noise(rng, 32, 48))
    coarse, maps = reduce_planes(launcher, fine), tensor(noise(rng, 13, 16, 24))
    whole = add_band(launcher, fused, fine, coarse, Level(maps, 2, Rect(0, 0, 64, 96), 1.5))
    for top, left, bottom, right in [(8, 10, 50, 90), (2, 4, 64, 71), (20, 0, 41, 33)]:
        rows, columns = (
            slice(top // 2, -(-bottom // 2)),
            slice(left // 2, -(-right // 2)),
        )
        part = add_band(
            launcher,
            fused[rows, columns],
            fine[:, top:bottom, left:right],
            coarse[:, rows, columns],
            Level(maps, 2, Rect(top, left, bottom - top, right - left), 1.5),
        )
        inner = whole[top + 4 : bottom - 4, left + 4 : right - 4]
        np.testing.assert_array_equal(host(part[4:-4, 4:-4]), host(inner), strict=True)


@pytest.mark.parametrize("logit", [-1e30, -200.0, 200.0, 1e30])
@pytest.mark.parametrize("count", [2, 3])
def test_no_logit_is_too_large(launcher, rng, logit, count):
    fine, fused = noise(rng, count, 8, 8), np.zeros((4, 4), np.float32)
    maps = np.zeros((4 * count + 1, 8, 8), np.float32)
    maps[0], maps[-1] = logit, 100.0
    place, coarse = Rect(0, 0, 8, 8), np.zeros((count, 4, 4), np.float32)
    expected = kernels.add_band(fused, fine, coarse, maps, times=0, place=place, saliency=0.0)
    level = Level(tensor(maps), 0, place, 0.0)
    found = add_band(launcher, tensor(fused), tensor(fine), tensor(coarse), level)
    assert np.isfinite(host(found)).all()
    np.testing.assert_allclose(host(found), expected, rtol=1e-5)


def make_exposures(rng, count, dtype, height=23, width=170):
    """Exposures with places near black, near white and at either end."""
    full = np.iinfo(dtype).max
    picture = rng.integers(0, full, (count, height, width, 3), dtype=dtype, endpoint=True)
    picture[:, :4] //= 20
    picture[:, 4:6] = full - picture[:, 4:6] // 20
    picture[0, 6:7], picture[-1, 6:7] = 0, full
    return picture


def make_level(rng, count, height, width):
    """What is above a picture, and its maps: (fused, coarse, maps)."""
    above = half_of(height, width)
    maps = noise(rng, 4 * count + 1, -(-height // 4), -(-width // 4))
    return noise(rng, *above), noise(rng, count, *above), maps


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (7, 1), (23, 170)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("count", [2, 3, 9])
@pytest.mark.parametrize("rule", [RULE, ColourRule(-1.0, 2.0, 1.0, 0.2, -0.3, 1.5)])
def test_pixels_are_blended_and_coloured(launcher, rng, count, dtype, rule, size):
    exposures = make_exposures(rng, count, dtype, *size)
    place = Rect(8, 16, *size)
    fused, coarse, maps = make_level(rng, count, size[0] + 8, size[1] + 16)
    fused, coarse = fused[4:, 8:], coarse[:, 4:, 8:]
    expected = kernels.blend_pixels(
        list(exposures), fused, coarse, maps,
        times=2, place=place, core=place, saliency=1.5, rule=rule,
    )  # fmt: skip
    level = Level(tensor(maps), 2, place, 1.5)
    given = (tensor(exposures), tensor(fused), tensor(coarse), level)
    found = host(blend_pixels(launcher, *given, core=place, rule=rule))
    assert found.dtype == dtype
    difference = np.abs(found.astype(int) - expected)
    assert difference.max() <= 1
    # And one value more: of a picture of seven pixels one is a twentieth.
    assert (difference > 0).sum() <= 1 + difference.size * (1e-3 if dtype == np.uint8 else 2e-2)
    if size == (23, 170):
        for core in (Rect(10, 40, 9, 100), Rect(8, 16, 1, 1), Rect(30, 185, 1, 1)):
            part = host(blend_pixels(launcher, *given, core=core, rule=rule))
            np.testing.assert_array_equal(part, found[core.relative_to(place).slices])


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("target", [Rect(0, 0, 61, 83), Rect(7, 9, 1, 70), Rect(50, 80, 11, 1)])
@pytest.mark.parametrize("to_moving", MAPS.values(), ids=MAPS.keys())
def test_a_window_is_warped(launcher, rng, dtype, to_moving, target):
    full = np.iinfo(dtype).max
    picture = rng.integers(0, full, (61, 83, 3), dtype=dtype, endpoint=True)
    moving = Moving(tensor(picture), Rect(0, 0, 61, 83), 61, 83)
    expected = warp_on_cpu(picture, to_moving, target)
    found = host(warp_pixels(launcher, moving, to_moving, target))
    difference = np.abs(found.astype(int) - expected)
    assert difference.max() <= 1
    assert (difference > 0).mean() < (0.001 if dtype == np.uint8 else 0.01)
    planes = warp_planes(launcher, moving, to_moving, target)
    expected = warp_planes_on_cpu(picture, to_moving, target)
    np.testing.assert_allclose(host(planes), expected, atol=2e-6)


def test_a_window_is_warped_from_the_part_that_it_needs(launcher, rng):
    picture = tensor(rng.integers(0, 256, (61, 83, 3), dtype=np.uint8))
    target = Rect(20, 30, 9, 11)
    whole = warp_pixels(launcher, Moving(picture, Rect(0, 0, 61, 83), 61, 83), TILT, target)
    region = Rect(10, 20, 40, 45)
    part = Moving(picture[region.slices], region, 61, 83)
    into = tensor(np.zeros((20, 30, 3), np.uint8))
    warp_pixels(launcher, part, TILT, target, into[3:12, 4:15])
    np.testing.assert_array_equal(host(into[3:12, 4:15]), host(whole))
    assert not into[12:].any()


def test_what_does_not_fit_is_refused(launcher, rng):
    fine, coarse = tensor(noise(rng, 2, 8, 8)), tensor(noise(rng, 2, 4, 4))
    fused, lumas = tensor(noise(rng, 4, 4)), tensor(noise(rng, 2, 4, 4))
    level = Level(tensor(noise(rng, 9, 4, 4)), 1, Rect(0, 0, 8, 8), 0.0)
    few = level._replace(maps=level.maps[:8])
    with pytest.raises(ValueError, match="expected the fused luma of shape"):
        add_band(launcher, fused[:, :3], fine, coarse, level)
    with pytest.raises(ValueError, match=r"expected maps of shape \(9, 4, 4\)"):
        add_band(launcher, fused, fine, coarse, few)
    with pytest.raises(ValueError, match="rows have no gaps"):
        reduce_planes(launcher, fine.transpose(1, 2))
    whole_numbers = torch.zeros((2, 8, 8, 3), dtype=torch.int32)
    with pytest.raises(ValueError, match="expected pixels of uint8 or uint16"):
        reduce_pixels(launcher, whole_numbers, planes=None, lumas=lumas)
    apart = torch.zeros((2, 3, 8, 8), dtype=torch.uint8).permute(0, 2, 3, 1)
    with pytest.raises(ValueError, match="expected interleaved pixels"):
        reduce_pixels(launcher, apart, planes=None, lumas=lumas)


def test_grids_are_those_of_the_source():
    text = "".join((FOLDER / name).read_text() for name in (SOURCE, *HEADERS))
    defined = dict(re.findall(r"^#define (\w+) (\d+)\b", text, re.MULTILINE))
    for name in (
        "THREADS", "HALF_WIDTH", "HALF_HEIGHT", "TILE_WIDTH", "TILE_HEIGHT", "WARPED_WIDTH",
        "WARPED_HEIGHT", "REACH", "CHANNELS", "MAX_EXPOSURES",
    ):  # fmt: skip
        numbers = definition if name == "MAX_EXPOSURES" else grids
        assert int(defined[name]) == getattr(numbers, name), name
    most = grids.grid_of_band(1, 1, definition.MAX_EXPOSURES).room_bytes
    assert most <= int(defined["ROOM_BYTES"]) == 48 * 1024


def test_a_block_that_leaves_its_room_is_seen(host_launcher, rng, monkeypatch):
    short = grids.grid_of_reduction(40, 200, 6)._replace(room_bytes=100)
    monkeypatch.setattr("model.torch_passes.grid_of_reduction", lambda *_: short)
    with pytest.raises(AssertionError, match="blocks of reduce_planes wrote outside"):
        reduce_planes(host_launcher, tensor(noise(rng, 6, 40, 200)))
