"""What is the fused engine's own: what stays on the device, what is launched, what memory allows.

That its pictures are those of the other engines is tested with them. Without a GPU its kernels are
computed on the CPU.
"""

import numpy as np
import pytest
import torch

from model.blend.pipeline import BlendPipeline
from model.blend.torch_engine import TorchEngine
from model.blend.torch_fused import SHARE_OF_MEMORY, FusedEngine
from model.exposure import ExposureStack, StackAlignment
from model.register import register
from model.registration import AS_THEY_ARE
from model.torch_kernels import open_kernels
from model.torch_pipeline import create_blend_engine
from tests.model.blend.test_pipeline import SMALL_TILE_PX, assert_equal_to_rounding
from tests.model.host_launcher import HostLauncher
from tests.model.laid import laid
from tests.model.test_ghosts_on_their_way import bracket
from tests.torch_devices import needs_cuda

CPU = torch.device("cpu")


@pytest.fixture
def make(blend_network, host_launcher):
    """Make a pipeline of the fused engine on the CPU."""

    def make(*, tile_px=SMALL_TILE_PX, **options):
        engine = FusedEngine(blend_network, launcher=host_launcher, device=CPU, **options)
        return BlendPipeline(engine, tile_px=tile_px)

    return make


def moved(count, tilt):
    """A registration that warps every second exposure onto the last."""
    reports = [tilt if index % 2 == 0 else None for index in range(count - 1)]
    return laid(StackAlignment(count - 1, (*reports, None)))


@pytest.mark.parametrize("is_warped", [False, True])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("count", [2, 5])
def test_a_picture_s_bits_depend_neither_on_windows_nor_on_memory(
    make, make_stack, tilt, count, dtype, is_warped
):
    stack = make_stack(count, 131, 173, dtype)
    registration = moved(count, tilt) if is_warped else AS_THEY_ARE
    first, *others = (
        make(tile_px=tile_px, keep_bytes=keep_bytes).fuse(stack, registration)
        for tile_px in (SMALL_TILE_PX, 64, 2048)
        for keep_bytes in (None, 0)
    )
    for other in others:
        np.testing.assert_array_equal(other, first)


def test_ghosts_have_the_same_bits_whatever_memory_there_is(make):
    _, scene, _ = bracket()
    stack = ExposureStack.from_images(scene)
    registration = register(stack, align="off", ghosts="auto").registration
    assert any(ghost is not None for ghost in registration.ghosts)
    kept, by_windows = (
        make(tile_px=64, keep_bytes=keep_bytes).fuse(stack, registration)
        for keep_bytes in (None, 0)
    )
    np.testing.assert_array_equal(kept, by_windows)


def test_what_stays_is_reduced_once_and_blended_once(make, make_stack, tilt):
    pipeline = make()
    launcher, stack = pipeline.engine.launcher, make_stack(3, 131, 173)
    launcher.launched.clear()
    run = pipeline.begin(stack, moved(3, tilt))
    for windows in run.passes:
        pipeline.fuse_windows([(run, window) for window in windows])
    launched = launcher.launched
    assert launched.count("reduce_pixels_uint8") == 1
    assert launched.count("warp_uint8") == 1
    assert launched.count("blend_pixels_uint8") == len(run.passes[2]) > 1
    assert set(launched) == {
        "reduce_pixels_uint8", "warp_uint8", "reduce_planes", "add_band", "blend_pixels_uint8",
    }  # fmt: skip


def test_exposures_stay_up_to_a_limit(make, make_scene):
    pair = make_scene(131, 173)
    # pixels; at half their size R, G and B, lumas and what is fused, as floats
    needed = 2 * 3 * 131 * 173 + 4 * ((2 * 3 + 2 + 1) * 131 * 173 // 4)
    kept = []
    for keep_bytes in (needed, needed - 1):
        pipeline = make(keep_bytes=keep_bytes)
        run = pipeline.begin(pair, AS_THEY_ARE)
        pipeline.fuse_windows([(run, run.passes[0][0])])
        kept.append(run.canvas._kept is not None)
    assert kept == [True, False]


def test_where_there_is_no_memory_for_them_windows_are_sent(make, make_scene, monkeypatch):
    pair, pipeline = make_scene(131, 173), make()
    expected = pipeline.fuse(pair)
    reserve = pipeline.engine.staging.reserve

    def refuse(shape, dtype):
        if tuple(shape[1:3]) == (131, 173):
            raise torch.OutOfMemoryError("no memory for the whole")
        return reserve(shape, dtype)

    monkeypatch.setattr(pipeline.engine.staging, "reserve", refuse)
    np.testing.assert_array_equal(pipeline.fuse(pair), expected)


@pytest.mark.parametrize("scene", ["moved", "still", "with ghosts"])
@pytest.mark.parametrize(
    "kernel", ["warp_uint8", "reduce_pixels_uint8", "reduce_planes", "add_band"]
)
def test_what_does_not_fit_beside_what_stays_is_done_by_windows(
    make, make_stack, tilt, monkeypatch, kernel, scene
):
    pipeline, stack = make(), make_stack(3, 131, 173)
    registration = moved(3, tilt) if scene == "moved" else AS_THEY_ARE
    if scene == "with ghosts":
        stack = ExposureStack.from_images(bracket()[1])
        registration = register(stack, align="off", ghosts="auto").registration
    expected = pipeline.fuse(stack, registration)
    launch, refused = HostLauncher.launch, []

    def refuse_once(launcher, name, given, grid):
        if name == kernel and not refused:
            refused.append(name)
            raise torch.OutOfMemoryError("no memory for the whole")
        launch(launcher, name, given, grid)

    run = pipeline.begin(stack, registration)
    pipeline.fuse_windows([(run, window) for window in run.passes[0]])
    assert run.canvas._kept is not None
    with monkeypatch.context() as patch:
        patch.setattr(HostLauncher, "launch", refuse_once)
        pipeline.fuse_windows([(run, window) for window in run.passes[1]])
    assert bool(refused) == (run.canvas._kept is None)
    assert refused or (kernel == "warp_uint8" and scene != "moved")
    pipeline.fuse_windows([(run, window) for window in run.passes[2]])
    np.testing.assert_array_equal(run.output, expected)


def test_a_pass_that_failed_for_want_of_memory_is_done_again(make, make_stack, tilt, monkeypatch):
    """The device's worker lets memory go and tries the same windows again."""
    stack, pipeline = make_stack(3, 131, 173), make()
    registration = moved(3, tilt)
    expected = pipeline.fuse(stack, registration)
    launch, run = HostLauncher.launch, pipeline.begin(stack, registration)
    pipeline.fuse_windows([(run, window) for window in run.passes[0]])
    for number, name in [(1, "warp_uint8"), (1, "add_band"), (2, "blend_pixels_uint8")]:

        def refuse(launcher, kernel, given, grid, *, unwanted=name):
            if kernel == unwanted:
                raise torch.OutOfMemoryError("no memory for a step")
            launch(launcher, kernel, given, grid)

        windows = [(run, window) for window in run.passes[number]]
        with monkeypatch.context() as patch:
            patch.setattr(HostLauncher, "launch", refuse)
            with pytest.raises(torch.OutOfMemoryError):
                pipeline.fuse_windows(windows)
        if name != "warp_uint8":
            pipeline.fuse_windows(windows)
    # A window of the first pass that comes again after its picture was warped changes nothing.
    pipeline.fuse_windows([(run, run.passes[0][0])])
    pipeline.fuse_windows([(run, window) for window in run.passes[2]])
    np.testing.assert_array_equal(run.output, expected)


def test_the_batch_of_all_exposures_gives_the_network_s_own_maps(make, blend_network):
    seen = torch.rand((1, 5, 3, 23, 31), generator=torch.Generator().manual_seed(2))
    expected = blend_network.predict(seen)
    found = make().engine._predict(seen)
    torch.testing.assert_close(found.coefficients, expected.coefficients, rtol=0, atol=1e-5)
    torch.testing.assert_close(found.gains, expected.gains, rtol=0, atol=1e-6)


@pytest.fixture(scope="module")
def gpu():
    return torch.device("cuda:0")


@pytest.fixture
def make_on_gpu(blend_network, gpu):
    def make(*, tile_px=SMALL_TILE_PX, **options):
        launcher = open_kernels(gpu)
        engine = FusedEngine(blend_network, launcher=launcher, device=gpu, **options)
        return BlendPipeline(engine, tile_px=tile_px)

    return make


@pytest.mark.gpu
@needs_cuda
@pytest.mark.parametrize("is_warped", [False, True])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("count", [2, 3, 9])
def test_on_cuda_a_stack_is_that_of_the_cpu_whatever_windows_memory_and_graphs(
    make_on_gpu, blend_network, make_stack, tilt, count, dtype, is_warped
):
    stack = make_stack(count, 231, 373, dtype)
    registration = moved(count, tilt) if is_warped else AS_THEY_ARE
    expected = BlendPipeline(create_blend_engine(blend_network, device="cpu")).fuse(
        stack, registration
    )
    first = make_on_gpu().fuse(stack, registration)
    assert_equal_to_rounding(first, expected)
    for options in ({"keep_bytes": 0}, {"tile_px": 2048}, {"most_graphs": 0}):
        pipeline = make_on_gpu(**options)
        # The second time the coarse levels are captured, the third time they are replayed.
        for _ in range(3):
            np.testing.assert_array_equal(pipeline.fuse(stack, registration), first)


@pytest.mark.gpu
@needs_cuda
@pytest.mark.parametrize("keep_bytes", [None, 0])
def test_on_cuda_it_is_the_picture_of_torch_s_own_operations(
    make_on_gpu, blend_network, make_scene, gpu, keep_bytes
):
    pair = make_scene(700, 1100, np.uint16)
    eager = BlendPipeline(TorchEngine(blend_network, device=gpu)).fuse(pair)
    fused = make_on_gpu(tile_px=256, keep_bytes=keep_bytes).fuse(pair)
    assert_equal_to_rounding(fused, eager)


@pytest.mark.gpu
@needs_cuda
def test_on_cuda_ghosts_are_those_of_the_cpu(make_on_gpu, blend_network):
    _, scene, _ = bracket()
    stack = ExposureStack.from_images(scene)
    registration = register(stack, align="off", ghosts="auto").registration
    cpu = BlendPipeline(create_blend_engine(blend_network, device="cpu")).fuse(stack, registration)
    for keep_bytes in (None, 0):
        fused = make_on_gpu(tile_px=64, keep_bytes=keep_bytes).fuse(stack, registration)
        assert_equal_to_rounding(fused, cpu)


@pytest.mark.gpu
@needs_cuda
def test_on_cuda_many_windows_of_several_runs_keep_to_themselves(make_on_gpu, make_stack, tilt):
    """Streams: what is sent, computed and fetched at the same time is mixed up nowhere."""
    pipeline = make_on_gpu(tile_px=64)
    stacks = [make_stack(count, 300, 420) for count in (2, 3, 5, 2)]
    registrations = [AS_THEY_ARE, moved(3, tilt), AS_THEY_ARE, moved(2, tilt)]
    alone = [
        pipeline.fuse(stack, registration)
        for stack, registration in zip(stacks, registrations, strict=True)
    ]
    for _ in range(5):
        runs = [
            pipeline.begin(stack, registration)
            for stack, registration in zip(stacks, registrations, strict=True)
        ]
        for number in range(3):
            turns = [(run, window) for run in runs for window in run.passes[number]]
            order = np.random.default_rng(number).permutation(len(turns))
            pipeline.fuse_windows([turns[index] for index in order])
        for run, picture in zip(runs, alone, strict=True):
            np.testing.assert_array_equal(run.output, picture)


@pytest.mark.gpu
@needs_cuda
def test_on_cuda_a_picture_of_24_megapixels_is_that_of_the_cpu(make_on_gpu, blend_network, gpu):
    rng = np.random.default_rng(4)
    small = rng.integers(0, 256, (2, 125, 188, 3), dtype=np.uint8)
    dark, bright = (np.kron(one, np.ones((32, 32, 1), np.uint8))[:4000, :6000] for one in small)
    stack = ExposureStack.from_images([dark // 4, bright])
    cpu = BlendPipeline(create_blend_engine(blend_network, device="cpu")).fuse(stack)
    pipeline = make_on_gpu(tile_px=2048)
    torch.cuda.reset_peak_memory_stats(gpu)
    before = torch.cuda.memory_allocated(gpu)
    assert_equal_to_rounding(pipeline.fuse(stack), cpu)
    # Exposures, their lumas and R, G and B at half the size, the picture; as float planes alone
    # the two exposures would take 549 MiB.
    assert (torch.cuda.max_memory_allocated(gpu) - before) / 2**20 < 549


@pytest.mark.gpu
@needs_cuda
def test_on_cuda_too_little_memory_is_said_as_such_and_harms_nothing(make_on_gpu, make_scene, gpu):
    pair, pipeline = make_scene(700, 1100), make_on_gpu(tile_px=256)
    expected = pipeline.fuse(pair)
    for _ in range(2):
        pipeline.fuse(pair)
    torch.cuda.empty_cache()
    _, total = torch.cuda.mem_get_info(gpu)
    reserved = torch.cuda.memory_reserved(gpu)
    try:
        torch.cuda.set_per_process_memory_fraction((reserved + 2**20) / total, gpu)
        larger = ExposureStack.from_images([np.tile(one, (12, 12, 1)) for one in pair.exposures])
        with pytest.raises(torch.OutOfMemoryError):
            pipeline.fuse(larger)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0, gpu)
    assert len(pipeline.engine.graphs) == 0
    torch.cuda.empty_cache()
    for _ in range(3):
        np.testing.assert_array_equal(pipeline.fuse(pair), expected)
    assert len(pipeline.engine.graphs) == 1


@pytest.mark.gpu
@needs_cuda
def test_on_cuda_exposures_stay_within_a_share_of_what_is_free(make_on_gpu, gpu):
    engine = make_on_gpu().engine
    free, _ = torch.cuda.mem_get_info(gpu)
    assert engine.can_keep(int(0.5 * SHARE_OF_MEMORY * free))
    assert not engine.can_keep(2 * free)
