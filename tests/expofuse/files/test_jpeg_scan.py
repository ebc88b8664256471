"""The quick way of ordinary JPEG files, against libvips and Pillow."""

import numpy as np
import pytest
import pyvips

from expofuse.errors import FileError, ImageDecodeError, UnsupportedImageError
from expofuse.files.headers import PixelLimits
from expofuse.files.reading.decode import decode
from expofuse.files.reading.jpeg.scan import read_scan
from expofuse.files.reading.jpeg.stream import tidy
from expofuse.files.reading.vips import configure_libvips
from tests import images

LIMITS = PixelLimits(max_pixels=1_000_000, max_side_px=20_000)
SIZES = [(48, 64), (67, 53), (16, 16), (300, 17)]


@pytest.fixture(autouse=True, scope="module")
def _libvips():
    configure_libvips()


def by_libvips(data, *, fail_on="warning"):
    image = pyvips.Image.jpegload_buffer(data, fail_on=fail_on)
    pixels = image.numpy() if image.bands == 3 else image.bandjoin([image, image]).numpy()
    return pixels.reshape(image.height, image.width, 3)


def read(data, size):
    out = np.zeros((*size, 3), np.uint8)
    assert read_scan(tidy(data), out)
    return out


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


@pytest.mark.parametrize("room", [(48, 63, 3), (64, 48, 3), (49, 64, 3), (48, 64, 1)])
def test_a_scan_that_does_not_fit_is_not_read(room):
    with pytest.raises(ValueError, match="expected room"):
        read_scan(tidy(images.encoded("jpeg")), np.zeros(room, np.uint8))


def test_a_scan_is_not_read_into_16_bits():
    with pytest.raises(ValueError, match="expected room"):
        read_scan(tidy(images.encoded("jpeg")), np.zeros((48, 64, 3), np.uint16))


@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
@pytest.mark.parametrize("end", [b"", b"\xff\xd9"])
def test_a_scan_that_the_decoder_warns_of_is_damaged(share, end):
    data = images.encoded("jpeg", pixels=images.scene(120, 160))
    with pytest.raises(ImageDecodeError, match="damaged: copy"):
        read(images.truncated(data, share=share) + end, (120, 160))


def test_mutated_files_are_read_as_libvips_reads_them_or_refused():
    taken = refused = 0
    for data in images.mutations(images.encoded("jpeg"), seed=5, count=300):
        try:
            pixels = decode(data, limits=LIMITS).pixels
        except FileError:
            refused += 1
            continue
        np.testing.assert_array_equal(pixels, by_libvips(data, fail_on="error"))
        taken += 1
    assert taken > 10
    assert refused > 10


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("more", [{}, {"subsampling": 0}, {"restart_marker_blocks": 3}])
def test_several_scans_are_read_as_libvips_reads_them(size, more):
    data = images.encoded("jpeg", pixels=images.scene(*size), progressive=True, **more)
    np.testing.assert_array_equal(read(data, size), by_libvips(data))


@pytest.mark.parametrize("factors", [(0x31, 0x11, 0x11), (0x21, 0x11, 0x21)])
def test_rare_layouts_are_left_to_libvips(factors):
    data = images.jpeg_with_sampling(images.encoded("jpeg", subsampling=0), factors)
    np.testing.assert_array_equal(
        decode(data, limits=LIMITS).pixels, by_libvips(data, fail_on="error")
    )


# What firmware writes, and damage


def scan_start(data):
    return data.index(b"\xff\xda") + 14


def with_scan_parameters(data, parameters):
    start = scan_start(data)
    return data[: start - 3] + parameters + data[start:]


def photograph(height=240, width=320):
    noise = np.random.default_rng(3).normal(0, 6, (height, width, 3))
    return np.clip(images.scene(height, width) + noise, 0, 255).astype(np.uint8)


HARMLESS = {
    "scan parameters": lambda data: with_scan_parameters(data, b"\0\0\0"),
    "scan parameters of a progression": lambda data: with_scan_parameters(data, b"\1\5\x11"),
    "zeros before the tables": lambda data: data[:20] + bytes(18) + data[20:],
    "zeros before the scan": lambda data: (
        data[: scan_start(data) - 14] + bytes(300) + data[scan_start(data) - 14 :]
    ),
    "fill bytes": lambda data: data[:20] + b"\xff" * 7 + data[20:],
    "version of JFIF": lambda data: data[:11] + b"\x07\x09" + data[13:],
    "no end mark": lambda data: data[:-2],
    "half an end mark": lambda data: data[:-1],
    "zeros before the end mark": lambda data: data[:-2] + bytes(500) + data[-2:],
    "data after the end": lambda data: data + b"\xff\xd8 and more" * 50,
    "a damaged profile": lambda data: (
        data[:20] + b"\xff\xe2\0\x14ICC_PROFILE\0\x02\x03none" + data[20:]
    ),
}


@pytest.mark.parametrize("name", HARMLESS)
def test_what_firmware_writes_costs_nothing(name):
    data = images.encoded("jpeg", pixels=photograph())
    changed = HARMLESS[name](data)
    assert changed != data
    np.testing.assert_array_equal(
        decode(changed, limits=LIMITS).pixels, decode(data, limits=LIMITS).pixels
    )


def test_a_sound_progression_keeps_its_scan_parameters():
    data = images.encoded("jpeg", pixels=photograph(), progressive=True)
    np.testing.assert_array_equal(
        decode(data[:-2], limits=LIMITS).pixels, by_libvips(data, fail_on="error")
    )


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"subsampling": 0},
        {"restart_marker_blocks": 8},
        {"icc_profile": images.icc_profile(images.DISPLAY_P3_PRIMARIES)},
        {"exif": images.exif_with_thumbnail(orientation=6)[0]},
    ],
    ids=["plain", "4:4:4", "restarts", "profile", "turned"],
)
@pytest.mark.parametrize("junk", [300, -300])
def test_a_scan_with_300_bytes_too_many_or_too_few_is_damaged(more, junk):
    data = images.encoded("jpeg", pixels=photograph(), quality=85, **more)
    rng = np.random.default_rng(9)
    start = data.rindex(b"\xff\xda") + 14 if "exif" in more else scan_start(data)
    for position in rng.integers(start, len(data) - 310, 20):
        if junk > 0:
            changed = data[:position] + rng.bytes(junk) + data[position:]
        else:
            changed = data[:position] + data[position - junk :]
        with pytest.raises(ImageDecodeError, match="damaged"):
            decode(changed, limits=LIMITS)


def test_what_passes_in_a_progression_is_faint():
    data = images.encoded("jpeg", pixels=photograph(), quality=85, progressive=True)
    sound = decode(data, limits=LIMITS).pixels.astype(int)
    rng = np.random.default_rng(9)
    refused = 0
    for position in rng.integers(scan_start(data), len(data) - 310, 40):
        try:
            pixels = decode(data[:position] + data[position + 300 :], limits=LIMITS).pixels
        except ImageDecodeError:
            refused += 1
        else:
            # The last scan holds the last bit of a coefficient: its loss moves single blocks.
            assert (np.abs(pixels - sound).max(axis=-1) > 8).mean() < 0.02
    assert refused > 20


def test_a_progression_without_its_last_scan_is_damaged():
    data = images.encoded("jpeg", pixels=photograph(), progressive=True)
    with pytest.raises(ImageDecodeError, match="last scans"):
        decode(data[: data.rindex(b"\xff\xda")] + b"\xff\xd9", limits=LIMITS)


def test_four_components_with_bytes_too_many_are_damaged():
    data = images.jpeg_cmyk(photograph())
    rng = np.random.default_rng(2)
    for position in rng.integers(scan_start(data) + 10, len(data) - 400, 8):
        with pytest.raises(ImageDecodeError, match="damaged"):
            decode(data[:position] + rng.bytes(300) + data[position:], limits=LIMITS)


def test_content_between_segments_is_damage():
    data = images.encoded("jpeg")
    with pytest.raises(ImageDecodeError, match="between segments"):
        decode(data[:20] + b"inserted" + data[20:], limits=LIMITS)


def test_more_scans_than_any_program_writes_are_refused():
    data = images.encoded("jpeg", progressive=True)
    last = data[data.rindex(b"\xff\xda") : -2]
    with pytest.raises(UnsupportedImageError, match="100 scans"):
        decode(data[:-2] + last * 120 + data[-2:], limits=LIMITS)
