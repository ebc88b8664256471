"""The quick way of ordinary JPEG files, against libvips and Pillow."""

import numpy as np
import pytest
import pyvips

from expofuse.files.headers import PixelLimits
from expofuse.files.reading.decode import decode
from expofuse.files.reading.jpeg_scan import read_scan
from expofuse.files.reading.vips import configure_libvips
from tests import images

LIMITS = PixelLimits(max_pixels=1_000_000, max_side_px=20_000)
SIZES = [(48, 64), (67, 53), (16, 16), (300, 17)]


@pytest.fixture(autouse=True, scope="module")
def _libvips():
    configure_libvips()


def by_libvips(data):
    image = pyvips.Image.jpegload_buffer(data, fail_on="warning")
    pixels = image.numpy() if image.bands == 3 else image.bandjoin([image, image]).numpy()
    return pixels.reshape(image.height, image.width, 3)


def read(data, size):
    out = np.zeros((*size, 3), np.uint8)
    return out if read_scan(data, out) else None


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("subsampling", [0, 1, 2])
@pytest.mark.parametrize("more", [{}, {"optimize": True}, {"restart_marker_blocks": 3}])
def test_a_scan_is_read_as_libvips_reads_it(size, subsampling, more):
    data = images.encoded("jpeg", pixels=images.scene(*size), subsampling=subsampling, **more)
    np.testing.assert_array_equal(read(data, size), by_libvips(data))


def test_a_grey_scan_is_read_as_libvips_reads_it():
    data = images.jpeg_grey()
    pixels = read(data, (48, 64))
    np.testing.assert_array_equal(pixels, by_libvips(data))


def test_a_scan_is_read_into_the_block_that_is_given():
    data = images.encoded("jpeg")
    block = np.zeros(48 * 64 * 3, np.uint8)
    pixels = decode(data, limits=LIMITS, out=block).pixels
    assert np.shares_memory(pixels, block)
    np.testing.assert_array_equal(block.reshape(48, 64, 3), by_libvips(data))


@pytest.mark.parametrize("room", [(48, 63, 3), (64, 48, 3), (49, 64, 3)])
def test_a_scan_that_does_not_fit_is_not_read(room):
    assert not read_scan(images.encoded("jpeg"), np.zeros(room, np.uint8))


def test_a_scan_is_not_read_into_16_bits():
    assert not read_scan(images.encoded("jpeg"), np.zeros((48, 64, 3), np.uint16))


@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
@pytest.mark.parametrize("end", [b"", b"\xff\xd9"])
def test_a_scan_that_the_decoder_warns_of_is_not_read(share, end):
    data = images.encoded("jpeg", pixels=images.scene(120, 160))
    assert read(images.truncated(data, share=share) + end, (120, 160)) is None


def test_damage_is_judged_as_libvips_judges_it():
    taken = refused = 0
    for data in images.mutations(images.encoded("jpeg"), seed=5, count=300):
        pixels = read(data, (48, 64))
        if pixels is None:
            refused += 1
            continue
        np.testing.assert_array_equal(pixels, by_libvips(data))
        taken += 1
    assert taken > 10
    assert refused > 10


@pytest.mark.parametrize(
    "data",
    [
        images.encoded("jpeg", progressive=True),
        images.with_orientation(6),
        images.with_icc(images.icc_profile(images.DISPLAY_P3_PRIMARIES), form="jpeg"),
        images.jpeg_cmyk(),
    ],
    ids=["scans", "turned", "profile", "cmyk"],
)
def test_what_is_not_ordinary_goes_through_libvips(data, monkeypatch):
    expected = decode(data, limits=LIMITS).pixels

    def fail(*_):
        raise AssertionError

    monkeypatch.setattr("expofuse.files.reading.decode.read_scan", fail)
    np.testing.assert_array_equal(decode(data, limits=LIMITS).pixels, expected)
