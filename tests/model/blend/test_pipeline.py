import dataclasses
import itertools

import cv2
import numpy as np
import pytest
import torch

from model.blend.levels import blend_halo, plan_levels, reduce_halo
from model.blend.pipeline import BlendPipeline
from model.blend.torch_engine import TorchEngine
from model.blend.torch_fused import FusedEngine
from model.blend.torch_network import BlendNetwork, build_pyramid
from model.errors import InferenceError
from model.exposure import IDENTITY, ExposureStack, StackAlignment
from model.geometry import reference_to_moving
from model.lightness.pipeline import LightnessPipeline
from model.lightness.torch_engine import TorchEngine as LightnessEngine
from model.lightness.torch_engine import TorchNetwork
from model.manifest import PyramidBlendConfig
from model.registration import AS_THEY_ARE
from model.tiling import Rect
from model.torch_colour import quantise
from model.torch_pipeline import create_blend_engine
from tests.model.laid import laid
from tests.model.peak_memory import measure_peak_mib, needs_proc
from tests.torch_devices import needs_cuda

SIZES = [(1, 1), (1, 40), (3, 2), (16, 16), (17, 333), (40, 31), (131, 260)]
SMALL_TILE_PX = 40
CPU = torch.device("cpu")
NETWORK_SIDES_PX = [16, 32, 256]
"""With them the sizes need levels 2 to 5 of the network."""


BY_WINDOWS = ["cpu", "torch", "fused by windows"]
"""Engines whose windows are all that they see of a picture at its own size."""


@pytest.fixture(scope="module", params=[*BY_WINDOWS, "fused"])
def make_engine(request, host_launcher):
    return make_maker(request.param, host_launcher)


@pytest.fixture(scope="module", params=BY_WINDOWS)
def make_engine_of_windows(request, host_launcher):
    return make_maker(request.param, host_launcher)


def make_maker(kind, launcher):
    """What makes an engine of a network: the fused ones compute the GPU's kernels on the CPU."""

    def make(network):
        if kind == "cpu":
            return create_blend_engine(network, device="cpu", threads=2)
        if kind == "torch":
            return TorchEngine(network, device=CPU)
        keep_bytes = 0 if kind == "fused by windows" else None
        return FusedEngine(network, launcher=launcher, device=CPU, keep_bytes=keep_bytes)

    return make


@pytest.fixture(scope="module")
def engine(make_engine, blend_network):
    return make_engine(blend_network)


def to_planes(pixels):
    full = np.iinfo(pixels.dtype).max
    return torch.from_numpy(pixels.astype(np.float32) / full).permute(2, 0, 1)[None]


def to_pixels(planes, dtype):
    rounded = quantise(planes, torch.uint8 if dtype == np.uint8 else torch.uint16)
    return rounded[0].permute(1, 2, 0).numpy()


def fuse_whole(network, pair):
    """The network on whole pictures, without passes and windows."""
    return to_pixels(
        network(to_planes(pair.darkest), to_planes(pair.brightest)), pair.darkest.dtype
    )


def assert_equal_to_rounding(one, other):
    """At most one code apart, and that at few values; a code of uint16 is 1.5e-5 of full scale."""
    assert one.dtype == other.dtype
    assert one.shape == other.shape
    difference = np.abs(one.astype(int) - other.astype(int))
    assert difference.max() <= 1
    # 1e-3 of an 8-bit picture's values, and 2e-2 of a small 16-bit one's.
    assert (difference > 0).mean() <= (1e-3 if one.dtype == np.uint8 else 2e-2)


def make_pair(make_scene, height, width, dtype=np.uint8):
    """A scene of any size; the smallest that a client may send is larger than some of them."""
    scene = make_scene(max(height, 16), max(width, 16), dtype)
    under, over = (image[:height, :width].copy() for image in (scene.darkest, scene.brightest))
    return ExposureStack((under, over), (0, 1))


@pytest.mark.parametrize("side_px", NETWORK_SIDES_PX)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize(("height", "width"), SIZES)
def test_windows_equal_the_whole(
    make_engine, make_blend, make_scene, height, width, dtype, side_px
):
    network = make_blend(network_side_px=side_px)
    pair = make_pair(make_scene, height, width, dtype)
    whole = fuse_whole(network, pair)
    for tile_px in (SMALL_TILE_PX, 4096):
        tiled = BlendPipeline(make_engine(network), tile_px=tile_px).fuse(pair)
        assert_equal_to_rounding(tiled, whole)
    if min(height, width) > 1:
        assert np.abs(whole.astype(int) - pair.brightest).mean() > 0.01 * np.iinfo(dtype).max


@pytest.mark.parametrize("side_px", NETWORK_SIDES_PX[1:])
def test_one_grid_step_less_of_halo_breaks_it(make_engine_of_windows, make_blend, side_px):
    network = make_blend(network_side_px=side_px)
    # Noise of full contrast, for the outermost pixels weigh little: they decide a code or a few of
    # 16 bit, where rounding decides one at most.
    shape, full = (131, 173, 3), 65535
    noise = np.random.default_rng(0).integers(0, full, (2, *shape), np.uint16, endpoint=True)
    pair = ExposureStack(tuple(noise), (0, 1))
    whole = fuse_whole(network, pair).astype(int)
    reduction = plan_levels(131, 173, network_side_px=side_px).reduction
    halo_px = blend_halo(reduction)
    enough, too_little = (
        BlendPipeline(
            make_engine_of_windows(network), tile_px=SMALL_TILE_PX, halo_px=margin_px
        ).fuse(pair)
        for margin_px in (halo_px, halo_px - 2**reduction)
    )
    assert np.abs(enough - whole).max() <= 1
    assert np.abs(too_little - whole).max() > 2


@pytest.mark.parametrize("reduction", [2, 3])
def test_the_reduced_picture_is_the_whole_s_by_no_smaller_halo(
    make_engine_of_windows, make_blend, make_scene, monkeypatch, reduction
):
    network = make_blend(network_side_px=64 if reduction == 2 else 32)
    pair = make_scene(131, 173)
    planes = torch.stack([to_planes(pair.darkest), to_planes(pair.brightest)], dim=1)
    whole = build_pyramid(planes, reduction)[-1][0].numpy()

    def measure_difference():
        pipeline = BlendPipeline(make_engine_of_windows(network), tile_px=SMALL_TILE_PX)
        run = pipeline.begin(pair, AS_THEY_ARE)
        pipeline.fuse_windows([(run, window) for window in run.passes[0]])
        return np.abs(np.asarray(run.canvas._reduced).reshape(whole.shape) - whole).max()

    assert measure_difference() < 1e-6
    halo_px = reduce_halo(reduction) - 2**reduction
    monkeypatch.setattr("model.blend.pipeline.reduce_halo", lambda _: halo_px)
    assert measure_difference() > 1e-4


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize(("reference", "moving"), [(1, 0), (0, 1)])
def test_a_warped_pair_is_fused_as_if_it_had_come_warped(
    make_engine, blend_network, make_scene, tilt, dtype, reference, moving
):
    pair = make_scene(61, 131, dtype)
    reports = tuple(None if index == reference else tilt for index in range(2))
    to_moving = reference_to_moving(tilt.homography, 61, 131)
    moved_exposures, engine = list(pair.exposures), make_engine(blend_network)
    moved_exposures[moving] = engine.warp(pair.exposures[moving], to_moving, Rect(0, 0, 61, 131))
    moved = dataclasses.replace(pair, exposures=tuple(moved_exposures))
    pipeline = BlendPipeline(engine, tile_px=SMALL_TILE_PX)
    fused = pipeline.fuse(pair, laid(StackAlignment(reference, reports)))
    np.testing.assert_array_equal(fused, pipeline.fuse(moved))
    whole = blend_network(to_planes(moved.darkest), to_planes(moved.brightest))
    assert_equal_to_rounding(fused, to_pixels(whole, dtype))
    assert np.abs(pipeline.fuse(pair).astype(int) - fused).max() > 10


def test_a_report_of_the_identity_warps_nothing(engine, make_scene, tilt):
    pair = make_scene(40, 50)
    report = dataclasses.replace(tilt, model="identity", homography=IDENTITY)
    alignment = StackAlignment(1, (report, None))
    pipeline = BlendPipeline(engine)
    assert pipeline.begin(pair, laid(alignment)).motions == (None, None)
    assert np.array_equal(pipeline.fuse(pair, laid(alignment)), pipeline.fuse(pair))


def test_a_coarse_pass_that_fails_in_opencv_is_an_error_of_ours(
    blend_network, make_scene, monkeypatch
):
    pipeline = BlendPipeline(create_blend_engine(blend_network, device="cpu", threads=1))
    run = pipeline.begin(make_scene(61, 131), AS_THEY_ARE)
    pipeline.fuse_windows([(run, run.passes[0][0])])

    def refuse(planes):
        return cv2.pyrDown(planes[0, 0, :0])

    monkeypatch.setattr("model.blend.cpu_engine.to_lumas", refuse)
    with pytest.raises(InferenceError, match="OpenCV failed"):
        pipeline.fuse_windows([(run, run.passes[1][0])])


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_exposures_that_change_places_give_the_same_picture(engine, make_scene, dtype):
    pair = make_scene(61, 131, dtype)
    turned = ExposureStack((pair.brightest, pair.darkest), (0, 1))
    pipeline = BlendPipeline(engine, tile_px=SMALL_TILE_PX)
    assert_equal_to_rounding(pipeline.fuse(turned), pipeline.fuse(pair))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_equal_exposures_come_back_from_the_initial_network(make_engine, dtype):
    full = np.iinfo(dtype).max
    pixels = np.random.default_rng(0).integers(0, full, (61, 75, 3), dtype=dtype, endpoint=True)
    pair = ExposureStack.from_images([pixels, pixels])
    network = BlendNetwork(PyramidBlendConfig()).eval().requires_grad_(False)
    assert np.array_equal(BlendPipeline(make_engine(network)).fuse(pair), pixels)


@pytest.mark.parametrize("level", [0, 255])
def test_black_and_white_stay_black_and_white(engine, level):
    pixels = np.full((40, 50, 3), level, np.uint8)
    assert (BlendPipeline(engine).fuse(ExposureStack((pixels, pixels), (0, 1))) == level).all()


@pytest.mark.parametrize("is_warped", [False, True])
def test_a_picture_has_the_same_bits_alone_and_in_company(engine, make_scene, tilted, is_warped):
    report = tilted if is_warped else None
    pipeline = BlendPipeline(engine, tile_px=SMALL_TILE_PX)
    pairs = [make_scene(61, 131, np.uint16, seed=seed) for seed in range(2)]
    pairs.append(make_scene(100, 40))
    alone = [pipeline.fuse(pair, laid(report)) for pair in pairs]
    runs = [pipeline.begin(pair, laid(report)) for pair in pairs]
    for windows in zip(*(run.passes for run in runs), strict=True):
        turns = [(run, one) for run, some in zip(runs, windows, strict=True) for one in some]
        assert len({window.batch_key for _, window in turns}) == 1
        pipeline.fuse_windows(turns[::-1])
    for run, picture in zip(runs, alone, strict=True):
        assert np.array_equal(run.output, picture)


def test_threads_do_not_change_a_bit(blend_network, make_scene, tilted):
    pair = make_scene(131, 260, np.uint16)
    torch_threads, opencv_threads = torch.get_num_threads(), cv2.getNumThreads()
    pictures = []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            engine = create_blend_engine(blend_network, device="cpu", threads=threads)
            pictures.append(BlendPipeline(engine, tile_px=SMALL_TILE_PX).fuse(pair, laid(tilted)))
    finally:
        assert torch.get_num_threads() == 3
        torch.set_num_threads(torch_threads)
    assert np.array_equal(pictures[0], pictures[1])
    assert np.array_equal(pictures[0], pictures[2])
    assert cv2.getNumThreads() == opencv_threads


def test_a_window_may_be_fused_again(engine, make_scene):
    pair = make_scene(61, 131)
    pipeline = BlendPipeline(engine, tile_px=SMALL_TILE_PX)
    run = pipeline.begin(pair, AS_THEY_ARE)
    for windows in run.passes:
        for window in (*windows, *windows[:2]):
            pipeline.fuse_windows([(run, window)])
    assert np.array_equal(run.output, pipeline.fuse(pair))


def test_a_window_before_its_turn_is_refused(engine, make_scene):
    pipeline = BlendPipeline(engine, tile_px=SMALL_TILE_PX)
    run = pipeline.begin(make_scene(61, 131), AS_THEY_ARE)
    reduce, coarse, blend = run.passes
    for window in reduce[1:]:
        pipeline.fuse_windows([(run, window)])
    with pytest.raises(ValueError, match="fused before one of 'coarse'"):
        pipeline.fuse_windows([(run, coarse[0])])
    pipeline.fuse_windows([(run, reduce[0])])
    with pytest.raises(ValueError, match="expected 1 windows of the pass 'coarse'"):
        pipeline.fuse_windows([(run, blend[0])])


def test_runs_and_batches_of_others_are_refused(engine, lively_network, make_scene):
    pipeline = BlendPipeline(engine, tile_px=SMALL_TILE_PX)
    pair = make_scene(61, 75)
    run = pipeline.begin(pair, AS_THEY_ARE)
    with pytest.raises(ValueError, match="got 0 keys"):
        pipeline.fuse_windows([])
    with pytest.raises(ValueError, match="got 3 keys"):
        pipeline.fuse_windows([(run, windows[0]) for windows in run.passes])
    other_engine = LightnessEngine(TorchNetwork(lively_network, device=torch.device("cpu")))
    other = LightnessPipeline(other_engine, chroma="mean").begin(pair, AS_THEY_ARE)
    with pytest.raises(ValueError, match="that this pipeline began"):
        pipeline.fuse_windows([(other, other.passes[0][0])])


def test_read_only_exposures_are_fused_into_the_given_array(engine, make_scene):
    pair = make_scene(40, 50)
    pair.darkest.flags.writeable = False
    pair.brightest.flags.writeable = False
    pipeline = BlendPipeline(engine)
    out = np.zeros_like(pair.darkest)
    run = pipeline.begin(pair, AS_THEY_ARE, out)
    assert run.output is out
    for window in itertools.chain.from_iterable(run.passes):
        pipeline.fuse_windows([(run, window)])
    assert np.array_equal(out, pipeline.fuse(pair))


def test_an_output_that_does_not_fit_is_refused(engine, make_scene):
    pipeline = BlendPipeline(engine)
    with pytest.raises(ValueError, match="expected a writeable output"):
        pipeline.begin(make_scene(20, 30), AS_THEY_ARE, np.zeros((30, 20, 3), np.uint8))


@pytest.mark.parametrize(
    ("raised", "expected"),
    [
        (lambda: cv2.resize(np.zeros((0, 0)), (1, 1)), InferenceError),
        (lambda: np.empty(2**60, np.float32), MemoryError),
    ],
)
def test_a_failing_window_writes_nothing_and_breaks_no_other_run(
    blend_network, make_scene, monkeypatch, raised, expected
):
    pipeline = BlendPipeline(create_blend_engine(blend_network, device="cpu", threads=2))
    pairs = [make_scene(40, 50, seed=seed) for seed in range(2)]
    runs = [pipeline.begin(pair, AS_THEY_ARE, np.full_like(pair.darkest, 7)) for pair in pairs]
    for number in range(2):
        pipeline.fuse_windows([(run, run.passes[number][0]) for run in runs])
    blend = type(runs[0].canvas).blend
    with monkeypatch.context() as broken:
        broken.setattr(
            type(runs[0].canvas),
            "blend",
            lambda canvas, *rest: raised() if canvas is runs[0].canvas else blend(canvas, *rest),
        )
        with pytest.raises(expected):
            pipeline.fuse_windows([(run, run.passes[2][0]) for run in runs])
        assert all((run.output == 7).all() for run in runs)
        pipeline.fuse_windows([(runs[1], runs[1].passes[2][0])])
    assert np.array_equal(runs[1].output, pipeline.fuse(pairs[1]))
    assert (runs[0].output == 7).all()


@pytest.mark.gpu
@needs_cuda
@pytest.mark.parametrize("side_px", NETWORK_SIDES_PX)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize(("height", "width"), SIZES)
def test_cuda_gives_the_picture_of_the_cpu(
    make_blend, make_scene, tilted, height, width, dtype, side_px
):
    network = make_blend(network_side_px=side_px)
    pair = make_pair(make_scene, height, width, dtype)
    report = tilted if min(height, width) >= 16 else None
    engines = (create_blend_engine(network, device=device) for device in ("cpu", "cuda:0"))
    pictures = [
        BlendPipeline(one, tile_px=SMALL_TILE_PX).fuse(pair, laid(report)) for one in engines
    ]
    assert_equal_to_rounding(pictures[1], pictures[0])


@pytest.mark.gpu
@needs_cuda
def test_on_cuda_a_picture_has_the_same_bits_alone_and_in_company(blend_network, make_scene):
    pipeline = BlendPipeline(
        create_blend_engine(blend_network, device="cuda:0"), tile_px=SMALL_TILE_PX
    )
    pairs = [make_scene(61, 131, np.uint16, seed=seed) for seed in range(2)]
    alone = [pipeline.fuse(pair) for pair in pairs]
    runs = [pipeline.begin(pair, AS_THEY_ARE) for pair in pairs]
    for number in range(3):
        windows = [(run, window) for run in runs for window in run.passes[number]]
        pipeline.fuse_windows(windows[::-1])
    for run, picture in zip(runs, alone, strict=True):
        assert np.array_equal(run.output, picture)


@pytest.mark.slow
@needs_proc
def test_peak_memory_beside_the_picture_is_that_of_the_windows_and_the_canvas(blend_weights_dir):
    small, large = (measure_peak_mib(blend_weights_dir, side) for side in (500, 3000))
    # Two exposures of the larger picture as float planes would take 206 MiB alone.
    assert large < 150
    assert large - small < 100
