"""Raw files are developed alike: one white balance, no brightness of their own."""

import io
import struct

import numpy as np
import pytest
from PIL import Image

from expofuse import fuse
from expofuse.errors import FileError, ImageDecodeError, UnsupportedImageError
from expofuse.files.headers import PixelLimits, sniff
from expofuse.files.reading.decode import decode
from expofuse.files.reading.vips import configure_libvips
from tests import images
from tests.dng import dng

LIMITS = PixelLimits(max_pixels=1_000_000, max_side_px=20_000)
INSIDE = slice(8, -8)


@pytest.fixture(autouse=True, scope="module")
def _libvips():
    configure_libvips()


def light(height=120, width=160):
    return images.srgb_to_linear(images.scene(height, width) / 255)


def shown(linear):
    return np.clip(images.linear_to_srgb(np.clip(linear, 0, 1)), 0, 1) * 65535


def off_by(pixels, expected):
    return np.abs(pixels.astype(float) - expected)[INSIDE, INSIDE].mean() / 257


@pytest.mark.parametrize("gain", [0.1, 0.5, 1.0, 3.0])
def test_a_scene_is_developed_to_what_it_was(gain):
    """Also one that is dark as a whole: no frame is brightened by what it holds."""
    found = decode(dng(light(), gain=gain), limits=LIMITS)
    assert found.pixels.dtype == np.uint16
    assert off_by(found.pixels, shown(light() * gain)) < 2.0


def test_a_sensor_without_colour_filters_gives_grey():
    found = decode(dng(light(), is_grey=True), limits=LIMITS)
    assert found.pixels.shape == (120, 160, 3)
    assert (found.pixels == found.pixels[..., :1]).all()
    assert off_by(found.pixels, shown(light()[..., 1:2])) < 1.0


def test_the_header_bounds_the_size():
    header = sniff(dng(light()))
    assert (header.format, header.bits) == ("raw", 16)
    assert header.width_px >= 160
    assert header.height_px >= 120


@pytest.mark.parametrize(("orientation", "turns"), [(3, 2), (6, -1), (8, 1)])
def test_the_cameras_orientation_is_applied(orientation, turns):
    found = decode(dng(light(), orientation=orientation), limits=LIMITS)
    assert found.orientation == 1
    assert off_by(found.pixels, np.rot90(shown(light()), turns)) < 2.0


def test_a_given_white_balance_counts_more_than_the_files_own():
    own = decode(dng(light()), limits=LIMITS)
    other = decode(dng(light(), neutral=(0.8, 1.0, 0.4)), limits=LIMITS)
    assert off_by(other.pixels, own.pixels) > 5
    alike = decode(
        dng(light(), neutral=(0.8, 1.0, 0.4)), limits=LIMITS, white_balance=own.white_balance
    )
    np.testing.assert_array_equal(alike.pixels, own.pixels)


def test_the_pixels_go_into_the_room_that_the_header_asked_for():
    data = dng(light())
    header = sniff(data)
    room = np.zeros(header.pixels * 3, np.uint16)
    found = decode(data, limits=LIMITS, out=room)
    assert np.shares_memory(found.pixels, room)
    np.testing.assert_array_equal(found.pixels, decode(data, limits=LIMITS).pixels)


def test_what_the_file_says_of_the_camera_travels_on():
    exif = Image.Exif()
    exif.load(decode(dng(light(), maker="Somebody"), limits=LIMITS).metadata.exif)
    assert (exif[0x010F], exif[0x0112]) == ("Somebody", 1)


def test_a_bracket_is_fused_with_the_white_balance_of_one():
    """The camera chose another one for the last frame; the picture does not show it."""
    neutrals = [(0.5, 1.0, 0.7)] * 2 + [(0.8, 1.0, 0.4)]
    bracket = [
        dng(light(), gain=gain, neutral=neutral)
        for gain, neutral in zip((0.2, 0.6, 1.5), neutrals, strict=True)
    ]
    alike = [dng(light(), gain=gain) for gain in (0.2, 0.6, 1.5)]
    fused = [fuse(files, align="off", format="png") for files in (bracket, alike)]
    pictures = [decode(file, limits=LIMITS).pixels for file in fused]
    assert pictures[0].dtype == np.uint16
    np.testing.assert_array_equal(*pictures)


def test_a_raw_file_and_a_picture_are_fused():
    dark = dng(light(), gain=0.3)
    bright = images.encoded("png", pixels=images.scene(120, 160))
    picture, report = fuse([dark, bright], align="off", return_report=True)
    assert Image.open(io.BytesIO(picture)).format == "PNG"
    assert report.order == (0, 1)


@pytest.mark.parametrize("share", [0.2, 0.6, 0.9])
def test_a_truncated_raw_file_is_damaged(share):
    with pytest.raises(ImageDecodeError):
        decode(images.truncated(dng(light()), share=share), limits=LIMITS)


def directory(tags, position):
    """A directory of TIFF whose entries hold one number each."""
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    return struct.pack("<H", len(tags)) + entries + struct.pack("<I", position)


def cr2(*, width=3456, height=2304, kept=None):
    """The bones of an older Canon file, whose first directory describes a small preview alone."""
    preview, second = 16, 16 + 2 + 12 * 2 + 4
    begin = second + 2 + 12 * 2 + 4
    frame = struct.pack(">BHHB", 14, height, width // 2, 2) + bytes(6)
    scan = b"\xff\xd8\xff\xc4\0\x04ab\xff\xc3" + struct.pack(">H", 2 + len(frame)) + frame
    scan += bytes(5000)
    file = b"II*\0" + struct.pack("<I", preview) + b"CR\2\0" + bytes(4)
    file += directory({256: 1536, 257: 1024}, second)
    file += directory({273: begin, 279: len(scan)}, 0) + scan
    return file[:kept]


def test_the_size_of_a_cr2_is_that_of_its_data_and_not_of_its_preview():
    header = sniff(cr2())
    assert (header.format, header.bits) == ("raw", 16)
    assert header.width_px >= 3456
    assert header.height_px >= 2304


def raf(*, layout, kept=None):
    table = struct.pack(">IHHHHHHBB", 2, 0x100, 4, 1000, 1600, 0x130, 2, 0, layout)
    data = bytes(4000)
    head = b"FUJIFILMCCD-RAW ".ljust(0x5C, b"\0")
    head += struct.pack(">IIII", 0x70, len(table), 0x70 + len(table), len(data))
    return (head.ljust(0x70, b"\0") + table + data)[:kept]


def test_a_sensor_that_stands_on_a_corner_gives_twice_its_pixels():
    upright, turned = sniff(raf(layout=8)), sniff(raf(layout=0))
    assert 1600 * 1000 <= upright.pixels < 2 * 1600 * 1000
    assert 2 * 1600 * 1000 <= turned.pixels < 3 * 1600 * 1000


def cr3(*, kept=None):
    entry = b"CRAW" + bytes(24) + struct.pack(">HH", 6000, 4000)
    file = struct.pack(">I", 24) + b"ftypcrx " + bytes(12)
    file += struct.pack(">I4s", 8 + len(entry), b"moov") + entry
    return (file + struct.pack(">I4sQ", 1, b"mdat", 16 + 5000) + bytes(5000))[:kept]


def rw2(*, kept=None):
    file = b"IIU\0" + struct.pack("<I", 8)
    file += directory({2: 4000, 3: 3000, 273: 0xFFFFFFFF, 279: 5000, 280: 200}, 0)
    return (file.ljust(200, b"\0") + bytes(5000))[:kept]


@pytest.mark.parametrize("make", [cr2, lambda kept=None: raf(layout=8, kept=kept), cr3, rw2])
def test_a_file_that_ends_before_its_data_is_damaged(make):
    """LibRaw would take what is missing for black."""
    assert sniff(make()).format == "raw"
    with pytest.raises(ImageDecodeError, match="copy it again"):
        sniff(make(kept=4000))


@pytest.mark.parametrize("mark", [b"IIII", b"MMMM"])
def test_a_raw_file_that_looks_like_a_small_picture_is_called_by_its_name(mark):
    with pytest.raises(UnsupportedImageError, match="IIQ"):
        sniff(b"II*\0\x10\0\0\0" + mark + bytes(60))


def test_mutated_raw_files_are_answered():
    refused = 0
    for data in images.mutations(dng(light()), seed=4, count=150):
        try:
            decode(data, limits=LIMITS)
        except FileError:
            refused += 1
    assert refused > 5


def test_a_raw_file_whose_decoder_is_not_installed_says_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "rawpy", None)
    with pytest.raises(UnsupportedImageError, match=r"install expofuse\[raw\]"):
        decode(dng(light()), limits=LIMITS)
