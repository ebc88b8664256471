"""What is harmless in a JPEG file costs nothing; what is damaged is never half a picture."""

import struct

import numpy as np
import pytest

from expofuse.errors import ImageDecodeError
from expofuse.files.headers import PixelLimits, sniff
from expofuse.files.reading.decode import decode
from expofuse.files.reading.jpeg_repair import GAIN_MAP, SECOND_VIEW
from expofuse.files.reading.vips import configure_libvips
from tests import images

LIMITS = PixelLimits(max_pixels=1_000_000, max_side_px=20_000)


@pytest.fixture(autouse=True, scope="module")
def _libvips():
    configure_libvips()


def encode(**options):
    return images.encoded("jpeg", pixels=images.scene(240, 320), quality=88, **options)


def pixels_of(data):
    return decode(data, limits=LIMITS).pixels


def segment(marker, body):
    return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body


def insert(data, at, more):
    return data[:at] + more + data[at:]


def scan_header_of_one_maker(data):
    """The spectrum of a sequential scan as 0 to 0, which means nothing."""
    at = data.index(b"\xff\xda")
    (length,) = struct.unpack_from(">H", data, at + 2)
    end = at + 2 + length
    return data[: end - 3] + bytes(3) + data[end:]


def before_each_table(data, more):
    return data.replace(b"\xff\xdb", more + b"\xff\xdb")


HARMLESS = {
    "spectrum of the scan": scan_header_of_one_maker,
    "18 zeros between segments": lambda data: before_each_table(data, bytes(18)),
    "other bytes between segments": lambda data: before_each_table(data, b"\x01\x02\x03"),
    "fill bytes": lambda data: before_each_table(data, b"\xff" * 7),
    "trailing zeros": lambda data: data + bytes(5000),
    "trailing text": lambda data: data + b"SEFT" * 100,
    "another picture": lambda data: data + images.encoded("jpeg"),
    "no end mark": lambda data: data[:-2],
    "half an end mark": lambda data: data[:-1],
    "zeros instead of an end mark": lambda data: data[:-2] + bytes(300),
    "zeros before the end mark": lambda data: insert(data, len(data) - 2, bytes(300)),
    "an unknown segment": lambda data: insert(data, 2, segment(0xEF, b"maker" * 10)),
}


@pytest.mark.parametrize("kind", HARMLESS)
@pytest.mark.parametrize("form", [{}, {"subsampling": 2}, {"restart_marker_blocks": 4}])
def test_what_is_harmless_changes_no_pixel(kind, form):
    data = encode(**form)
    harmed = HARMLESS[kind](data)
    assert harmed != data
    np.testing.assert_array_equal(pixels_of(harmed), pixels_of(data))


def test_a_spectrum_of_a_progressive_scan_is_left_alone():
    data = encode(progressive=True)
    np.testing.assert_array_equal(pixels_of(before_each_table(data, bytes(18))), pixels_of(data))


@pytest.mark.parametrize(
    "form",
    [
        {"subsampling": 0},
        {"subsampling": 2},
        {"progressive": True},
        {"restart_marker_blocks": 4},
    ],
    ids=["444", "420", "progressive", "restarts"],
)
def test_data_put_in_or_taken_out_is_damage_but_for_chance(form):
    """A decoder finds its way back, and tells of it by what is left over, or lacking, at the end.

    Where it finds back to the very block nothing tells, and what follows has another tone: a JPEG
    has no checksum.
    """
    noise = np.random.default_rng(1).normal(0, 12, (240, 320, 3))
    textured = np.clip(images.scene(240, 320) + noise, 0, 255).astype(np.uint8)
    data = images.encoded("jpeg", pixels=textured, quality=88, **form)
    truth = pixels_of(data).astype(int)
    rng = np.random.default_rng(2)
    begin = data.index(b"\xff\xda") + 20
    missed = 0
    for turn in range(60):
        at = int(rng.integers(begin, len(data) - 303))
        more = rng.bytes(300)
        harmed = insert(data, at, more) if turn % 2 else data[:at] + data[at + 300 :]
        try:
            off = np.abs(pixels_of(harmed) - truth).max(axis=-1)
        except ImageDecodeError:
            continue
        missed += (off > 32).mean() > 0.005
    assert missed <= 4


@pytest.mark.parametrize("seed", range(8))
def test_300_bytes_put_into_a_scan_are_damage(seed):
    data = encode()
    rng = np.random.default_rng(seed)
    at = int(rng.integers(len(data) // 4, len(data) * 3 // 4))
    with pytest.raises(ImageDecodeError, match="truncated or damaged"):
        pixels_of(insert(data, at, rng.bytes(300)))


def test_a_megabyte_between_two_segments_is_no_header():
    with pytest.raises(ImageDecodeError, match="got other content"):
        sniff(before_each_table(encode(), bytes(1_000_000)))


@pytest.mark.parametrize(
    ("marker", "body", "extras"),
    [
        (0xE2, b"MPF\0" + bytes(40), (SECOND_VIEW,)),
        (0xE2, b"urn:iso:std:iso:ts:21496:-1\0" + bytes(9), (GAIN_MAP,)),
        (0xE1, b'http://ns.adobe.com/xap/1.0/\0<x hdrgm:Version="1.0"/>', (GAIN_MAP,)),
        (0xE1, b"http://ns.adobe.com/xap/1.0/\0<x/>", ()),
    ],
)
def test_what_is_dropped_is_said(marker, body, extras):
    data = insert(encode(), 2, segment(marker, body)) + encode()
    found = decode(data, limits=LIMITS)
    assert found.metadata.extras == extras
    np.testing.assert_array_equal(found.pixels, pixels_of(encode()))
