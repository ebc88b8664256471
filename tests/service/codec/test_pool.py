"""The pool: every call settled exactly once, whatever happens to its processes."""

import asyncio
import os
import signal
import subprocess
import sys
from contextlib import ExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest
import uvloop

from expofuse.errors import ImageDecodeError, PixelLimitError, UnsupportedImageError
from expofuse.files.formats import EncodeOptions, ImageMetadata
from expofuse.files.headers import PixelLimits, sniff
from model.errors import AlignmentError, ExposureError, FusionError
from model.tiling import Rect
from service.codec.child import NICENESS
from service.codec.messages import DecodedImage
from service.codec.pool import CodecPool, CodecPoolConfig
from service.errors import (
    ChildStartError,
    CodecCrashError,
    CodecMemoryError,
    CodecTimeoutError,
    QueueFullError,
    WorkerStoppedError,
)
from service.processes.shared_memory import SharedArray, SharedDescriptor
from service.processes.supervision_limits import SupervisionLimits
from service.processes.suspicion import MAX_ENDS_ALONE
from tests import images
from tests.model.alignment.test_estimate import expose, make_scene, turn
from tests.paths import ROOT

CONFIG = CodecPoolConfig(
    processes=2,
    call_timeout_s=60.0,
    memory_limit_bytes=1 << 30,
    max_waiting=16,
    limits=PixelLimits(max_pixels=50_000_000, max_side_px=20_000),
    supervision=SupervisionLimits(
        start_timeout_s=300.0, stall_timeout_s=300.0, backoff_s=0.05, backoff_max_s=1.0
    ),
)
PNG = ImageMetadata()


@asynccontextmanager
async def running_pool(**changes):
    pool = CodecPool(replace(CONFIG, **changes))
    await pool.start()
    try:
        yield pool
    finally:
        await pool.stop()


def children():
    """The codec processes, by their command line."""
    found = []
    for process in psutil.Process().children():
        if process.status() != psutil.STATUS_ZOMBIE and "service.codec.child" in process.cmdline():
            found.append(process)
    return found


async def until(condition):
    async with asyncio.timeout(300):
        while not condition():  # noqa: ASYNC110, the condition is another process's state
            await asyncio.sleep(0.002)


def niceness_of_threads(process):
    return {os.getpriority(os.PRIO_PROCESS, thread.id) for thread in process.threads()}


async def until_it_computes(process):
    """Wait until an idle process surely works on its call."""
    before = process.cpu_times().user
    await until(lambda: process.cpu_times().user > before + 0.05)


def block_for(data, dtype="uint8"):
    header = sniff(data)
    return SharedArray.create((header.height_px, header.width_px, 3), dtype)


async def decode(pool, data, dtype="uint8"):
    with block_for(data, dtype) as block:
        image = await pool.decode(data, destination=block.descriptor)
        assert image.pixels.name == block.descriptor.name
        return block.array.reshape(image.pixels.shape).copy(), image.metadata


def busy_image():
    """A picture that takes a second to encode."""
    block = SharedArray.create((2000, 2500, 3), "uint16")
    rng = np.random.default_rng(0)
    block.array[:] = rng.integers(0, 65536, block.array.shape, dtype=np.uint16)
    return block


@asynccontextmanager
async def frozen_call(pool):
    """A call that is surely running: its process, the only one, is stopped; yields both."""
    await until(lambda: len(children()) == 1)
    (process,) = children()
    process.suspend()
    call = asyncio.create_task(decode(pool, images.encoded("png")))
    await until(lambda: pool.running == 1)
    yield call, process
    if not call.done():
        call.cancel()


SLOW = EncodeOptions("webp", quality=100)


# One pool for all tests that leave it as they found it.


@pytest.fixture(scope="module", params=[asyncio.new_event_loop, uvloop.new_event_loop])
def loop_runner(request):
    with asyncio.Runner(loop_factory=request.param) as runner:
        yield runner


@pytest.fixture(scope="module")
def shared_pool(loop_runner):
    pool = CodecPool(CONFIG)
    loop_runner.run(pool.start())
    yield pool
    assert pool.restarts == 0, "a test of ordinary calls cost a process"
    loop_runner.run(pool.stop())
    assert not children()


def test_codec_processes_let_others_go_first(loop_runner, shared_pool):
    loop_runner.run(decode(shared_pool, images.encoded("png")))
    own = os.getpriority(os.PRIO_PROCESS, 0)
    for process in children():
        assert niceness_of_threads(process) == {min(own + NICENESS, 19)}


def test_a_pair_is_decoded_aligned_and_encoded(loop_runner, shared_pool):
    async def scenario():
        bright = images.encoded("png", pixels=images.scene(96, 128))
        dark = images.with_orientation(1, form="jpeg", pixels=images.scene(96, 128, gain=0.3))
        with block_for(bright) as first, block_for(dark) as second:
            over, under = await asyncio.gather(
                shared_pool.decode(bright, destination=first.descriptor),
                shared_pool.decode(dark, destination=second.descriptor),
            )
            assert over.metadata.exif is None
            assert b"Maker" in under.metadata.exif
            np.testing.assert_array_equal(first.array, images.scene(96, 128))
            found = await shared_pool.register([over, under], align="auto")
            assert (found.order, found.reference) == ((1, 0), 1)
            report, nothing = found.alignment.reports
            assert len(report.homography) == 9
            assert nothing is None
            file = await shared_pool.encode(
                over.pixels, options=EncodeOptions("png"), metadata=under.metadata
            )
            assert b"Maker" in file
            pixels, _ = await decode(shared_pool, file)
            np.testing.assert_array_equal(pixels, images.scene(96, 128))

    loop_runner.run(scenario())


def test_orientation_and_depth_reach_the_block(loop_runner, shared_pool):
    async def scenario():
        data = images.with_orientation(6, form="png")
        pixels, _ = await decode(shared_pool, data, "uint16")
        expected = np.rot90(images.scene(), -1).astype(np.uint16) * 257
        np.testing.assert_array_equal(pixels, expected)

    loop_runner.run(scenario())


def test_align_off_only_orders(loop_runner, shared_pool):
    async def scenario():
        with (
            SharedArray.create((32, 32, 3), "uint8") as dark,
            SharedArray.create((32, 32, 3), "uint8") as bright,
        ):
            bright.array[:] = 200
            both = [opaque(dark), opaque(bright)]
            result = await shared_pool.register(both, align="off")
            assert result.order == (0, 1)
            assert result.alignment is None

    loop_runner.run(scenario())


def test_align_require_refuses_a_pair_without_structure(loop_runner, shared_pool):
    async def scenario():
        with (
            SharedArray.create((64, 64, 3), "uint8") as dark,
            SharedArray.create((64, 64, 3), "uint8") as bright,
        ):
            dark.array[:], bright.array[:] = 90, 200
            both = [opaque(dark), opaque(bright)]
            found = await shared_pool.register(both, align="auto")
            report, _ = found.alignment.reports
            assert report.model == "identity"
            assert report.refused is not None
            with pytest.raises(AlignmentError, match=report.refused):
                await shared_pool.register(both, align="require")

    loop_runner.run(scenario())


@pytest.mark.parametrize("reference", ["under", "over"])
def test_align_keeps_the_exposure_that_it_is_told_to(loop_runner, shared_pool, reference):
    async def scenario():
        with SharedArray.create((64, 64, 3), "uint8") as dark:
            answer = await shared_pool.register(
                [opaque(dark), opaque(dark)], align="auto", pair_reference=reference
            )
            fixed = ("under", "over").index(reference)
            assert answer.reference == answer.alignment.reference == fixed
            assert answer.alignment.reports[fixed] is None
            assert answer.alignment.reports[1 - fixed] is not None

    loop_runner.run(scenario())


def test_align_refuses_images_that_do_not_belong_together(loop_runner, shared_pool):
    async def scenario():
        with (
            SharedArray.create((32, 32, 3), "uint8") as one,
            SharedArray.create((32, 40, 3), "uint8") as other,
            pytest.raises(ExposureError, match="32x32 and 40x32"),
        ):
            await shared_pool.register([opaque(one), opaque(other)], align="off")

    loop_runner.run(scenario())


def opaque(block, orientation=1):
    return DecodedImage(block.descriptor, PNG, orientation)


def sizes_that_differ(stack):
    """Blocks with exposures of two sizes, and a room for the smaller one."""
    scene = make_scene(1, 480, 360)
    blocks = []
    for pixels in (expose(scene, 0.1)[3:, :-2], expose(scene, 0.3), expose(scene, 0.9)):
        blocks.append(stack.enter_context(SharedArray.create(pixels.shape, "uint8")))
        blocks[-1].array[:] = pixels
    room = stack.enter_context(SharedArray.create((360 * 480, 3), "uint8"))
    return blocks, room


def test_an_exposure_of_another_size_lands_in_a_room_and_the_others_stay(loop_runner, shared_pool):
    async def scenario():
        with ExitStack() as stack:
            blocks, room = sizes_that_differ(stack)
            before = [block.array.copy() for block in blocks]
            found = await shared_pool.register(
                [opaque(block) for block in blocks],
                align="auto",
                reference=2,
                rooms=[room.descriptor],
            )
            laid = SharedDescriptor(room.descriptor.name, (360, 480, 3), "uint8")
            assert found.exposures == (laid, blocks[1].descriptor, blocks[2].descriptor)
            assert found.alignment.reports[0].own_size == (478, 357)
            assert found.frame == Rect(3, 0, 357, 478)
            expected = np.pad(before[0], ((3, 0), (0, 2), (0, 0)), "edge")
            np.testing.assert_array_equal(room.array.reshape(laid.shape), expected)
            for block, pixels in zip(blocks, before, strict=True):
                np.testing.assert_array_equal(block.array, pixels)
            part = Rect(5, 10, 40, 60)
            file = await shared_pool.encode(
                laid, options=EncodeOptions("png"), metadata=PNG, frame=part
            )
            pixels, _ = await decode(shared_pool, file)
            np.testing.assert_array_equal(pixels, expected[part.slices])

    loop_runner.run(scenario())


def test_an_exposure_that_is_turned_lands_in_a_room(loop_runner, shared_pool):
    async def scenario():
        scene = make_scene(1, 480, 360)
        with ExitStack() as stack:
            blocks = []
            for pixels in (expose(scene, 0.1), np.rot90(expose(scene, 0.9), -1)):
                blocks.append(stack.enter_context(SharedArray.create(pixels.shape, "uint8")))
                blocks[-1].array[:] = pixels
            room = stack.enter_context(SharedArray.create((360 * 480, 3), "uint8"))
            found = await shared_pool.register(
                [opaque(blocks[0]), opaque(blocks[1], orientation=6)],
                align="off",
                reference=1,
                rooms=[room.descriptor],
            )
            laid = SharedDescriptor(room.descriptor.name, (360, 480, 3), "uint8")
            assert found.exposures == (blocks[0].descriptor, laid)
            np.testing.assert_array_equal(room.array.reshape(laid.shape), expose(scene, 0.9))

    loop_runner.run(scenario())


def test_what_is_transparent_is_filled_with_what_the_other_shows(loop_runner, shared_pool):
    async def scenario():
        rgba = np.dstack([images.scene(96, 128), np.full((96, 128), 255, np.uint8)])
        rgba[:, :20] = 0
        bright = images.save(rgba, "PNG")
        dark = images.encoded("png", pixels=images.scene(96, 128, gain=0.4))
        with block_for(dark) as first, block_for(bright) as second:
            given = await asyncio.gather(
                shared_pool.decode(dark, destination=first.descriptor),
                shared_pool.decode(bright, destination=second.descriptor),
            )
            assert [one.transparent is None for one in given] == [True, False]
            await shared_pool.register(given, align="off")
            off = np.abs(second.array.astype(int) - images.scene(96, 128))
            assert off[:, :20].mean() < 2
            assert not off[:, 20:].any()

    loop_runner.run(scenario())


async def test_a_registration_whose_process_is_killed_half_way_is_run_again_as_if_nothing_was():
    async with running_pool(processes=1) as pool:
        with ExitStack() as stack:
            blocks, room = sizes_that_differ(stack)
            call = asyncio.create_task(
                pool.register(
                    [opaque(block) for block in blocks],
                    align="auto",
                    reference=2,
                    rooms=[room.descriptor],
                )
            )
            await until(lambda: room.array.any())
            os.kill(pool.pids[0], signal.SIGKILL)
            found = await call
            assert pool.restarts == 1
            laid = room.array.reshape(360, 480, 3)
            expected = np.pad(blocks[0].array, ((3, 0), (0, 2), (0, 0)), "edge")
            np.testing.assert_array_equal(laid, expected)
            assert found.frame == Rect(3, 0, 357, 478)


async def count_threads_of_a_registration(pool):
    """Most threads of a process beyond those of an idle one, while a stack is registered."""
    scene = make_scene(5, 1200, 900)
    with ExitStack() as stack:
        blocks = [
            stack.enter_context(SharedArray.create((900, 1200, 3), "uint8")) for _ in range(4)
        ]
        for block, gain in zip(blocks, (0.1, 0.2, 0.4, 0.8), strict=True):
            block.array[:] = expose(scene, gain, homography=turn(gain, (9 * gain, -5)))
        processes = [psutil.Process(pid) for pid in pool.pids]
        before = [process.num_threads() for process in processes]
        call = asyncio.create_task(
            pool.register([opaque(block) for block in blocks], align="auto", reference=4)
        )
        most = 0
        while not call.done():
            now = [process.num_threads() for process in processes]
            most = max(most, *np.subtract(now, before))
            await asyncio.sleep(0.001)
        assert (await call).alignment.refused == ()
        return most


async def test_a_registration_uses_the_cores_of_processes_that_have_nothing_to_do():
    async with running_pool(processes=3) as pool:
        assert await count_threads_of_a_registration(pool) == 2
        stopped = psutil.Process(pool.pids[0])
        stopped.suspend()
        held = [asyncio.create_task(decode(pool, images.encoded("png"))) for _ in range(3)]
        await until(lambda: sum(call.done() for call in held) == 2 and pool.running == 1)
        assert await count_threads_of_a_registration(pool) == 1
        stopped.resume()
        await asyncio.gather(*held)
        assert pool.restarts == 0


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda: images.truncated(images.encoded("jpeg")), ImageDecodeError),
        (lambda: images.truncated(images.encoded("png")), ImageDecodeError),
        (images.png_bomb, PixelLimitError),
        (images.tiff_float, UnsupportedImageError),
    ],
)  # fmt: skip
def test_a_bad_image_costs_its_own_call_only(loop_runner, shared_pool, make, error):
    async def scenario():
        good = images.encoded("png")
        with SharedArray.create((48, 64, 3), "uint8") as block:
            results = await asyncio.gather(
                *(decode(shared_pool, good) for _ in range(4)),
                shared_pool.decode(make(), destination=block.descriptor),
                *(decode(shared_pool, good) for _ in range(3)),
                return_exceptions=True,
            )
        assert isinstance(results.pop(4), error)
        for pixels, _ in results:
            np.testing.assert_array_equal(pixels, images.scene())

    loop_runner.run(scenario())


def test_a_file_is_never_written_out(loop_runner, shared_pool):
    class File(bytes):
        def __repr__(self):
            raise AssertionError("a large file takes the event loop's time")

    async def scenario():
        pixels, _ = await decode(shared_pool, File(images.encoded("png")))
        np.testing.assert_array_equal(pixels, images.scene())

    loop_runner.run(scenario())


def test_damaged_images_get_pixels_or_a_typed_error(loop_runner, shared_pool):
    async def scenario():
        refused = 0
        with SharedArray.create((48, 64, 3), "uint16") as block:
            for make in (images.png16, images.jpeg_cmyk, images.tiff16):
                for data in images.mutations(make(), seed=5, count=25):
                    try:
                        if sniff(data).pixels == 48 * 64:
                            await shared_pool.decode(data, destination=block.descriptor)
                    except FusionError:
                        refused += 1
        assert refused > 10

    loop_runner.run(scenario())


def test_a_fault_of_ours_is_an_error_and_not_a_death(loop_runner, shared_pool):
    async def scenario():
        with SharedArray.create((3,), "uint8") as small, pytest.raises(FusionError) as caught:
            await shared_pool.decode(images.encoded("png"), destination=small.descriptor)
        assert caught.value.code == "codec-failed"

    loop_runner.run(scenario())


def test_a_block_that_is_gone_is_a_typed_error(loop_runner, shared_pool):
    async def scenario():
        gone = SharedDescriptor("expofuse-gone", (48, 64, 3), "uint8")
        with pytest.raises(FusionError) as caught:
            await shared_pool.decode(images.encoded("png"), destination=gone)
        assert caught.value.code == "shared-memory"

    loop_runner.run(scenario())


def test_a_large_file_passes_both_pipes(loop_runner, shared_pool):
    async def scenario():
        rng = np.random.default_rng(1)
        pixels = rng.integers(0, 256, (1200, 1300, 3), dtype=np.uint8)
        with SharedArray.create(pixels.shape, "uint8") as block:
            block.array[:] = pixels
            file = await shared_pool.encode(
                block.descriptor, options=EncodeOptions("png"), metadata=PNG
            )
            assert len(file) > 4_000_000
            block.array[:] = 0
            await shared_pool.decode(bytearray(file), destination=block.descriptor)
            np.testing.assert_array_equal(block.array, pixels)

    loop_runner.run(scenario())


# Pools that lose processes.


async def test_a_killed_process_costs_no_call():
    async with running_pool() as pool:
        data = images.encoded("png", pixels=images.scene(400, 500))
        before = children()
        calls = [asyncio.create_task(decode(pool, data)) for _ in range(16)]
        await asyncio.sleep(0.01)
        for child in before:
            child.kill()
        for pixels, _ in await asyncio.gather(*calls):
            np.testing.assert_array_equal(pixels, images.scene(400, 500))
        await until(lambda: pool.alive == 2)
        assert pool.restarts == 2
        assert {child.pid for child in children()}.isdisjoint(child.pid for child in before)


async def test_a_call_killed_in_the_middle_runs_again_once():
    async with running_pool(processes=1) as pool, frozen_call(pool) as (call, process):
        process.kill()
        pixels, _ = await call
        np.testing.assert_array_equal(pixels, images.scene())
        assert pool.restarts == 1


async def test_a_call_at_which_processes_are_killed_from_outside_is_not_held_to_be_the_cause():
    async with running_pool(processes=1) as pool:
        with busy_image() as block:
            call = asyncio.create_task(pool.encode(block.descriptor, options=SLOW, metadata=PNG))
            for deaths in range(1, 5):
                await until(lambda: pool.running == 1 and len(children()) == 1)
                (process,) = children()
                await until_it_computes(process)
                process.kill()
                await until(lambda deaths=deaths: pool.restarts == deaths)
            assert (await call)[:4] == b"RIFF"
        assert pool.restarts == 4


async def test_a_call_that_ends_each_process_is_the_cause_even_if_nobody_knows_how():
    async with running_pool(processes=1) as pool:
        with busy_image() as block:
            call = asyncio.create_task(pool.encode(block.descriptor, options=SLOW, metadata=PNG))
            for deaths in range(1, MAX_ENDS_ALONE + 1):
                await until(lambda: pool.running == 1 and len(children()) == 1)
                (process,) = children()
                await until_it_computes(process)
                process.kill()
                await until(lambda deaths=deaths: pool.restarts == deaths)
            with pytest.raises(CodecCrashError, match=f"{MAX_ENDS_ALONE} processes"):
                await call


async def test_a_call_at_which_two_processes_crash_fails():
    async with running_pool(processes=1) as pool:
        with busy_image() as block:
            call = asyncio.create_task(pool.encode(block.descriptor, options=SLOW, metadata=PNG))
            for deaths in (1, 2):
                await until(lambda: pool.running == 1)
                await until(lambda: len(children()) == 1)
                (process,) = children()
                await until_it_computes(process)
                process.send_signal(signal.SIGSEGV)
                await until(lambda deaths=deaths: pool.restarts == deaths)
            with pytest.raises(CodecCrashError, match="2 processes"):
                await call
        pixels, _ = await decode(pool, images.encoded("png"))
        np.testing.assert_array_equal(pixels, images.scene())


async def test_a_call_that_the_ended_process_had_not_read_is_not_held_to_be_the_cause():
    async with running_pool(processes=1) as pool:
        await until(lambda: len(children()) == 1)
        (process,) = children()
        process.suspend()
        with busy_image() as block:
            call = asyncio.create_task(pool.encode(block.descriptor, options=SLOW, metadata=PNG))
            await until(lambda: pool.running == 1)
            process.kill()  # It has not read the call.
            await until(lambda: pool.restarts == 1 and pool.running == 1)
            await until(lambda: len(children()) == 1)
            (process,) = children()
            await until_it_computes(process)
            process.send_signal(signal.SIGSEGV)  # The first that may be the call's fault.
            assert (await call)[:4] == b"RIFF"
        assert pool.restarts == 2


async def test_an_idle_process_that_is_killed_is_replaced_before_any_call():
    async with running_pool(processes=1) as pool:
        children()[0].kill()
        await until(lambda: pool.restarts == 1)
        await until(lambda: pool.alive == 1)
        pixels, _ = await decode(pool, images.encoded("png"))
        np.testing.assert_array_equal(pixels, images.scene())


async def test_a_process_that_hangs_is_replaced_and_its_call_is_tried_again():
    async with (
        running_pool(processes=1, call_timeout_s=3.0) as pool,
        frozen_call(pool) as (call, _),
    ):
        behind = asyncio.create_task(decode(pool, images.encoded("tiff")))
        for pixels, _ in await asyncio.gather(call, behind):
            np.testing.assert_array_equal(pixels, images.scene())
        assert pool.restarts == 1


async def test_a_call_over_its_time_twice_fails_alone():
    async with running_pool(processes=1, call_timeout_s=0.4) as pool:
        with busy_image() as block:
            call = asyncio.create_task(pool.encode(block.descriptor, options=SLOW, metadata=PNG))
            with pytest.raises(CodecTimeoutError, match=r"within 0.4 s.*2 processes"):
                await call
        await until(lambda: pool.alive == 1)
        assert pool.restarts == 2


async def test_an_abandoned_call_costs_its_process_and_no_other_call_the_wait():
    async with (
        running_pool(processes=1, abandon_grace_s=0.1) as pool,
        frozen_call(pool) as (abandoned, _),
    ):
        behind = asyncio.create_task(decode(pool, images.encoded("png")))
        abandoned.cancel()
        pixels, _ = await behind  # The stopped process would keep it for a minute.
        np.testing.assert_array_equal(pixels, images.scene())
        assert pool.restarts == 1


def progressive_jpeg():
    """Must be held as a whole: six bytes a pixel."""
    pixels = images.scene(1500, 1500)
    return images.encoded("jpeg", pixels=pixels, progressive=True, subsampling=0)


def incompressible_png():
    """Its loader holds a copy of the file, and GLib ends a process that cannot allocate one."""
    pixels = np.random.default_rng(0).integers(0, 256, (1400, 1400, 3), dtype=np.uint8)
    return images.encoded("png", pixels=pixels, compress_level=0)


@pytest.mark.parametrize(
    ("make", "limit_bytes", "errors"),
    [
        (progressive_jpeg, 8 << 20, CodecMemoryError),
        (incompressible_png, 10 << 20, (CodecCrashError, CodecMemoryError)),
    ],
    ids=["refused allocation", "ended process"],
)
async def test_a_process_over_its_memory_is_replaced_and_only_its_call_fails(
    make, limit_bytes, errors
):
    async with running_pool(processes=1, memory_limit_bytes=limit_bytes) as pool:
        with pytest.raises(errors):
            await decode(pool, make())
        await until(lambda: pool.restarts >= 1 and pool.alive == 1)
        pixels, _ = await decode(pool, images.encoded("png"))
        np.testing.assert_array_equal(pixels, images.scene())


# Cancelling, bounds, start and stop.


async def test_a_cancelled_call_does_not_poison_its_process():
    async with running_pool(processes=1) as pool, frozen_call(pool) as (running, process):
        waiting = asyncio.create_task(decode(pool, images.encoded("png")))
        behind = asyncio.create_task(decode(pool, images.encoded("tiff")))
        await until(lambda: pool.waiting == 2)
        for task in (running, waiting):
            task.cancel()
        results = await asyncio.gather(running, waiting, return_exceptions=True)
        assert all(isinstance(result, asyncio.CancelledError) for result in results)
        assert pool.waiting == 1
        process.resume()
        pixels, _ = await behind
        np.testing.assert_array_equal(pixels, images.scene())
        assert pool.restarts == 0


async def test_a_cancelled_call_whose_process_dies_is_not_run_again():
    async with running_pool(processes=1) as pool, frozen_call(pool) as (running, process):
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        process.kill()
        await until(lambda: pool.restarts == 1 and pool.alive == 1)
        assert (pool.running, pool.waiting) == (0, 0)


async def test_a_full_queue_refuses_at_once():
    async with (
        running_pool(processes=1, max_waiting=1) as pool,
        frozen_call(pool) as (call, process),
    ):
        waiting = asyncio.create_task(decode(pool, images.encoded("png")))
        await until(lambda: pool.waiting == 1)
        with pytest.raises(QueueFullError, match="at most 1 calls"):
            await decode(pool, images.encoded("png"))
        process.resume()
        await asyncio.gather(call, waiting)


async def test_stop_settles_every_call():
    async with running_pool(processes=1) as pool, frozen_call(pool) as (call, _):
        calls = [
            call,
            *(asyncio.create_task(decode(pool, images.encoded("png"))) for _ in range(2)),
        ]
        await until(lambda: pool.waiting == 2)
        await pool.stop()
        for result in await asyncio.gather(*calls, return_exceptions=True):
            assert isinstance(result, WorkerStoppedError)
        with pytest.raises(WorkerStoppedError):
            await decode(pool, images.encoded("png"))
        assert pool.alive == 0
        assert not children()


async def test_a_pool_whose_processes_do_not_come_up_fails_its_start():
    limits = replace(CONFIG.supervision, start_timeout_s=0.01)
    pool = CodecPool(replace(CONFIG, supervision=limits))
    with pytest.raises(ChildStartError, match=r"within 0.01 s"):
        await pool.start()
    assert not children()


async def test_processes_leave_ctrl_c_to_the_parent():
    async with running_pool(processes=1) as pool:
        children()[0].send_signal(signal.SIGINT)
        pixels, _ = await decode(pool, images.encoded("png"))
        assert pool.restarts == 0
    np.testing.assert_array_equal(pixels, images.scene())


async def test_processes_know_nothing_of_the_environment(monkeypatch):
    monkeypatch.setenv("EXPOFUSE_API_KEY", "secret")
    async with running_pool(processes=1):
        assert "EXPOFUSE_API_KEY" not in children()[0].environ()
        assert "service.codec.child" in children()[0].cmdline()


PARENT = """
import asyncio, os, signal, sys
from service.codec.pool import CodecPool, CodecPoolConfig
from expofuse.files.headers import PixelLimits
from service.processes.supervision_limits import SupervisionLimits

async def main():
    pool = CodecPool(CodecPoolConfig(
        processes=2, call_timeout_s=60, memory_limit_bytes=1 << 30, max_waiting=4,
        limits=PixelLimits(1000, 1000), supervision=SupervisionLimits(60, 60, 1, 10)))
    await pool.start()
    loaded = {"torch", "cv2", "pyvips", "onnxruntime"} & set(sys.modules)
    import psutil
    print(sorted(loaded), *(child.pid for child in psutil.Process().children()), flush=True)
    os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""


def test_processes_end_with_a_killed_parent_that_has_loaded_no_decoder():
    code = [sys.executable, "-c", PARENT]
    result = subprocess.run(
        code, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False
    )
    assert result.returncode == -signal.SIGKILL, result.stderr
    loaded, *pids = result.stdout.split()
    assert loaded == "[]"
    assert len(pids) == 2
    # Their end of the captured standard error is closed, or run() would not have returned.
    for pid in pids:
        assert (
            not Path(f"/proc/{pid}/cmdline").exists()
            or not Path(f"/proc/{pid}/cmdline").read_bytes()
        )


def test_a_process_ends_when_its_parent_is_already_gone():
    code = [sys.executable, "-m", "service.codec.child", "1000000", "1", "info", "9", "off", "1"]
    if os.getpid() == 1:
        pytest.skip("this process is number 1")
    result = subprocess.run(
        code, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert result.returncode == 1
    assert "expected the parent to be alive" in result.stderr
