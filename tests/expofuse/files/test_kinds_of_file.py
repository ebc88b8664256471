"""Which layouts of the formats are decoded, which are refused by name, and what is left out."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import pyvips
import tifffile
from PIL import Image

from expofuse.errors import (
    ImageDecodeError,
    MediaTypeError,
    MetadataLimitError,
    UnsupportedImageError,
)
from expofuse.files.headers import PixelLimits, sniff
from expofuse.files.reading.decode import decode
from expofuse.files.reading.png import drop_texts
from expofuse.files.reading.vips import configure_libvips
from tests import images

LIMITS = PixelLimits(max_pixels=4_000_000, max_side_px=20_000)
CASES = Path(__file__).parents[4] / "shared" / "cases"


@pytest.fixture(autouse=True, scope="module")
def _libvips():
    configure_libvips()


def read(data):
    return decode(data, limits=LIMITS)


def tiff(pixels=None, **options):
    file = io.BytesIO()
    pixels = images.scene() if pixels is None else pixels
    tifffile.imwrite(file, pixels, **({"photometric": "rgb"} | options))
    return file.getvalue()


def planes(dtype=np.uint8):
    return np.ascontiguousarray(images.scene(dtype=dtype).transpose(2, 0, 1))


def tiff_claiming(tag, value):
    """A TIFF of ours with another value of a tag that it has."""
    data = bytearray(images.tiff_with_directory_at_end())
    (place,) = struct.unpack_from("<I", data, 4)
    for entry in range(place + 2, place + 2 + 9 * 12, 12):
        if struct.unpack_from("<H", data, entry)[0] == tag:
            struct.pack_into("<H", data, entry + 8, value)
    return bytes(data)


LOSSLESS_TIFFS = {
    "none": lambda: images.encoded("tiff", compression="raw"),
    "lzw": lambda: images.encoded("tiff", compression="tiff_lzw"),
    "deflate": lambda: images.encoded("tiff", compression="tiff_adobe_deflate"),
    "old deflate": lambda: images.encoded("tiff", compression="tiff_deflate"),
    "packbits": lambda: images.encoded("tiff", compression="packbits"),
    "predictor": lambda: tiff(compression="zlib", predictor=2),
    "planes": lambda: tiff(planes(), planarconfig="separate"),
    "tiles": lambda: tiff(tile=(16, 16)),
    "big, tiles": lambda: tiff(tile=(16, 16), bigtiff=True, byteorder=">"),
    "strips": lambda: tiff(rowsperstrip=5),
}


@pytest.mark.parametrize("name", LOSSLESS_TIFFS)
def test_lossless_tiffs_are_read_exactly(name):
    np.testing.assert_array_equal(read(LOSSLESS_TIFFS[name]()).pixels, images.scene())


def test_16_bit_planes_are_read_exactly():
    wide = images.scene(dtype=np.uint16)
    data = tiff(planes(np.uint16), planarconfig="separate", byteorder=">")
    np.testing.assert_array_equal(read(data).pixels, wide)


@pytest.mark.parametrize("compression", ["group3", "group4", "tiff_ccitt"])
def test_fax_tiffs_are_read(compression):
    bilevel = Image.fromarray(images.scene()[..., 0].copy()).convert("1")
    pixels = read(images.save(bilevel, "TIFF", compression=compression)).pixels
    np.testing.assert_array_equal(pixels, np.asarray(bilevel.convert("RGB")))


def test_a_tiff_of_jpeg_is_read_in_its_colours():
    pixels = read(images.encoded("tiff", compression="jpeg", quality=95)).pixels
    assert np.abs(pixels.astype(int) - images.scene()).mean() < 3


@pytest.mark.parametrize(
    ("code", "name"),
    [
        (6, "old-style JPEG"),
        (34925, "LZMA"),
        (50000, "zstd"),
        (34887, "LERC"),
        (12345, "number 12345"),
    ],
)
def test_tiff_compressions_without_a_decoder_are_named(code, name):
    with pytest.raises(UnsupportedImageError, match=rf"got compression {name}: save it as RGB"):
        sniff(tiff_claiming(259, code))


@pytest.mark.parametrize(
    ("code", "name"),
    [(8, "CIELAB"), (9, "ICCLAB"), (32845, "LogLuv"), (6, "YCbCr without JPEG"), (4, "a mask")],
)
def test_tiff_colours_that_would_be_wrong_are_named(code, name):
    with pytest.raises(UnsupportedImageError, match=rf"got {name}.*: save it as RGB"):
        sniff(tiff_claiming(262, code))


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda: tiff(planes(), planarconfig="separate", tile=(16, 16)), "tiles of separate"),
        (lambda: tiff(images.scene().astype(np.float32)), "floating point"),
        (lambda: tiff(images.scene().astype(np.int16)), "signed integers"),
        (lambda: tiff(images.scene().astype(np.uint32)), "got 32: save"),
        (images.tiff_multi_page, "several: save"),
        (images.png_animated, "2 frames: save"),
        (images.webp_animated, "animated WebP: save"),
    ],
)
def test_unsupported_layouts_are_named_and_say_what_to_do(make, name):
    with pytest.raises(UnsupportedImageError, match=name):
        sniff(make())


# Names


@pytest.mark.parametrize(
    ("start", "name"),
    [
        (b"", "an empty file"),
        (b"\0\0\0\x18ftypisom\0\0\2\0isomiso2", r"a film \(MP4\)"),
        (b"\0\0\0\x14ftypqt  \0\0\0\0qt  ", r"a film \(QuickTime\)"),
        (b"\0\0\0\x0cjP  \r\n\x87\n", "a JPEG 2000"),
        (b"GIF89a", "a GIF"),
        (b"8BPS\0\1", "a Photoshop document"),
        (b"\x76\x2f\x31\x01\2\0\0\0", "an OpenEXR"),
        (b"#?RADIANCE\n", "a Radiance HDR"),
        (b"%PDF-1.7", "a PDF"),
        (b"<svg xmlns=", "an SVG"),
        (b"<?xml version='1.0'?><svg", "an SVG"),
        (b"<!DOCTYPE html><html>", "a web page"),
        (b"PK\x03\x04\x14\0", "a ZIP"),
        (b'{"error": 1}', "a JSON"),
        (b"P6 64 48 255\n", "a portable pixmap"),
        (b"no picture at all", "a text"),
        (b"\xff\xd8\0\0", "a damaged JPEG"),
        (bytes(40), "other content"),
    ],
)
def test_files_that_are_not_taken_are_called_by_their_names(start, name):
    with pytest.raises(MediaTypeError, match=rf"^expected a file of JPEG.*, got {name}.*: export"):
        sniff(start)


# Damage


def png_with_bad_checksum():
    data = bytearray(images.encoded("png", pixels=images.scene(120, 160)))
    data[data.index(b"IDAT") + 600] ^= 0x40
    return bytes(data)


def test_a_png_with_a_wrong_checksum_is_damaged():
    with pytest.raises(ImageDecodeError, match="damaged"):
        read(png_with_bad_checksum())


@pytest.mark.parametrize("form", ["png", "webp"])
def test_data_after_the_end_is_harmless(form):
    data = images.encoded(form, **({"lossless": True} if form == "webp" else {}))
    np.testing.assert_array_equal(read(data + b"more" * 99).pixels, images.scene())


def test_a_png_without_its_end_mark_is_complete():
    np.testing.assert_array_equal(read(images.encoded("png")[:-12]).pixels, images.scene())


def test_a_png_with_a_damaged_text_is_complete():
    data = images.encoded("png")
    chunk = bytearray(images.png_chunk(b"tEXt", b"Title\0words"))
    chunk[-1] ^= 1
    np.testing.assert_array_equal(read(data[:33] + bytes(chunk) + data[33:]).pixels, images.scene())


@pytest.mark.parametrize("compression", ["raw", "tiff_lzw", "tiff_adobe_deflate", "packbits"])
def test_a_tiff_whose_last_strip_is_cut_is_damaged(compression):
    data = images.encoded("tiff", pixels=images.scene(120, 160), compression=compression)
    with tifffile.TiffFile(io.BytesIO(data)) as opened:
        last = opened.pages[0].dataoffsets[-1]
    with pytest.raises(ImageDecodeError, match="truncated"):
        read(data[: last + 20])


@pytest.mark.parametrize("tile", [None, (32, 32)])
@pytest.mark.parametrize("change", ["inserted", "zeroed"])
def test_a_damaged_strip_of_jpeg_in_a_tiff_is_damaged(change, tile):
    rng = np.random.default_rng(4)
    noisy = np.clip(images.scene(96, 128) + rng.normal(0, 6, (96, 128, 3)), 0, 255)
    picture = pyvips.Image.new_from_array(noisy.astype(np.uint8)).copy(interpretation="srgb")
    options = {"tile": True, "tile_width": 32, "tile_height": 32} if tile else {}
    data = bytearray(picture.tiffsave_buffer(compression="jpeg", Q=90, **options))
    with tifffile.TiffFile(io.BytesIO(bytes(data))) as opened:
        page = opened.pages[0]
        start, size = page.dataoffsets[0], page.databytecounts[0]
    read(bytes(data))
    middle = start + size // 2
    junk = rng.bytes(size // 4) if change == "inserted" else bytes(size // 4)
    data[middle : middle + len(junk)] = junk
    with pytest.raises(ImageDecodeError, match="damaged"):
        read(bytes(data))


# What is left out


def mp_index(*kinds):
    entries = b"".join(struct.pack(">IIII", kind, 100, 0, 0) for kind in kinds)
    directory = struct.pack(">HHHII", 1, 0xB002, 7, len(entries), 26) + bytes(4)
    return b"MPF\0" + struct.pack(">2sHI", b"MM", 42, 8) + directory + entries


def with_segment(marker, body):
    data = images.encoded("jpeg")
    segment = struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body
    return data[:20] + segment + data[20:] + images.encoded("jpeg", pixels=images.scene(24, 32))


XMP = b"http://ns.adobe.com/xap/1.0/\0"


@pytest.mark.parametrize(
    ("marker", "body", "dropped"),
    [
        (0xE1, XMP + b'xmlns:hdrgm="http://ns.adobe.com/hdr-gain-map/1.0/"', ("gain map",)),
        (0xE2, b"urn:iso:std:iso:ts:21496:-1\0" + bytes(4), ("gain map",)),
        (0xE1, XMP + b'GCamera:MotionPhoto="1"', ("video",)),
        (0xE2, mp_index(0x030000, 0x020002), ("second view",)),
        (0xE2, mp_index(0x20030000, 0x010001, 0x010002), ("preview",)),
        (0xE2, mp_index(0x030000), ()),
        (0xE2, b"MPF\0MM\0*\xff\xff\xff\xff", ()),
    ],
)
def test_a_phones_other_pictures_are_left_out_and_told(marker, body, dropped):
    result = read(with_segment(marker, body))
    np.testing.assert_array_equal(result.pixels, read(images.encoded("jpeg")).pixels)
    assert result.metadata.dropped == dropped
    assert read(images.png_palette()).metadata.dropped == ()


# The shared cases


@pytest.mark.parametrize("case", ["tiff-ycbcr-lzw-{}.tif", "tiff-zstd-{}.tif"])
@pytest.mark.parametrize("exposure", ["under", "over"])
@pytest.mark.skipif(not CASES.is_dir(), reason="the folder shared/cases is not beside the checkout")
def test_shared_cases_without_a_decoder_are_named(case, exposure):
    with pytest.raises(UnsupportedImageError, match=r"YCbCr without JPEG|compression zstd"):
        read((CASES / case.format(exposure)).read_bytes())


def jpeg_with_segments(count):
    jpeg = images.encoded("jpeg")
    return jpeg[:2] + (b"\xff\xe1\xff\xff" + bytes(65_533)) * count + jpeg[2:]


def png_with_chunks(name, body, count):
    png = images.encoded("png")
    at = png.index(b"IDAT") - 4
    return png[:at] + images.png_chunk(name, body) * count + png[at:]


@pytest.mark.parametrize(
    "make",
    [
        lambda count: jpeg_with_segments(16 * count),
        lambda count: png_with_chunks(b"teXt", bytes(1 << 20), count),
    ],
)
def test_more_metadata_than_any_camera_writes_is_refused_before_it_is_read(make):
    assert sniff(make(20)).width_px == 64
    with pytest.raises(MetadataLimitError, match="save it without"):
        sniff(make(40))


@pytest.mark.parametrize("name", [b"tEXt", b"zTXt", b"iTXt"])
def test_texts_of_a_png_are_not_unpacked(name):
    """Each of them would unpack to ten megabytes, in all to a minute of a core."""
    packed = zlib.compress(bytes(10_000_000), 9)
    head = {b"tEXt": b"Key\0", b"zTXt": b"Key\0\0", b"iTXt": b"Key\0\1\0\0\0"}[name]
    data = png_with_chunks(name, head + packed, 3000)
    assert name not in bytes(drop_texts(data))
    np.testing.assert_array_equal(decode(data, limits=LIMITS).pixels, images.scene())
