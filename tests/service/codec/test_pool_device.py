"""Codec processes that have a device for JPEG files: nvImageCodec's own CPU backend, or a GPU."""

import numpy as np
import pytest

from expofuse.errors import ImageDecodeError
from expofuse.files.device.jpeg import CPU
from expofuse.files.formats import EncodeOptions, ImageMetadata
from expofuse.files.headers import PixelLimits
from expofuse.files.reading.decode import decode as decode_here
from expofuse.files.writing.encode import encode as encode_here
from service.codec.pool import CodecPool
from service.errors import ChildStartError
from service.metrics import Metrics
from service.processes.confinement import ALL_BARS, find_bars
from service.processes.shared_memory import SharedArray
from tests import images
from tests.devices import needs_device, needs_no_device
from tests.service.codec.test_pool import CONFIG, decode, replace, until

LIMITS = PixelLimits(max_pixels=50_000_000, max_side_px=20_000)
LOSING = ("-m", "tests.service.codec.losing_device")


@pytest.fixture
def metrics():
    return Metrics()


def count(metrics, call, outcome):
    return metrics.registry.get_sample_value(
        "expofuse_codec_device_jpegs_total", {"call": call, "outcome": outcome}
    )


class running_pool:  # noqa: N801, a context manager
    def __init__(self, metrics, **changes):
        self._pool = CodecPool(replace(CONFIG, processes=1, **changes), metrics)

    async def __aenter__(self):
        await self._pool.start()
        return self._pool

    async def __aexit__(self, *_):
        await self._pool.stop()


def large_jpeg(**options):
    return images.encoded("jpeg", pixels=images.scene(1000, 1200), **options)


async def test_large_ordinary_files_are_decoded_by_the_device(metrics):
    data = large_jpeg()
    async with running_pool(metrics, jpeg_device=CPU) as pool:
        pixels, _ = await decode(pool, data)
    np.testing.assert_array_equal(pixels, decode_here(data, limits=LIMITS).pixels)
    assert [count(metrics, "decode", one) for one in ("done", "left", "failed")] == [1, 0, 0]


async def test_others_are_left_to_the_cpu(metrics):
    async with running_pool(metrics, jpeg_device=CPU) as pool:
        await decode(pool, images.encoded("jpeg"))
        await decode(pool, large_jpeg(progressive=True))
        await decode(pool, images.encoded("png"))
    assert [count(metrics, "decode", one) for one in ("done", "left", "failed")] == [0, 2, 0]


async def test_damaged_files_are_refused(metrics):
    async with running_pool(metrics, jpeg_device=CPU) as pool:
        with pytest.raises(ImageDecodeError, match="damaged"):
            await decode(pool, images.truncated(large_jpeg()))
    assert count(metrics, "decode", "done") == 0


async def test_files_are_encoded_by_the_device(metrics):
    with SharedArray.create((120, 160, 3), "uint8") as block:
        block.array[:] = images.scene(120, 160)
        async with running_pool(metrics, jpeg_device=CPU) as pool:
            for options in (EncodeOptions("jpeg"), EncodeOptions("jpeg", is_progressive=True)):
                file = await pool.encode(
                    block.descriptor, options=options, metadata=ImageMetadata()
                )
                expected = encode_here(
                    images.scene(120, 160), options=options, metadata=ImageMetadata()
                )
                found, wanted = (decode_here(one, limits=LIMITS).pixels for one in (file, expected))
                assert np.abs(found.astype(int) - wanted).mean() < 0.1
    assert [count(metrics, "encode", one) for one in ("done", "left", "failed")] == [1, 1, 0]


async def test_without_a_device_nothing_is_counted(metrics):
    async with running_pool(metrics) as pool:
        await decode(pool, large_jpeg())
    assert all(count(metrics, "decode", one) == 0 for one in ("done", "left", "failed"))


async def test_a_process_whose_device_is_lost_answers_and_is_replaced(metrics):
    data = large_jpeg()
    async with running_pool(metrics, jpeg_device=CPU, program=LOSING) as pool:
        (first,) = pool.pids
        for losses in (1, 2):
            pixels, _ = await decode(pool, data)
            np.testing.assert_array_equal(pixels, decode_here(data, limits=LIMITS).pixels)
            await until(lambda losses=losses: pool.restarts == losses and pool.alive == 1)
        assert pool.pids != [first]
    assert count(metrics, "decode", "failed") == 2


@needs_no_device
async def test_a_device_that_is_not_there_fails_the_start(metrics):
    pool = CodecPool(replace(CONFIG, processes=1, jpeg_device="cuda:0"), metrics)
    with pytest.raises(ChildStartError, match="to use the device 'cuda:0', it cannot"):
        await pool.start()


async def test_a_process_with_a_device_is_confined_as_others(metrics):
    async with running_pool(metrics, jpeg_device=CPU) as pool:
        assert pool.confined_by == find_bars()


@pytest.mark.gpu
@needs_device
@pytest.mark.skipif(find_bars() != ALL_BARS, reason="needs a kernel with all bars")
async def test_a_confined_process_uses_a_gpu(metrics):
    data = large_jpeg()
    expected = decode_here(data, limits=LIMITS).pixels.astype(int)
    async with running_pool(metrics, jpeg_device="cuda:0", sandbox="require") as pool:
        for _ in range(3):
            pixels, _ = await decode(pool, data)
            assert np.abs(pixels - expected).mean() < 0.5
    assert count(metrics, "decode", "done") == 3
