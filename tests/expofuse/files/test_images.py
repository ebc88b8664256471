"""Decoding and encoding, against Pillow, tifffile and formulas."""

import io
import struct

import numpy as np
import pytest
import pyvips
import tifffile
from PIL import Image, ImageOps

from expofuse.errors import (
    FileError,
    ImageDecodeError,
    MediaTypeError,
    OptionError,
    PixelLimitError,
    UnsupportedImageError,
)
from expofuse.files.formats import EncodeOptions, ImageMetadata
from expofuse.files.headers import PixelLimits
from expofuse.files.reading.decode import decode
from expofuse.files.reading.vips import configure_libvips
from expofuse.files.writing.encode import encode
from tests import images

LIMITS = PixelLimits(max_pixels=1_000_000, max_side_px=20_000)
FORMATS = ("jpeg", "png", "webp", "tiff")
LOSSLESS = {"jpeg": {"quality": 98}, "png": {}, "webp": {"lossless": True}, "tiff": {}}


@pytest.fixture(autouse=True, scope="module")
def _libvips():
    configure_libvips()


def decoded(data, **options):
    return decode(data, limits=LIMITS, **options).pixels


def written(pixels, form, *, exif=None, **options):
    options = EncodeOptions(form, **options)
    return encode(pixels, options=options, metadata=ImageMetadata(exif))


def pillow(data):
    return Image.open(io.BytesIO(data))


# Decoding


@pytest.mark.parametrize("form", ["png", "webp", "tiff"])
def test_decode_keeps_lossless_pixels(form):
    pixels = decoded(images.encoded(form, **LOSSLESS[form]))
    np.testing.assert_array_equal(pixels, images.scene())
    assert pixels.dtype == np.uint8
    assert pixels.flags.c_contiguous


@pytest.mark.parametrize("make", [images.png16, images.tiff16])
def test_decode_keeps_16_bits(make):
    np.testing.assert_array_equal(decoded(make()), images.scene(dtype=np.uint16))


@pytest.mark.parametrize(
    "make", [images.tiff_with_directory_at_end, images.big_tiff, images.tiff_with_thumbnail]
)
def test_decode_reads_tiffs_of_every_layout(make):
    np.testing.assert_array_equal(decoded(make()), images.scene())


def test_decode_reads_pictures_higher_than_a_strip():
    tall = images.scene(700, 16)
    np.testing.assert_array_equal(decoded(images.encoded("png", pixels=tall)), tall)


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("orientation", range(1, 9))
def test_decode_applies_the_orientation(form, orientation):
    data = images.with_orientation(orientation, form=form, **LOSSLESS[form])
    expected = np.asarray(ImageOps.exif_transpose(pillow(data)).convert("RGB")).astype(int)
    pixels = decoded(data)
    assert pixels.shape == ((64, 48, 3) if orientation >= 5 else (48, 64, 3))
    assert pixels.flags.c_contiguous
    assert np.abs(pixels - expected).max() <= (3 if form == "jpeg" else 0)


@pytest.mark.parametrize(
    "profile",
    [
        (images.DISPLAY_P3_PRIMARIES, None),
        (images.ADOBE_RGB_PRIMARIES, images.ADOBE_RGB_GAMMA),
    ],
    ids=["display-p3", "adobe-rgb"],
)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_decode_converts_profiles_to_srgb(profile, dtype):
    primaries, gamma = profile
    pixels = images.scene(dtype=dtype)
    icc = images.icc_profile(primaries, gamma=gamma)
    make = images.png16_with_chunks if dtype == np.uint16 else images.with_icc
    data = make(pixels, icc=icc) if dtype == np.uint16 else make(icc, pixels=pixels)
    full = np.iinfo(dtype).max
    linear = (pixels / full) ** gamma if gamma else images.srgb_to_linear(pixels / full)
    to_srgb = np.linalg.inv(images.rgb_to_xyz_matrix(images.SRGB_PRIMARIES))
    expected = linear @ (to_srgb @ images.rgb_to_xyz_matrix(primaries)).T
    in_gamut = ((expected > 0.002) & (expected < 0.998)).all(axis=-1)
    difference = np.abs(decoded(data) / full - images.linear_to_srgb(expected))[in_gamut]
    assert in_gamut.mean() > 0.5
    # Two steps of 8 bits: the profile's own numbers are rounded to 16 bits, and dark sRGB is steep.
    assert difference.max() < 2.2 / 255
    assert difference.mean() < (0.4 if dtype == np.uint8 else 0.1) / 255
    assert np.abs(pixels / full - images.linear_to_srgb(expected)).max() > 10 / 255


def test_decode_keeps_16_bits_through_profile_and_orientation_together():
    icc = images.icc_profile(images.DISPLAY_P3_PRIMARIES)
    exif = struct.pack(">2sHIHHHIHHI", b"MM", 42, 8, 1, 0x0112, 3, 1, 6, 0, 0)
    wide = images.scene(dtype=np.uint16)
    upright = decoded(images.png16_with_chunks(wide, icc=icc))
    turned = decoded(images.png16_with_chunks(wide, icc=icc, exif=exif))
    assert turned.shape == (64, 48, 3)
    np.testing.assert_array_equal(turned, np.rot90(upright, -1))
    assert len(np.unique(turned)) > 1000


@pytest.mark.parametrize("make", [images.with_icc, images.png16_with_chunks])
def test_decode_leaves_pixels_alone_whose_profile_is_srgb(make):
    icc = images.icc_profile(images.SRGB_PRIMARIES)
    if make is images.with_icc:
        np.testing.assert_array_equal(decoded(make(icc)), images.scene())
    else:
        wide = images.scene(dtype=np.uint16)
        np.testing.assert_array_equal(decoded(make(wide, icc=icc)), wide)


@pytest.mark.parametrize(
    "profile", [b"no profile" * 30, images.icc_profile(images.SRGB_PRIMARIES)[:300]]
)
def test_decode_ignores_a_damaged_profile(profile):
    data = images.with_icc(profile, form="tiff")
    np.testing.assert_array_equal(decoded(data), images.scene())


def test_decode_ignores_a_profile_for_another_kind_of_image():
    icc = images.icc_profile(images.ADOBE_RGB_PRIMARIES, gamma=images.ADOBE_RGB_GAMMA)
    grey = images.scene()[..., 0].copy()
    pixels = decoded(images.save(grey, "PNG", icc_profile=icc))
    np.testing.assert_array_equal(pixels, np.dstack([grey] * 3))


@pytest.mark.parametrize(
    "make",
    [
        images.png_grey,
        images.png_grey_alpha,
        lambda: images.png16(images.scene(dtype=np.uint16)[..., 0]),
    ],
)
def test_decode_makes_grey_rgb_and_drops_its_alpha(make):
    pixels = decoded(make())
    np.testing.assert_array_equal(pixels, np.dstack([images.scene(dtype=pixels.dtype)[..., 0]] * 3))


def test_decode_makes_a_grey_jpeg_rgb():
    pixels = decoded(images.jpeg_grey())
    assert np.abs(pixels.astype(int) - images.scene()[..., :1]).max() < 12
    assert (pixels == pixels[..., :1]).all()


@pytest.mark.parametrize("alpha", [0, 128, 255])
def test_decode_drops_alpha_without_compositing(alpha):
    np.testing.assert_array_equal(decoded(images.png_rgba(alpha=alpha)), images.scene())


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("orientation", [1, 6])
def test_decode_says_where_an_image_is_transparent_and_how_it_was_turned(bits, orientation):
    dtype = np.uint8 if bits == 8 else np.uint16
    rgba = np.full((20, 30, 4), np.iinfo(dtype).max, dtype)
    rgba[:, :7] = 0
    file = io.BytesIO()
    extra = (274, "H", 1, orientation, True)
    tifffile.imwrite(file, rgba, photometric="rgb", extrasamples=["unassalpha"], extratags=[extra])
    found = decode(file.getvalue(), limits=LIMITS)
    assert found.orientation == orientation
    stored = np.zeros((20, 30), bool)
    stored[:, :7] = True
    expected = np.rot90(stored, -1) if orientation == 6 else stored
    np.testing.assert_array_equal(found.transparent, expected)
    assert found.pixels.shape[:2] == expected.shape
    assert (found.pixels[~expected] == np.iinfo(dtype).max).all()


def test_an_opaque_image_is_transparent_nowhere():
    assert decode(images.png_rgba(alpha=255), limits=LIMITS).transparent is None
    assert decode(images.encoded("jpeg"), limits=LIMITS).transparent is None


def test_decode_drops_alpha_of_16_bits():
    wide = images.scene(dtype=np.uint16)
    with_alpha = np.dstack([wide, wide[..., 0]])
    np.testing.assert_array_equal(decoded(images.png16(with_alpha)), wide)


@pytest.mark.parametrize("make", [images.png_palette, images.png_bilevel])
def test_decode_expands_palettes_and_bits(make):
    data = make()
    np.testing.assert_array_equal(decoded(data), np.asarray(pillow(data).convert("RGB")))


def test_decode_converts_cmyk():
    patches = np.zeros((32, 128, 3), np.uint8)
    for index, colour in enumerate([(255, 255, 255), (255, 0, 0), (0, 255, 255), (0, 0, 0)]):
        patches[:, index * 32 : (index + 1) * 32] = colour
    white, red, cyan, black = decoded(images.jpeg_cmyk(patches))[16, 16::32].astype(int)
    assert white.min() > 250
    assert black.max() < 60
    assert red[0] > red[1:].max() + 100
    assert cyan[1:].min() > cyan[0] + 100


@pytest.mark.parametrize("share", [0.2, 0.5, 0.9])
@pytest.mark.parametrize(
    ("form", "options"),
    [
        ("jpeg", {}),
        ("jpeg", {"progressive": True}),
        ("png", {}),
        ("webp", {}),
        ("webp", {"lossless": True}),
        ("tiff", {}),
        ("tiff", {"compression": "tiff_lzw"}),
    ],
)
def test_decode_refuses_truncated_files(form, options, share):
    data = images.encoded(form, pixels=images.scene(120, 160), **options)
    with pytest.raises(ImageDecodeError):
        decoded(images.truncated(data, share=share))


@pytest.mark.parametrize("progressive", [False, True])
def test_decode_refuses_a_cut_jpeg_whose_end_was_mended(progressive):
    data = images.encoded("jpeg", pixels=images.scene(240, 320), progressive=progressive)
    with pytest.raises(ImageDecodeError):
        decoded(images.truncated(data) + b"\xff\xd9")


def test_decode_takes_a_jpeg_with_bytes_after_its_end():
    data = images.encoded("jpeg")
    np.testing.assert_array_equal(decoded(data + bytes(100)), decoded(data))


@pytest.mark.parametrize("size", [(64, 96), (32, 48), (65, 48)])
def test_decode_refuses_a_png_whose_header_lies(size):
    with pytest.raises(ImageDecodeError):
        decoded(images.png_with_size(images.encoded("png"), *size))


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (images.text_renamed(), MediaTypeError),
        (images.tiff_float(), UnsupportedImageError),
        (images.webp_animated(), UnsupportedImageError),
        (images.png_animated(), UnsupportedImageError),
        (images.tiff_multi_page(), UnsupportedImageError),
        (images.png_bomb(), PixelLimitError),
    ],
    ids=["text", "float", "animated", "apng", "pages", "bomb"],
)
def test_decode_refuses_what_sniff_refuses(data, error):
    with pytest.raises(error):
        decoded(data)


def test_decode_says_nothing_of_the_file_in_its_message():
    with pytest.raises(ImageDecodeError) as caught:
        decoded(images.truncated(images.encoded("tiff")))
    assert caught.value.message == (
        "expected a complete tiff file, got a truncated or damaged one: copy or export it again"
    )


@pytest.mark.parametrize("orientation", [1, 6])
def test_decode_promotes_8_bits_into_a_16_bit_block(orientation):
    data = images.with_orientation(orientation, form="png")
    block = np.zeros((48, 64, 3), np.uint16)
    pixels = decoded(data, out=block)
    np.testing.assert_array_equal(pixels, decoded(data).astype(np.uint16) * 257)
    assert np.shares_memory(pixels, block)


@pytest.mark.parametrize(
    "block", [np.zeros((48, 64, 3), np.uint8), np.zeros((48, 63, 3), np.uint16)]
)
def test_decode_refuses_a_block_that_does_not_fit(block):
    with pytest.raises(ValueError, match="expected room"):
        decoded(images.png16(), out=block)


def test_only_the_four_loaders_may_run():
    gif = images.save(images.scene(), "GIF")
    with pytest.raises(pyvips.Error, match=r"blocked|unable to call"):
        pyvips.Image.gifload_buffer(gif)


@pytest.mark.parametrize(
    "make",
    [
        lambda: images.with_orientation(6),
        lambda: images.encoded("jpeg", progressive=True),
        images.jpeg_cmyk,
        lambda: images.with_icc(images.icc_profile(images.DISPLAY_P3_PRIMARIES)),
        images.png16,
        images.png_palette,
        lambda: images.with_orientation(3, form="webp"),
        images.tiff16,
        lambda: images.encoded("tiff", compression="tiff_lzw"),
        lambda: images.encoded("tiff", compression="jpeg"),
    ],
)
def test_decode_answers_damage_with_pixels_or_a_typed_error(make):
    refused = 0
    for data in images.mutations(make(), seed=11, count=100):
        try:
            assert decoded(data).shape[2] == 3
        except FileError:
            refused += 1
    assert refused > 10


# Encoding


@pytest.mark.parametrize("form", ["png", "tiff"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_encode_and_decode_return_the_same_pixels(form, dtype):
    pixels = images.scene(37, 53, dtype=dtype)
    np.testing.assert_array_equal(decoded(written(pixels, form)), pixels)


@pytest.mark.parametrize("form", FORMATS)
def test_encode_writes_what_others_read(form):
    pixels = images.scene()
    read = np.asarray(pillow(written(pixels, form, quality=98)).convert("RGB")).astype(int)
    assert np.abs(read - pixels).max() <= {"jpeg": 8, "webp": 24}.get(form, 0)


def test_encode_writes_16_bit_tiffs_that_others_read():
    wide = images.scene(dtype=np.uint16)
    np.testing.assert_array_equal(tifffile.imread(io.BytesIO(written(wide, "tiff"))), wide)


def test_encode_rounds_every_16_bit_value_to_the_nearest():
    values = np.arange(65536, dtype=np.uint16)
    pixels = np.repeat(values, 3).reshape(256 + 256, 128, 3)
    expected = np.round(pixels / 257).astype(np.uint8)
    np.testing.assert_array_equal(decoded(written(pixels, "png", bits=8)), expected)


def test_encode_rounds_16_bits_the_same_way_for_jpeg():
    wide = images.scene(dtype=np.uint16)
    narrow = np.round(wide / 257).astype(np.uint8)
    assert written(wide, "jpeg") == written(narrow, "jpeg")
    assert written(wide, "webp") == written(narrow, "webp")


def test_encode_widens_8_bits_when_asked():
    pixels = images.scene()
    wide = decoded(written(pixels, "png", bits=16))
    np.testing.assert_array_equal(wide, pixels.astype(np.uint16) * 257)


@pytest.mark.parametrize("form", ["jpeg", "webp"])
def test_encode_quality_changes_the_size(form):
    pixels = images.scene(200, 200)
    assert len(written(pixels, form, quality=30)) < len(written(pixels, form, quality=95))


@pytest.mark.parametrize("form", FORMATS)
def test_encode_tags_the_picture_as_srgb(form):
    profile = pillow(written(images.scene(), form)).info["icc_profile"]
    icc = images.icc_profile(images.SRGB_PRIMARIES)
    assert profile[36:40] == icc[36:40] == b"acsp"
    np.testing.assert_array_equal(
        decoded(images.with_icc(profile)), images.scene(), err_msg="the profile is not sRGB"
    )


@pytest.mark.parametrize("form", FORMATS)
def test_encode_is_deterministic(form):
    assert written(images.scene(), form) == written(images.scene(), form)


@pytest.mark.parametrize("form", ["jpeg", "png", "webp"])
def test_exif_travels_without_orientation_and_thumbnail(form):
    exif, thumbnail = images.exif_with_thumbnail(orientation=6)
    source = images.with_orientation(6).replace(b"Maker", b"Other")
    for block, maker in ((exif, "Maker"), (decode(source, limits=LIMITS).metadata.exif, "Other")):
        file = written(images.scene(), form, exif=block)
        read = pillow(file).getexif()
        assert read[0x010F] == maker
        assert read.get(0x0112, 1) == 1
        assert thumbnail[100:200] not in file
        assert decoded(file).shape == (48, 64, 3)
    assert read.get_ifd(0x8769)[0x829A] == pytest.approx(0.01)


def test_a_tiff_is_written_without_exif():
    exif, _ = images.exif_with_thumbnail()
    assert written(images.scene(), "tiff", exif=exif) == written(images.scene(), "tiff")


@pytest.mark.parametrize("form", ["jpeg", "png", "webp"])
def test_damaged_exif_never_costs_the_picture(form):
    exif, _ = images.exif_with_thumbnail()
    kept = 0
    for block in images.mutations(exif, seed=3, count=60):
        file = written(images.scene(), form, exif=block)
        kept += b"expofuse" in file
        assert decoded(file).shape == (48, 64, 3)
    assert kept > 5


@pytest.mark.parametrize(
    ("form", "options", "width"),
    [
        ("jpeg", {"quality": 0}, 64),
        ("webp", {"quality": 101}, 64),
        ("jpeg", {"bits": 16}, 64),
        ("webp", {"bits": 16}, 64),
        ("webp", {}, 16_384),
    ],
)
def test_encode_refuses_what_the_format_cannot_hold(form, options, width):
    with pytest.raises(OptionError):
        written(np.zeros((16, width, 3), np.uint8), form, **options)
