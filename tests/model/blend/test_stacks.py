"""Stacks of three to nine exposures: both engines, windows, any order, warps and memory."""

import dataclasses

import numpy as np
import pytest
import torch

from model.blend.pipeline import BlendPipeline
from model.blend.torch_engine import TorchEngine
from model.exposure import ExposureStack, StackAlignment
from model.geometry import reference_to_moving
from model.lightness.pipeline import LightnessPipeline
from model.lightness.torch_engine import TorchEngine as LightnessEngine
from model.lightness.torch_engine import TorchNetwork
from model.registration import AS_THEY_ARE
from model.run import prepare_motions
from model.tiling import Rect
from model.torch_pipeline import create_blend_engine
from tests.model.blend.test_pipeline import (
    BY_WINDOWS,
    SMALL_TILE_PX,
    assert_equal_to_rounding,
    make_maker,
    to_pixels,
    to_planes,
)
from tests.model.laid import laid
from tests.model.peak_memory import measure_peak_mib, needs_proc

COUNTS = [3, 5, 9]
CPU = torch.device("cpu")


def fuse_whole(network, stack):
    """The network on whole pictures, without passes and windows."""
    return to_pixels(network.fuse([to_planes(one) for one in stack.exposures]), stack.darkest.dtype)


@pytest.fixture(scope="module", params=[*BY_WINDOWS, "fused"])
def pipeline(request, blend_network, host_launcher):
    engine = make_maker(request.param, host_launcher)(blend_network)
    return BlendPipeline(engine, tile_px=SMALL_TILE_PX)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("count", COUNTS)
def test_windows_of_a_stack_equal_the_whole(pipeline, blend_network, make_stack, count, dtype):
    stack = make_stack(count, 131, 173, dtype)
    whole = fuse_whole(blend_network, stack)
    assert_equal_to_rounding(pipeline.fuse(stack), whole)
    assert_equal_to_rounding(BlendPipeline(pipeline.engine).fuse(stack), whole)
    for exposure in stack.exposures:
        assert np.abs(whole.astype(int) - exposure).mean() > 0.01 * np.iinfo(dtype).max


@pytest.mark.parametrize("saliency", [False, True])
@pytest.mark.parametrize("count", COUNTS)
def test_both_engines_fuse_a_stack_to_one_code(make_blend, make_stack, count, saliency):
    network = make_blend(saliency=saliency)
    stack = make_stack(count, 131, 173, np.uint16)
    pictures = [
        BlendPipeline(engine, tile_px=SMALL_TILE_PX).fuse(stack)
        for engine in (
            create_blend_engine(network, device="cpu", threads=1),
            TorchEngine(network, device=CPU),
        )
    ]
    assert_equal_to_rounding(*pictures)


@pytest.mark.parametrize("count", COUNTS)
def test_any_order_of_a_stack_gives_the_same_picture(pipeline, make_stack, count):
    stack = make_stack(count, 61, 131, np.uint16)
    fused = pipeline.fuse(stack)
    for shift in (1, count // 2):
        turned = (*stack.exposures[shift:], *stack.exposures[:shift])
        again = pipeline.fuse(dataclasses.replace(stack, exposures=turned))
        assert np.abs(again.astype(int) - fused).max() <= 1


@pytest.mark.parametrize("level", [0, 255])
@pytest.mark.parametrize("count", COUNTS)
def test_black_and_white_stacks_stay_black_and_white(pipeline, count, level):
    pixels = np.full((40, 50, 3), level, np.uint8)
    assert (pipeline.fuse(ExposureStack.from_images([pixels] * count)) == level).all()


def test_a_warped_stack_is_fused_as_if_it_had_come_warped(pipeline, make_stack, tilt):
    stack = make_stack(5, 61, 131)
    still = dataclasses.replace(tilt, model="identity")
    other = dataclasses.replace(tilt, homography=(1, 0, 5, 0, 1, -3, 0, 0, 1))
    alignment = StackAlignment(2, (tilt, other, None, still, tilt))
    motions = prepare_motions(stack, alignment)
    assert [motion is not None for motion in motions] == [True, True, False, False, True]
    moved = list(stack.exposures)
    for index, report in ((0, tilt), (1, other), (4, tilt)):
        to_moving = reference_to_moving(report.homography, 61, 131)
        moved[index] = pipeline.engine.warp(moved[index], to_moving, Rect(0, 0, 61, 131))
    fused = pipeline.fuse(stack, laid(alignment))
    expected = pipeline.fuse(dataclasses.replace(stack, exposures=tuple(moved)))
    np.testing.assert_array_equal(fused, expected)
    assert np.abs(pipeline.fuse(stack).astype(int) - fused).max() > 10


@pytest.mark.parametrize("kind", BY_WINDOWS)
def test_an_exposure_is_warped_once_and_one_at_rest_is_not_kept(
    kind, host_launcher, blend_network, make_stack, tilt, monkeypatch
):
    engine = make_maker(kind, host_launcher)(blend_network)
    pipeline, warped = BlendPipeline(engine, tile_px=SMALL_TILE_PX), []

    warp = pipeline.engine.warp

    def count(pixels, motion, window):
        warped.append(id(pixels))
        return warp(pixels, motion, window)

    monkeypatch.setattr(pipeline.engine, "warp", count)
    stack = make_stack(5, 61, 131)
    run = pipeline.begin(stack, laid(StackAlignment(2, (tilt, tilt, None, tilt, None))))
    assert [one is not None for one in run.source.prepared] == [True, True, False, True, False]
    for windows in run.passes:
        for window in windows:
            pipeline.fuse_windows([(run, window)])
    moving = [id(stack.exposures[index]) for index in (0, 1, 3)]
    assert sorted(warped) == sorted(moving * len(run.passes[0]))


def test_alignment_of_another_number_of_exposures_is_refused(pipeline, make_stack, tilt):
    with pytest.raises(ValueError, match="alignment of 3 exposures, got 2"):
        pipeline.begin(make_stack(3, 40, 50), laid(StackAlignment(1, (tilt, None))))


def test_stacks_of_several_sizes_share_a_micro_batch(pipeline, make_stack, make_scene):
    stacks = [make_stack(3, 61, 131), make_stack(9, 61, 131), make_scene(61, 131)]
    alone = [pipeline.fuse(stack) for stack in stacks]
    runs = [pipeline.begin(stack, AS_THEY_ARE) for stack in stacks]
    for windows in zip(*(run.passes for run in runs), strict=True):
        turns = [(run, one) for run, some in zip(runs, windows, strict=True) for one in some]
        pipeline.fuse_windows(turns[::-1])
    for run, picture in zip(runs, alone, strict=True):
        assert np.array_equal(run.output, picture)


def test_the_pipeline_for_pairs_takes_the_darkest_and_the_brightest(
    lively_network, make_stack, tilt
):
    pipeline = LightnessPipeline(
        LightnessEngine(TorchNetwork(lively_network, device=CPU)), chroma="mean"
    )
    stack = make_stack(5, 61, 75)
    ends = ExposureStack((stack.darkest, stack.brightest), (0, 1))
    np.testing.assert_array_equal(pipeline.fuse(stack), pipeline.fuse(ends))
    other = dataclasses.replace(tilt, homography=(1, 0, 5, 0, 1, -3, 0, 0, 1))
    np.testing.assert_array_equal(
        pipeline.fuse(stack, laid(StackAlignment(2, (tilt, other, None, other, None)))),
        pipeline.fuse(ends, laid(StackAlignment(1, (tilt, None)))),
    )


@pytest.mark.slow
@needs_proc
def test_peak_memory_of_a_stack_is_that_of_the_windows_and_the_canvas(blend_weights_dir):
    small, large = (measure_peak_mib(blend_weights_dir, side, count=5) for side in (500, 3000))
    # Five exposures of the larger picture as float planes would take 515 MiB alone.
    assert large < 300
    assert large - small < 200
