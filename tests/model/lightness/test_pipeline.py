import dataclasses
import itertools
from typing import get_args

import numpy as np
import pytest
import torch

from model.errors import InferenceError
from model.exposure import IDENTITY, ExposureStack, StackAlignment
from model.lightness.cpu_engine import CpuEngine, OnnxNetwork
from model.lightness.definition import HALO_PX, ChromaRule
from model.lightness.pipeline import LightnessPipeline
from model.lightness.torch_engine import TorchEngine, TorchNetwork
from model.registration import AS_THEY_ARE
from model.tiling import plan_windows
from model.torch_kernels import open_kernels
from tests.model.laid import laid
from tests.model.peak_memory import measure_peak_mib, needs_proc
from tests.torch_devices import needs_cuda

SIZES = [(16, 16), (16, 203), (17, 33), (31, 47), (61, 131)]
SMALL_TILE_PX = 24
WHOLE_TILE_PX = 4096


class MeanNetwork:
    """Averages lightness, so that what surrounds the network can be seen alone."""

    device = torch.device("cpu")
    precision = "float32"
    preferred_batch = 4

    def __init__(self):
        self.calls = []

    def run(self, under_l, over_l, *, padding):
        self.calls.append((padding, tuple(under_l.shape)))
        fused = (under_l + over_l) / 2
        return fused if padding == "reflect" else fused[..., 8:-8, 8:-8]


class FaultyNetwork(MeanNetwork):
    """Answers with one window too few, or fails, while `fault` says so."""

    fault = None

    def run(self, under_l, over_l, *, padding):
        if self.fault == "fails":
            raise InferenceError("the network failed")
        fused = super().run(under_l, over_l, padding=padding)
        return fused[:-1] if self.fault == "short" else fused


def average(kind=TorchEngine, network=None):
    """An engine around a network that averages."""
    engine = kind(network or MeanNetwork())
    engine.tile_px = SMALL_TILE_PX
    return engine


@pytest.fixture(scope="module", params=["cpu", "torch"])
def engine(request, lively_network, loaded_weights):
    if request.param == "cpu":
        return CpuEngine(OnnxNetwork(loaded_weights.directory, threads=2))
    return TorchEngine(TorchNetwork(lively_network, device=torch.device("cpu")))


def fuse_whole(network, pair):
    """The path without windows, in the order of the pipeline."""
    from model.torch_colour import lab_to_srgb, quantise, srgb_to_lab

    full = np.iinfo(pair.darkest.dtype).max
    under, over = (
        srgb_to_lab(torch.from_numpy(image.astype(np.float32) / full).permute(2, 0, 1)[None])
        for image in (pair.darkest, pair.brightest)
    )
    fused = (under + over) / 2
    fused[:, :1] = network(under[:, :1], over[:, :1])
    dtype = torch.uint8 if full == 255 else torch.uint16
    return quantise(lab_to_srgb(fused), dtype)[0].permute(1, 2, 0).numpy()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize(("height", "width"), SIZES)
def test_tiled_equals_whole(engine, lively_network, make_scene, height, width, dtype):
    pair = make_scene(height, width, dtype)
    tiled = LightnessPipeline(engine, chroma="mean", tile_px=SMALL_TILE_PX).fuse(pair)
    whole = fuse_whole(lively_network, pair)
    difference = np.abs(tiled.astype(int) - whole.astype(int))
    assert tiled.shape == pair.darkest.shape
    assert tiled.dtype == dtype
    # One step where rounding falls on either side; a step of uint16 is 1.5e-5 of full scale.
    assert difference.max() <= 1
    assert (difference > 0).mean() < 0.05
    assert tiled.std() > 0.01 * np.iinfo(dtype).max


def test_lightness_tiled_equals_whole_within_1e_5_of_full_scale(loaded_weights, lively_network):
    network = OnnxNetwork(loaded_weights.directory, threads=2)
    height, width = 75, 103
    planes = 100 * np.random.default_rng(0).random((2, height, width), dtype=np.float32)
    given = torch.from_numpy(planes)[:, None, None]
    whole = lively_network(*given)[0, 0].numpy()
    for window in plan_windows(height, width, halo_px=HALO_PX, tile_px=SMALL_TILE_PX):
        under, over = (plane[window.source.slices] for plane in planes)
        is_interior = window.kind == "interior"
        fused = network.run(under, over, padding="valid" if is_interior else "reflect")
        covered = window.source.shrunk(HALO_PX if is_interior else 0)
        core = fused[window.core.relative_to(covered).slices]
        assert np.abs(core - whole[window.core.slices]).max() <= 1e-5 * 100


@pytest.mark.parametrize("chroma", get_args(ChromaRule))
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_arrays_give_the_picture_of_tensors_within_a_level(
    lively_network, loaded_weights, make_scene, tilted, dtype, chroma
):
    engines = (
        CpuEngine(OnnxNetwork(loaded_weights.directory, threads=1)),
        TorchEngine(TorchNetwork(lively_network, device=torch.device("cpu"))),
    )
    pair = make_scene(61, 131, dtype)
    for alignment in (None, tilted):
        ours, theirs = (
            LightnessPipeline(engine, chroma=chroma).fuse(pair, laid(alignment)).astype(int)
            for engine in engines
        )
        # A level of 8 bits: dark colours magnify float rounding in a picture of 16.
        assert np.abs(ours - theirs).max() <= (1 if dtype == np.uint8 else 40)
        assert np.abs(ours - theirs).mean() < 0.5


def test_one_pixel_less_of_halo_breaks_it(engine, lively_network, make_scene):
    short = LightnessPipeline(
        engine, chroma="mean", tile_px=SMALL_TILE_PX, halo_px=engine.halo_px - 1
    )
    thin = make_scene(16, 203, np.uint16)
    whole = fuse_whole(lively_network, thin).astype(int)
    assert np.abs(short.fuse(thin).astype(int) - whole).max() > 10
    with pytest.raises(InferenceError, match="expected a result that covers"):
        short.fuse(make_scene(61, 131))


@pytest.mark.parametrize("chroma", ["weighted", "unclipped"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_warped_pair_is_fused_alike_in_any_tiling(engine, make_scene, tilted, dtype, chroma):
    pair = make_scene(61, 131, dtype)
    pictures = [
        LightnessPipeline(engine, chroma=chroma, tile_px=tile_px).fuse(pair, laid(tilted))
        for tile_px in (SMALL_TILE_PX, WHOLE_TILE_PX)
    ]
    assert np.abs(pictures[0].astype(int) - pictures[1].astype(int)).max() <= 1
    unwarped = LightnessPipeline(engine, chroma=chroma).fuse(pair)
    assert np.abs(pictures[0].astype(int) - unwarped.astype(int)).max() > 10


@pytest.mark.parametrize("chroma", ["mean", "unclipped"])
@pytest.mark.parametrize("is_warped", [False, True])
def test_a_picture_has_the_same_bits_alone_and_in_company(
    engine, make_scene, tilted, is_warped, chroma
):
    report = tilted if is_warped else None
    pipeline = LightnessPipeline(engine, chroma=chroma, tile_px=SMALL_TILE_PX)
    pairs = [make_scene(61, 131, np.uint16, seed=seed) for seed in range(2)]
    alone = [pipeline.fuse(pair, laid(report)) for pair in pairs]
    runs = [pipeline.begin(pair, laid(report)) for pair in pairs]
    batches: dict[object, list] = {}
    for windows in zip(runs[0].passes[0], reversed(runs[1].passes[0]), strict=True):
        for run, window in zip(runs, windows, strict=True):
            batches.setdefault(window.batch_key, []).append((run, window))
    for batch in batches.values():
        pipeline.fuse_windows(batch)
    for run, picture in zip(runs, alone, strict=True):
        assert np.array_equal(run.output, picture)


@pytest.mark.parametrize("kind", [CpuEngine, TorchEngine])
@pytest.mark.parametrize("chroma", get_args(ChromaRule))
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_equal_exposures_come_back_where_the_network_is_the_identity(kind, chroma, dtype):
    full = np.iinfo(dtype).max
    pixels = np.random.default_rng(0).integers(0, full, (61, 75, 3), dtype=dtype, endpoint=True)
    pair = ExposureStack.from_images([pixels, pixels])
    fused = LightnessPipeline(average(kind), chroma=chroma).fuse(pair)
    # See `test_pixels_become_linear_and_come_back`.
    off = np.abs(fused.astype(int) - pixels)
    assert off.max() <= (0 if dtype == np.uint8 else 1)
    assert (off > 0).mean() < 1e-3


@pytest.mark.parametrize("kind", [CpuEngine, TorchEngine])
@pytest.mark.parametrize("level", [0, 255])
def test_black_and_white_stay_black_and_white(kind, level):
    pixels = np.full((40, 50, 3), level, np.uint8)
    pair = ExposureStack.from_images([pixels, pixels])
    for chroma in get_args(ChromaRule):
        assert (LightnessPipeline(average(kind), chroma=chroma).fuse(pair) == level).all()


@pytest.mark.parametrize("kind", [CpuEngine, TorchEngine])
def test_unclipped_chroma_sees_where_the_exposures_are_clipped(kind):
    """By the whole path: a sky burnt in one exposure, beside a wall that is dark in the other."""
    under, over = np.empty((2, 40, 60, 3), np.uint8)
    under[:, :30], over[:, :30] = (64, 115, 191), 255
    under[:, 30:], over[:, 30:] = 4, (140, 100, 80)
    pair = ExposureStack.from_images([under, over])
    fused = {
        chroma: LightnessPipeline(average(kind), chroma=chroma).fuse(pair).astype(int)
        for chroma in get_args(ChromaRule)
    }
    spread = {chroma: np.ptp(picture[20], axis=-1) for chroma, picture in fused.items()}
    # lightness lies between the exposures, so chroma that is kept stands out
    assert (spread["unclipped"][:30] > 1.5 * spread["mean"][:30]).all()
    assert (spread["unclipped"][30:] > 1.5 * spread["mean"][30:]).all()
    sky = fused["unclipped"][20, 0]
    assert sky[0] < sky[1] < sky[2]


def test_interior_windows_run_without_padding_and_the_border_with_it(make_scene):
    network = MeanNetwork()
    LightnessPipeline(average(network=network), chroma="mean").fuse(make_scene(61, 131))
    assert {padding for padding, _ in network.calls} == {"reflect", "valid"}
    assert all(16 in shape[2:] for padding, shape in network.calls if padding == "reflect")
    assert max(shape[0] for _, shape in network.calls) == network.preferred_batch


@pytest.mark.parametrize(("reference", "moving"), [(1, 0), (0, 1)])
def test_the_exposure_that_is_not_the_reference_moves(make_scene, tilt, reference, moving):
    pair = make_scene(61, 75)
    fixed = pair.exposures[reference]
    still = dataclasses.replace(pair, exposures=(fixed, fixed))
    report = dataclasses.replace(tilt, homography=(1, 0, 5, 0, 1, 0, 0, 0, 1))
    reports = tuple(None if index == reference else report for index in range(2))
    pipeline = LightnessPipeline(average(), chroma="mean")
    exposures = [fixed, fixed]
    exposures[moving] = fixed[:, (np.arange(75) - 5).clip(0)]
    expected = pipeline.fuse(dataclasses.replace(still, exposures=tuple(exposures)))
    fused = pipeline.fuse(still, laid(StackAlignment(reference, reports)))
    difference = np.abs(fused.astype(int) - expected.astype(int))
    assert difference.max() <= 1


def test_a_report_of_the_identity_warps_nothing(make_scene, tilt):
    pair = make_scene(40, 50)
    report = dataclasses.replace(tilt, model="identity", homography=IDENTITY)
    alignment = StackAlignment(1, (report, None))
    pipeline = LightnessPipeline(average(), chroma="mean")
    assert pipeline.begin(pair, laid(alignment)).motions == (None, None)
    assert np.array_equal(pipeline.fuse(pair, laid(alignment)), pipeline.fuse(pair))


def test_read_only_exposures_are_fused_into_the_given_array(make_scene):
    pair = make_scene(40, 50)
    pair.darkest.flags.writeable = False
    pair.brightest.flags.writeable = False
    pipeline = LightnessPipeline(average(), chroma="mean")
    out = np.zeros_like(pair.darkest)
    run = pipeline.begin(pair, AS_THEY_ARE, out)
    assert run.output is out
    for window in itertools.chain.from_iterable(run.passes):
        pipeline.fuse_windows([(run, window)])
    assert np.array_equal(out, pipeline.fuse(pair))


def test_uint8_and_uint16_pictures_share_a_micro_batch(make_scene):
    pipeline = LightnessPipeline(average(), chroma="mean")
    runs = [
        pipeline.begin(make_scene(20, 20, dtype), AS_THEY_ARE) for dtype in (np.uint8, np.uint16)
    ]
    pipeline.fuse_windows([(run, run.passes[0][0]) for run in runs])
    for run in runs:
        assert np.array_equal(run.output, pipeline.fuse(run.stack))


@pytest.mark.parametrize("fault", ["short", "fails"])
def test_a_failing_window_writes_nothing_and_breaks_no_other_run(make_scene, fault):
    network = FaultyNetwork()
    pipeline = LightnessPipeline(average(network=network), chroma="mean")
    runs = [
        pipeline.begin(pair, AS_THEY_ARE, np.full_like(pair.darkest, 7))
        for pair in (make_scene(20, 20, seed=seed) for seed in range(2))
    ]
    network.fault = fault
    with pytest.raises(InferenceError):
        pipeline.fuse_windows([(run, run.passes[0][0]) for run in runs])
    assert all((run.output == 7).all() for run in runs)
    network.fault = None
    pipeline.fuse_windows([(runs[1], runs[1].passes[0][0])])
    assert np.array_equal(runs[1].output, pipeline.fuse(runs[1].stack))
    assert (runs[0].output == 7).all()


def test_a_micro_batch_of_none_or_of_unequal_windows_is_refused(make_scene):
    pipeline = LightnessPipeline(average(), chroma="mean")
    run = pipeline.begin(make_scene(61, 75), AS_THEY_ARE)
    with pytest.raises(ValueError, match="got 0 keys"):
        pipeline.fuse_windows([])
    with pytest.raises(ValueError, match="got 3 keys"):
        pipeline.fuse_windows([(run, window) for window in run.passes[0]])


def test_an_output_that_does_not_fit_is_refused(make_scene):
    pair = make_scene(20, 30)
    pipeline = LightnessPipeline(average(), chroma="mean")
    frozen = np.zeros_like(pair.darkest)
    frozen.flags.writeable = False
    for out in (np.zeros((30, 20, 3), np.uint8), np.zeros((20, 30, 3), np.uint16), frozen):
        with pytest.raises(ValueError, match="expected a writeable output"):
            pipeline.begin(pair, AS_THEY_ARE, out)


@pytest.mark.slow
@needs_proc
def test_peak_memory_beside_the_picture_is_that_of_the_window(weights_dir):
    small, large = (measure_peak_mib(weights_dir, side) for side in (500, 1300))
    # Sixty-four float planes of the larger picture alone would take 410 MiB.
    assert large < 200
    assert large - small < 60


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_warp_by_the_gpu_s_kernel_gives_the_picture(
    lively_network, host_launcher, make_scene, tilted, dtype
):
    network = TorchNetwork(lively_network, device=torch.device("cpu"))
    pair = make_scene(61, 131, dtype)
    engines = (TorchEngine(network), TorchEngine(network, launcher=host_launcher))
    host_launcher.launched.clear()
    defined, by_kernel = (
        LightnessPipeline(engine, chroma="mean", tile_px=SMALL_TILE_PX).fuse(pair, laid(tilted))
        for engine in engines
    )
    assert set(host_launcher.launched) == {f"warp_{dtype.__name__}"}
    difference = np.abs(defined.astype(int) - by_kernel)
    # As between arrays and tensors: dark colours magnify float rounding in a picture of 16 bit.
    assert difference.max() <= (1 if dtype == np.uint8 else 40)
    assert difference.mean() < 0.5


@pytest.mark.gpu
@needs_cuda
@pytest.mark.parametrize("is_warped", [False, True])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_on_cuda_graphs_change_no_bit_and_the_picture_is_the_cpu_s(
    lively_network, make_scene, tilted, dtype, is_warped
):
    device = torch.device("cuda:0")
    registration = laid(tilted if is_warped else None)
    pair, network = make_scene(301, 420, dtype), TorchNetwork(lively_network, device=device)
    by_graphs, one_by_one = (
        LightnessPipeline(
            TorchEngine(network, launcher=open_kernels(device), most_graphs=most_graphs),
            chroma="mean",
            tile_px=64,
        )
        for most_graphs in (8, 0)
    )
    expected = one_by_one.fuse(pair, registration)
    for _ in range(3):
        np.testing.assert_array_equal(by_graphs.fuse(pair, registration), expected)
    assert len(by_graphs.engine.graphs) > 0
    assert len(one_by_one.engine.graphs) == 0
    on_cpu = TorchEngine(TorchNetwork(lively_network, device=torch.device("cpu")))
    cpu = LightnessPipeline(on_cpu, chroma="mean", tile_px=64).fuse(pair, registration)
    difference = np.abs(expected.astype(int) - cpu)
    assert difference.max() <= (1 if dtype == np.uint8 else 40)
