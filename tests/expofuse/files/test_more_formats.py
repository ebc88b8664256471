"""AVIF, HEIC, JPEG XL and BMP files, made by libraries that do not read them here."""

import io

import cv2
import numpy as np
import pillow_heif
import pyjpegxl
import pytest
import pyvips
from PIL import Image

from expofuse.errors import FileError, ImageDecodeError, UnsupportedImageError
from expofuse.files.headers import ImageHeader, PixelLimits, sniff
from expofuse.files.reading.decode import decode
from expofuse.files.reading.vips import configure_libvips
from tests import images

LIMITS = PixelLimits(max_pixels=1_000_000, max_side_px=20_000)
P3 = images.icc_profile(images.DISPLAY_P3_PRIMARIES)
REC2020 = ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046))
pillow_heif.register_heif_opener()


def srgb(x):
    return images.srgb_to_linear(x)


def bt709(x):
    return np.where(x < 0.081, x / 4.5, ((x + 0.099) / 1.099) ** (1 / 0.45))


def shown(samples, primaries, to_light):
    """The sRGB that a picture of these colours should become, 0..1: colorimetric, clipped."""
    light = to_light(samples / np.iinfo(samples.dtype).max)
    to_srgb = np.linalg.inv(images.rgb_to_xyz_matrix(images.SRGB_PRIMARIES))
    return images.linear_to_srgb(light @ (to_srgb @ images.rgb_to_xyz_matrix(primaries)).T)


@pytest.fixture(autouse=True, scope="module")
def _libvips():
    configure_libvips()


def item_file(pixels, compression="HEIF", **options):
    """A HEIC or AVIF file without loss of chroma."""
    mode = {np.uint8: "RGB", np.uint16: "RGB;16"}[pixels.dtype.type]
    picture = pillow_heif.from_bytes(mode, pixels.shape[1::-1], pixels.tobytes())
    file = io.BytesIO()
    picture.save(file, quality=-1, chroma=444, format=compression, **options)
    return file.getvalue()


def avif(pixels=None, **options):
    pixels = images.scene() if pixels is None else pixels
    return images.save(pixels, "AVIF", quality=100, subsampling="4:4:4", speed=8, **options)


def heic(pixels=None, **options):
    return item_file(images.scene() if pixels is None else pixels, **options)


def bmp(pixels=None):
    return images.save(images.scene() if pixels is None else pixels, "BMP")


def jxl(pixels=None):
    return pyjpegxl.encode_from_numpy(images.scene() if pixels is None else pixels, quality=0.3)


MAKERS = {"avif": avif, "heic": heic, "jxl": jxl, "bmp": bmp}


@pytest.mark.parametrize("form", MAKERS)
def test_a_file_is_read_as_it_was_written(form):
    data = MAKERS[form]()
    assert sniff(data) == ImageHeader(form, 64, 48, 8)
    off = np.abs(decode(data, limits=LIMITS).pixels.astype(int) - images.scene())
    assert off.max() <= (0 if form == "bmp" else 6)
    assert off.mean() < 1


@pytest.mark.parametrize("size", [(17, 33), (16, 16), (240, 320)])
@pytest.mark.parametrize("form", MAKERS)
def test_sizes_of_every_kind(form, size):
    pixels = images.scene(*size)
    data = MAKERS[form](pixels)
    assert (sniff(data).height_px, sniff(data).width_px) == size
    assert decode(data, limits=LIMITS).pixels.shape == pixels.shape


@pytest.mark.parametrize("form", ["avif", "heic"])
def test_a_profile_is_honoured(form):
    pixels = images.scene(gain=0.9)
    data = MAKERS[form](pixels, icc_profile=P3) if form == "avif" else with_profile(pixels)
    expected = shown(pixels, images.DISPLAY_P3_PRIMARIES, srgb)
    off = np.abs(decode(data, limits=LIMITS).pixels / 255 - expected) * 255
    assert off.mean() < 1.2
    assert decode(data, limits=LIMITS).metadata.profile == P3


def with_profile(pixels):
    image = Image.fromarray(pixels)
    image.info["icc_profile"] = P3
    picture = pillow_heif.from_pillow(image)
    file = io.BytesIO()
    picture.save(file, quality=-1, chroma=444)
    return file.getvalue()


def test_code_points_are_honoured():
    pixels = images.scene(gain=0.9)
    data = item_file(pixels, color_primaries=9, transfer_characteristics=14, matrix_coefficients=9)
    expected = shown(pixels, REC2020, bt709)
    off = np.abs(decode(data, limits=LIMITS).pixels / 255 - expected) * 255
    assert off.mean() < 1.2


def test_high_dynamic_range_is_refused_by_name():
    data = item_file(images.scene(), color_primaries=9, transfer_characteristics=16)
    with pytest.raises(UnsupportedImageError, match="PQ"):
        decode(data, limits=LIMITS)


@pytest.mark.parametrize("orientation", [3, 6, 8])
@pytest.mark.parametrize("form", ["avif", "heic"])
def test_a_turned_picture_is_upright_once(form, orientation):
    """Writers of both put the turn into the file's own properties, not into EXIF alone."""
    exif = Image.Exif()
    exif[274] = orientation
    image = Image.fromarray(images.scene())
    file = io.BytesIO()
    if form == "avif":
        image.save(file, "AVIF", quality=100, subsampling="4:4:4", exif=exif)
    else:
        image.save(file, "HEIF", quality=-1, chroma=444, exif=exif.tobytes())
    found = decode(file.getvalue(), limits=LIMITS).pixels
    expected = np.rot90(images.scene(), {3: 2, 6: -1, 8: 1}[orientation])
    assert found.shape == expected.shape
    assert np.abs(found.astype(int) - expected).mean() < 1


@pytest.mark.parametrize("bits", [10, 12])
def test_deep_pictures_are_read_at_16_bits(bits):
    pixels = images.scene(dtype=np.uint16)
    pillow_heif.options.SAVE_HDR_TO_12_BIT = bits == 12
    data = heic(pixels)
    assert sniff(data) == ImageHeader("heic", 64, 48, 16)
    found = decode(data, limits=LIMITS).pixels
    assert found.dtype == np.uint16
    assert np.abs(found / 257 - pixels / 257).mean() < 1
    white = decode(heic(np.full((48, 64, 3), 65535, np.uint16)), limits=LIMITS).pixels
    assert white.min() == 65_535


@pytest.mark.parametrize("bits", [10, 12])
def test_the_depth_of_an_avif_is_known_without_the_box_that_repeats_it(bits):
    pixels = images.scene(dtype=np.uint16)
    image = pyvips.Image.new_from_memory(pixels, 64, 48, 3, "ushort").copy(interpretation="rgb16")
    data = image.heifsave_buffer(compression="av1", bitdepth=bits, Q=90, effort=0)
    plain = bytes(data).replace(b"pixi", b"free", 1)
    assert sniff(plain) == ImageHeader("avif", 64, 48, 16)
    found = decode(plain, limits=LIMITS).pixels
    assert np.abs(found / 257 - pixels / 257).mean() < 3


@pytest.mark.parametrize("form", ["heic", "avif"])
def test_more_bits_than_any_picture_has_are_a_damaged_header(form):
    data = bytearray(MAKERS[form]())
    at = data.index(b"pixi") + 9  # Behind the name, the version and flags, and the number.
    data[at] = 200
    with pytest.raises(ImageDecodeError, match="at most 16 bits"):
        decode(bytes(data), limits=LIMITS)


@pytest.mark.parametrize("brand", [b"avis", b"hevc", b"hevx", b"msf1"])
def test_a_sequence_is_refused_as_one(brand):
    with pytest.raises(UnsupportedImageError, match="got a sequence"):
        sniff(b"\0\0\0\x18ftyp" + brand + bytes(20))


@pytest.mark.parametrize("depth", [1, 8, 24, 32])
def test_bitmaps_of_every_depth(depth):
    rgb = images.scene()
    if depth == 32:
        data = cv2.imencode(".bmp", np.dstack([rgb[..., ::-1], np.full((48, 64), 255, np.uint8)]))
        np.testing.assert_array_equal(decode(data[1].tobytes(), limits=LIMITS).pixels, rgb)
        return
    image = Image.fromarray(rgb).convert({1: "1", 8: "L", 24: "RGB"}[depth])
    file = io.BytesIO()
    image.save(file, "BMP")
    found = decode(file.getvalue(), limits=LIMITS).pixels
    np.testing.assert_array_equal(found, np.asarray(image.convert("RGB")))


@pytest.mark.parametrize("share", [0.3, 0.7, 0.95])
@pytest.mark.parametrize("form", MAKERS)
def test_a_truncated_file_is_damaged(form, share):
    data = MAKERS[form](images.scene(240, 320))
    with pytest.raises(ImageDecodeError):
        decode(images.truncated(data, share=share), limits=LIMITS)


@pytest.mark.parametrize("form", MAKERS)
def test_mutated_files_are_answered(form):
    refused = 0
    for data in images.mutations(MAKERS[form](), seed=11, count=200):
        try:
            decode(data, limits=LIMITS)
        except FileError:
            refused += 1
    assert refused > 5


def test_a_file_whose_decoder_is_not_installed_says_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pi_heif", None)
    with pytest.raises(UnsupportedImageError, match=r"install expofuse\[heic\]"):
        decode(heic(), limits=LIMITS)
