"""What an upload is, judged from its header."""

import struct

import pytest

from expofuse.errors import (
    FileError,
    ImageDecodeError,
    MediaTypeError,
    PixelLimitError,
    UnsupportedImageError,
)
from expofuse.files.headers import MAX_SEGMENTS, ImageHeader, PixelLimits, check_size, sniff
from tests import images

SOUND = {
    "jpeg": (lambda: images.encoded("jpeg"), ImageHeader("jpeg", 64, 48, 8)),
    "progressive": (
        lambda: images.encoded("jpeg", progressive=True),
        ImageHeader("jpeg", 64, 48, 8),
    ),
    "cmyk": (images.jpeg_cmyk, ImageHeader("jpeg", 64, 48, 8)),
    "png": (lambda: images.encoded("png"), ImageHeader("png", 64, 48, 8)),
    "png16": (images.png16, ImageHeader("png", 64, 48, 16)),
    "palette": (images.png_palette, ImageHeader("png", 64, 48, 8)),
    "bilevel": (images.png_bilevel, ImageHeader("png", 64, 48, 8)),
    "webp": (lambda: images.encoded("webp"), ImageHeader("webp", 64, 48, 8)),
    "webp lossless": (
        lambda: images.encoded("webp", lossless=True),
        ImageHeader("webp", 64, 48, 8),
    ),
    "webp extended": (
        lambda: images.with_orientation(3, form="webp"),
        ImageHeader("webp", 64, 48, 8),
    ),
    "tiff": (lambda: images.encoded("tiff"), ImageHeader("tiff", 64, 48, 8)),
    "tiff16": (images.tiff16, ImageHeader("tiff", 64, 48, 16)),
    "tiff16 big-endian": (lambda: images.tiff16(byteorder=">"), ImageHeader("tiff", 64, 48, 16)),
    "tiff end": (images.tiff_with_directory_at_end, ImageHeader("tiff", 64, 48, 8)),
    "tiff thumbnail": (images.tiff_with_thumbnail, ImageHeader("tiff", 64, 48, 8)),
    "bigtiff": (images.big_tiff, ImageHeader("tiff", 64, 48, 8)),
    "one pixel": (images.one_pixel, ImageHeader("png", 1, 1, 8)),
}


@pytest.mark.parametrize("name", SOUND)
def test_sniff_reads_format_size_and_depth(name):
    make, header = SOUND[name]
    assert sniff(make()) == header


@pytest.mark.parametrize("wrap", [bytearray, memoryview])
def test_sniff_takes_any_buffer(wrap):
    assert sniff(wrap(images.encoded("png"))).pixels == 64 * 48


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff",
        images.text_renamed(),
        b"GIF89a" + bytes(30),
        b"RIFF\0\0\0\0WAVEfmt ",
    ],
)
def test_sniff_refuses_what_is_none_of_the_formats(data):
    with pytest.raises(MediaTypeError, match="expected a file of JPEG, PNG, WebP, TIFF"):
        sniff(data)


@pytest.mark.parametrize(
    "make",
    [
        images.webp_animated,
        images.png_animated,
        images.tiff_multi_page,
        lambda: images.tiff_float(nan=True),
        lambda: images.tiff_float(nan=False),
    ],
    ids=["webp", "apng", "pages", "nan", "float"],
)
def test_sniff_refuses_animations_pages_and_floats(make):
    with pytest.raises(UnsupportedImageError):
        sniff(make())


def tiff_with(tags):
    entries = {256: (3, 16), 257: (3, 16), 262: (3, 2)} | tags
    packed = b"".join(
        struct.pack("<HHII", tag, kind, 1, value) for tag, (kind, value) in entries.items()
    )
    return struct.pack("<2sHIH", b"II", 42, 8, len(entries)) + packed + bytes(4)


@pytest.mark.parametrize(
    "tags",
    [
        {254: (4, 1)},
        {262: (3, 8)},
        {258: (3, 32)},
        {258: (3, 12)},
        {339: (3, 2)},
    ],
    ids=["only a thumbnail", "cielab", "32 bit", "12 bit", "signed"],
)
def test_sniff_refuses_tiffs_without_an_rgb_reading(tags):
    assert sniff(tiff_with({258: (3, 8)})).bits == 8
    with pytest.raises(UnsupportedImageError):
        sniff(tiff_with(tags))


def jpeg_frame(marker, precision=8, components=3):
    frame = struct.pack(">HBHHB", 17, precision, 48, 64, components) + bytes(9)
    return b"\xff\xd8\xff" + bytes([marker]) + frame


@pytest.mark.parametrize("frame", [(0xC3,), (0xC7,), (0xC0, 12), (0xC1, 8, 2)])
def test_sniff_refuses_jpegs_that_few_programs_read(frame):
    assert sniff(jpeg_frame(0xC0)) == ImageHeader("jpeg", 64, 48, 8)
    with pytest.raises(UnsupportedImageError):
        sniff(jpeg_frame(*frame))


@pytest.mark.parametrize(
    "data",
    [
        b"\xff\xd8\xff\xe0\x00\x10JFIF",
        b"\xff\xd8\xff\xda\x00\x02",
        b"\xff\xd8\xff\xe0\x00\x00",
        b"\xff\xd8\xff\xe0\x00\x02\x00\x00",
        images.encoded("png")[:20],
        images.png_with_size(images.encoded("png"), 0, 48),
        images.png_with_size(images.encoded("png"), 1 << 31, 48),
        images.encoded("png")[:33],
        b"RIFF\0\0\0\0WEBPVP8L" + bytes(20),
        b"RIFF\0\0\0\0WEBPVP8 " + bytes(20),
        b"RIFF\0\0\0\0WEBPXXXX" + bytes(20),
        b"II*\0\xff\xff\xff\xff",
        b"II+\0\x08\0\0\0" + b"\xff" * 8,
        b"II*\0\x08\0\0\0\0\0" + bytes(8),
        tiff_with({257: (7, 16)}),
    ],
)
def test_sniff_refuses_damaged_headers(data):
    with pytest.raises(ImageDecodeError):
        sniff(data)


@pytest.mark.parametrize(
    "endless",
    [
        b"\xff\xd8\xff" + b"\xff" * (MAX_SEGMENTS + 10),
        b"\xff\xd8" + b"\xff\xd0" * (MAX_SEGMENTS + 10),
        b"\xff\xd8" + b"\xff\xe0\x00\x02" * (MAX_SEGMENTS + 10),
        images.encoded("png")[:33] + images.png_chunk(b"tEXt", b"") * (MAX_SEGMENTS + 10),
    ],
)
def test_sniff_looks_at_a_bounded_number_of_segments(endless):
    with pytest.raises(ImageDecodeError, match="got none"):
        sniff(endless + images.encoded("png"))


def test_sniff_leaves_a_tiff_whose_pages_form_a_loop():
    looped = bytearray(tiff_with({258: (3, 8)}))
    looped[-4:] = struct.pack("<I", 8)
    with pytest.raises(UnsupportedImageError, match="one page"):
        sniff(looped)


@pytest.mark.parametrize("name", SOUND)
def test_sniff_answers_damage_with_a_header_or_a_typed_error(name):
    make, _ = SOUND[name]
    refused = 0
    for data in images.mutations(make(), seed=7, count=1500):
        try:
            header = sniff(data)
        except FileError:
            refused += 1
        else:
            assert header.width_px >= 1
            assert header.height_px >= 1
            assert header.bits in (8, 16)
    assert refused > 50


def test_sniff_judges_a_bomb_without_decoding():
    bomb = images.png_bomb()
    assert len(bomb) < 1.3e6
    header = sniff(bomb)
    assert header.pixels == 400_000_000
    with pytest.raises(PixelLimitError, match="100000000 pixels, got 20000x20000"):
        check_size(header, PixelLimits(max_pixels=100_000_000, max_side_px=30_000))


def test_check_size_limits_the_side_and_lets_the_limit_itself_pass():
    header = ImageHeader("png", 300, 100, 8)
    check_size(header, PixelLimits(max_pixels=30_000, max_side_px=300))
    with pytest.raises(PixelLimitError, match="at most 299"):
        check_size(header, PixelLimits(max_pixels=30_000, max_side_px=299))
    with pytest.raises(PixelLimitError, match="at most 29999"):
        check_size(header, PixelLimits(max_pixels=29_999, max_side_px=300))
