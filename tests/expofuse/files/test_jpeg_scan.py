"""The pixels of JPEG files, against libvips."""

import numpy as np
import pytest
import pyvips
from PIL import Image

from expofuse.errors import FileError, ImageDecodeError, UnsupportedImageError
from expofuse.files.headers import ImageHeader, PixelLimits
from expofuse.files.reading.decode import decode
from expofuse.files.reading.jpeg_repair import read_structure
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


def read(data, size, bands=3):
    header = ImageHeader("jpeg", size[1], size[0], 8)
    return read_scan(read_structure(data), header, bands=bands)


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


@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
@pytest.mark.parametrize("end", [b"", b"\xff\xd9"])
def test_a_scan_that_ends_early_is_damaged(share, end):
    data = images.encoded("jpeg", pixels=images.scene(120, 160))
    with pytest.raises(ImageDecodeError, match="missing data"):
        read(images.truncated(data, share=share) + end, (120, 160))


def test_what_is_read_of_mutated_files_is_what_libvips_reads():
    taken = refused = 0
    for data in images.mutations(images.encoded("jpeg"), seed=5, count=300):
        try:
            pixels = decode(data, limits=LIMITS).pixels
        except FileError:
            refused += 1
            continue
        expected = by_libvips(read_structure(data).data)
        np.testing.assert_array_equal(pixels, expected)
        taken += 1
    assert taken > 10
    assert refused > 10


@pytest.mark.parametrize("orientation", [1, 6])
@pytest.mark.parametrize("bands", [1, 3])
@pytest.mark.parametrize("profile", [None, images.icc_profile(images.DISPLAY_P3_PRIMARIES)])
def test_the_ways_through_a_decoder_agree(orientation, bands, profile):
    """Straight into the block, through an array, and by libvips alone for an odd sampling."""
    stored = images.scene() if bands == 3 else images.scene()[..., 0]
    exif = Image.Exif()
    exif[274] = orientation
    options = {} if profile is None else {"icc_profile": profile}
    data = images.save(stored, "JPEG", quality=90, exif=exif, **options)
    pixels = decode(data, limits=LIMITS).pixels
    wide = decode(data, limits=LIMITS, out=np.zeros(pixels.size, np.uint16)).pixels
    np.testing.assert_array_equal(pixels.astype(np.uint16) * 257, wide)


def test_a_file_of_a_thousand_scans_is_refused_before_it_costs_anything():
    data = images.encoded("jpeg", progressive=True)
    at = data.rindex(b"\xff\xda")
    scan = data[at:-2]
    with pytest.raises(UnsupportedImageError, match="at most 100 scans"):
        read(data[:at] + scan * 1000 + data[-2:], (48, 64))
