"""Decoding for the evaluation: the service's pixels, from every kind of file it evaluates."""

import struct

import numpy as np
import pytest

from expofuse.files.headers import PixelLimits
from expofuse.files.pixels import to_8_bit
from expofuse.files.reading.decode import decode
from expofuse.files.reading.vips import configure_libvips
from tests import images
from trainer.data.pixels import limit_side
from trainer.errors import DataError
from trainer.evaluation.pictures import (
    fit_to,
    read_picture,
    read_profile,
    write_png,
)
from trainer.metrics import mean_chroma

LIMITS = PixelLimits(max_pixels=10**6, max_side_px=4096)
TURNED = struct.pack(">2sHIHHHIHHI", b"MM", 42, 8, 1, 0x0112, 3, 1, 6, 0, 0)
WIDE = images.scene(dtype=np.uint16)


@pytest.fixture(autouse=True, scope="module")
def _libvips():
    configure_libvips()


def written(data, tmp_path):
    path = tmp_path / "picture"
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    "make",
    [
        *(lambda form=form: images.encoded(form) for form in ("jpeg", "png", "tiff", "webp")),
        *(lambda turn=turn: images.with_orientation(turn) for turn in range(2, 9)),
        lambda: images.with_orientation(6, form="png"),
        lambda: images.encoded("jpeg", progressive=True, subsampling=2),
        images.jpeg_grey,
        images.png_grey,
        images.png_grey_alpha,
        images.png_rgba,
        images.png_palette,
        images.png_bilevel,
        images.png16,
        images.tiff16,
        lambda: images.png16_with_chunks(WIDE, exif=TURNED),
        lambda: images.with_icc(images.icc_profile(images.SRGB_PRIMARIES)),
        lambda: images.png16_with_chunks(WIDE, icc=images.icc_profile(images.SRGB_PRIMARIES)),
        lambda: images.with_icc(images.icc_profile(images.DISPLAY_P3_PRIMARIES)),
        lambda: images.with_icc(b"no profile at all"),
        images.jpeg_cmyk,
    ],
)
def test_pixels_are_those_that_the_service_decodes(make, tmp_path):
    data = make()
    ours, services = read_picture(written(data, tmp_path)), decode(data, limits=LIMITS).pixels
    assert ours.dtype == services.dtype
    np.testing.assert_array_equal(ours, services)


@pytest.mark.parametrize(
    ("primaries", "gamma"),
    [(images.DISPLAY_P3_PRIMARIES, None), (images.ADOBE_RGB_PRIMARIES, images.ADOBE_RGB_GAMMA)],
)
def test_an_untagged_picture_is_converted_from_the_profile_that_it_is_said_to_have(
    primaries, gamma, tmp_path
):
    plain, profile = images.scene(), images.icc_profile(primaries, gamma=gamma)
    tagged = written(images.with_icc(profile, pixels=plain), tmp_path)
    assert read_profile(tagged) == profile
    expected = read_picture(tagged)
    assert np.abs(expected.astype(int) - plain).max() > 5
    srgb = images.icc_profile(images.SRGB_PRIMARIES)
    np.testing.assert_array_equal(read_picture(tagged, untagged=srgb), expected)
    untagged = written(images.encoded("png", pixels=plain), tmp_path)
    assert read_profile(untagged) is None
    np.testing.assert_array_equal(read_picture(untagged, untagged=profile), expected)
    np.testing.assert_array_equal(read_picture(untagged, untagged=b"no profile at all"), plain)


def test_a_file_that_is_no_picture_has_no_profile(tmp_path):
    with pytest.raises(DataError, match="could not decode picture"):
        read_profile(written(images.text_renamed(), tmp_path))


@pytest.mark.parametrize(
    "make",
    [
        images.tiff_float,
        images.text_renamed,
        lambda: images.truncated(images.encoded("jpeg")),
        lambda: images.truncated(images.encoded("png")),
        lambda: images.truncated(images.encoded("webp")),
        lambda: b"",
    ],
)
def test_what_is_no_whole_picture_is_refused_by_name(make, tmp_path):
    with pytest.raises(DataError, match="picture"):
        read_picture(written(make(), tmp_path))


def test_damage_gives_pixels_or_a_typed_error(tmp_path):
    refused = 0
    for make in (images.encoded, images.png16, images.tiff16):
        for data in images.mutations(make(), seed=5, count=40):
            try:
                read_picture(written(data, tmp_path))
            except DataError:
                refused += 1
    assert refused > 20


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_written_picture_is_read_back_as_it_was(dtype, tmp_path):
    pixels = images.scene(dtype=dtype)
    write_png(tmp_path / "new" / "picture.png", pixels)
    np.testing.assert_array_equal(read_picture(tmp_path / "new" / "picture.png"), pixels)
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["picture.png"]


def test_16_bits_become_8_by_rounding_to_the_nearest():
    levels = np.array([0, 128, 129, 257, 65535 - 129, 65535 - 128, 65535], np.uint16)
    assert to_8_bit(levels).tolist() == [0, 0, 1, 1, 254, 255, 255]


def test_reduction_averages_areas_and_leaves_small_pictures_alone():
    checks = np.indices((64, 96)).sum(axis=0) % 2 * np.uint16(60_000)
    pixels = np.repeat(checks[..., None], 3, axis=2).astype(np.uint16)
    reduced = limit_side(pixels, 48)
    assert (reduced.shape, reduced.dtype) == ((32, 48, 3), np.uint16)
    assert (reduced == 30_000).all()
    assert limit_side(pixels, 96) is pixels
    assert limit_side(pixels, None) is pixels
    assert fit_to(pixels, 64, 96) is pixels


def test_chroma_of_known_colours():
    # Blue of sRGB, CIE 1976 with D65: C* 133.8 (Lindbloom's calculator).
    blue = np.zeros((3, 300, 3), np.uint8) + np.array([0, 0, 255], np.uint8)
    assert mean_chroma(blue) == pytest.approx(133.8, abs=0.1)
    half = np.concatenate([blue, np.full_like(blue, 255)])
    assert mean_chroma(half) == pytest.approx(133.8 / 2, abs=0.1)
