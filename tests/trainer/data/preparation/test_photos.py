import os
import struct

import numpy as np
import pytest
from PIL import ExifTags, Image

from tests import images
from tests.trainer.photographs import make_exif, save
from trainer.data.preparation.photos import Photo, read_photo, read_pixels
from trainer.errors import DataError
from trainer.evaluation.pictures import read_picture


def picture(height=40, width=60, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def length_and_time(path):
    return path.stat().st_size, path.stat().st_mtime_ns


def test_what_is_no_file_has_neither_length_nor_size(tmp_path):
    (tmp_path / "dangling.jpg").symlink_to(tmp_path / "nowhere.jpg")
    os.mkfifo(tmp_path / "pipe.jpg")
    for name in ("dangling.jpg", "pipe.jpg"):
        assert read_photo(tmp_path / name) == Photo(tmp_path / name)


def test_exposure_is_log2_of_the_light_gathered(tmp_path):
    photo = read_photo(save(tmp_path / "a.jpg", picture(), make_exif(2.0)))
    # 4 / 100 s at f/8 and ISO 100
    assert photo.exposure_ev == pytest.approx(np.log2(0.04 / 64), abs=1e-3)
    assert photo.exposure_s == pytest.approx(0.04)
    twice = make_exif(2.0)
    twice.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.ISOSpeedRatings] = 200
    brighter = read_photo(save(tmp_path / "b.jpg", picture(), twice))
    assert brighter.exposure_ev - photo.exposure_ev == pytest.approx(1)


def test_time_has_the_fraction_of_its_second(tmp_path):
    first = read_photo(save(tmp_path / "a.jpg", picture(), make_exif(0.0, taken_s=59.25)))
    second = read_photo(save(tmp_path / "b.jpg", picture(), make_exif(0.0, taken_s=60.75)))
    assert second.taken_s - first.taken_s == pytest.approx(1.5)


def test_a_photograph_without_exif_has_a_size_and_nothing_else(tmp_path):
    path = save(tmp_path / "a.png", picture())
    assert read_photo(path) == Photo(path, *length_and_time(path), width=60, height=40)


@pytest.mark.parametrize("taken", ["0000:00:00 00:00:00", "    :  :     :  :  ", "yesterday"])
def test_a_clock_that_was_never_set_is_no_time(tmp_path, taken):
    exif = make_exif(0.0)
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.DateTimeOriginal] = taken
    photo = read_photo(save(tmp_path / "a.jpg", picture(), exif))
    assert photo.taken_s is None
    assert photo.exposure_ev is not None


def test_an_aperture_or_iso_that_says_nothing_counts_as_one_and_hundred(tmp_path):
    exif = make_exif(0.0)
    details = exif.get_ifd(ExifTags.IFD.Exif)
    details[ExifTags.Base.FNumber] = 0.0
    details[ExifTags.Base.ISOSpeedRatings] = 65_535
    photo = read_photo(save(tmp_path / "a.jpg", picture(), exif))
    assert photo.exposure_ev == pytest.approx(np.log2(0.01), abs=1e-6)


@pytest.mark.parametrize("content", [b"", b"no image", b"\xff\xd8\xff\xe1\x00\x10Exif\0\0broken"])
def test_a_file_that_is_no_image_has_no_size_and_no_pixels(tmp_path, content):
    path = tmp_path / "a.jpg"
    path.write_bytes(content)
    assert read_photo(path) == Photo(path, *length_and_time(path))
    with pytest.raises(DataError, match=r"'a\.jpg' cannot be read"):
        read_pixels(path, 64)


@pytest.mark.parametrize("count", [300, pytest.param(1500, marks=pytest.mark.slow)])
def test_whatever_stands_in_a_header_ends_in_no_other_error(tmp_path, count):
    exif = make_exif(1.0, taken_s=1.0, bias_ev=0.5, orientation=6, focal_length_mm=30.0)
    for suffix in (".jpg", ".webp", ".tif"):
        path = save(tmp_path / f"a{suffix}", picture(8, 8), exif)
        for data in images.mutations(path.read_bytes(), seed=3, count=count):
            path.write_bytes(data)
            assert read_photo(path).path == path


def test_a_photograph_that_is_cut_short_has_no_pixels(tmp_path):
    path = save(tmp_path / "a.jpg", picture(200, 300))
    path.write_bytes(path.read_bytes()[:-4000])
    assert read_photo(path).width == 300
    with pytest.raises(DataError, match="truncated"):
        read_pixels(path, 1024)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif"])
@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_the_orientation_is_applied_to_size_and_pixels(tmp_path, suffix, orientation):
    # Quadrants survive every compression.
    stored = np.zeros((48, 64, 3), np.uint8)
    stored[:24, :32], stored[24:, 32:] = 255, 128
    turns = {1: 0, 3: 2, 6: 3, 8: 1}[orientation]
    path = save(tmp_path / f"a{suffix}", stored, make_exif(orientation=orientation))
    upright = np.rot90(stored, turns)
    photo = read_photo(path)
    assert (photo.height, photo.width) == upright.shape[:2]
    pixels = read_pixels(path, 64)
    assert pixels.shape == upright.shape
    for row, column in ((3, 3), (3, -4), (-4, 3), (-4, -4)):
        difference = pixels[row, column].astype(int) - upright[row, column]
        assert np.abs(difference).max() < 10


def test_the_longer_side_is_reduced_by_averaging_and_never_enlarged(tmp_path):
    image = np.zeros((200, 400, 3), np.uint8)
    image[:, ::2] = 200
    path = save(tmp_path / "a.png", image)
    reduced = read_pixels(path, 100)
    assert reduced.shape == (50, 100, 3)
    assert (reduced == 100).all()
    assert (read_pixels(path, 4000) == image).all()


def test_a_large_jpeg_is_reduced_to_the_same_picture(tmp_path):
    y, x = np.mgrid[:1200, :1600]
    smooth = np.stack((x // 8, y // 8, (x + y) // 16), axis=-1).astype(np.uint8)
    pixels = read_pixels(save(tmp_path / "a.jpg", smooth), 200)
    exact = smooth.reshape(150, 8, 200, 8, 3).mean(axis=(1, 3))
    assert pixels.shape == (150, 200, 3)
    assert np.abs(pixels - exact).mean() < 1.5


def test_a_wide_profile_is_converted_to_srgb(tmp_path):
    path = tmp_path / "a.png"
    wide = np.full((4, 4, 3), (40, 180, 60), np.uint8)
    profile = images.icc_profile(images.DISPLAY_P3_PRIMARIES)
    Image.fromarray(wide).save(path, icc_profile=profile)
    pixels = read_pixels(path, 64)
    # Display P3's green is more saturated than sRGB's: the same numbers mean more green, less red.
    assert int(pixels[0, 0, 0]) < 20
    assert int(pixels[0, 0, 1]) >= 181
    Image.fromarray(wide).save(path, icc_profile=b"no profile")
    assert (read_pixels(path, 64) == wide).all()


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".webp"])
def test_colours_are_those_that_the_evaluation_sees(tmp_path, suffix):
    profile = images.icc_profile(images.ADOBE_RGB_PRIMARIES, gamma=images.ADOBE_RGB_GAMMA)
    for mode in ("RGB", "RGBA", "P"):
        if mode != "RGB" and suffix == ".jpg":
            continue
        path = tmp_path / f"{mode}{suffix}"
        Image.fromarray(images.scene()).convert(mode).save(path, icc_profile=profile)
        plain = np.asarray(Image.open(path).convert("RGB")).astype(int)
        pixels = read_pixels(path, 64)
        assert np.abs(pixels.astype(int) - read_picture(path)).max() <= 1  # of two libraries
        assert np.abs(pixels - plain).max() > 5


def test_a_profile_that_is_srgb_but_for_rounding_changes_nothing(tmp_path):
    path = tmp_path / "a.png"
    near = images.icc_profile([(x + 2e-5, y - 2e-5) for x, y in images.SRGB_PRIMARIES])
    levels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(levels).save(path, icc_profile=near)
    assert (read_pixels(path, 64) == levels).all()


def profile_with_tables(*lightness):
    """A profile of which each rendering intent maps white to another L*, of 255."""
    tags = []
    for number, white in enumerate(lightness):
        corners = [(white * sum(at) // 3, 128, 128) for at in np.ndindex(2, 2, 2)]
        curves = bytes(range(256)) * 3
        unit = struct.pack(">9i", *(65536 * np.eye(3, dtype=int)).ravel())
        shape = b"mft1\0\0\0\0\x03\x03\x02\0"
        body = shape + unit + curves + np.array(corners, np.uint8).tobytes() + curves
        tags.append((b"A2B%d" % number, body))
    start = 132 + 12 * len(tags)
    table, bodies = struct.pack(">I", len(tags)), b""
    for name, body in tags:
        table += struct.pack(">4sII", name, start + len(bodies), len(body))
        bodies += body + bytes(-len(body) % 4)
    header = bytearray(images.icc_profile(images.SRGB_PRIMARIES)[:128])
    header[:4], header[20:24] = struct.pack(">I", start + len(bodies)), b"Lab "
    return bytes(header) + table + bodies


def test_a_profile_with_tables_is_rendered_relative_colorimetric(tmp_path):
    path = tmp_path / "a.png"
    grey = np.full((8, 8, 3), 128, np.uint8)
    Image.fromarray(grey).save(path, icc_profile=profile_with_tables(50, 200))
    assert (read_pixels(path, 64) == read_picture(path)).all()
    # L* 100 / 2.55 of the second table is 93 in sRGB; by the first it would be below 30.
    assert read_pixels(path, 64).mean() == pytest.approx(93, abs=1)


def test_of_16_bit_colour_the_upper_8_bits_are_read(tmp_path):
    wide = np.random.default_rng(0).integers(0, 65536, (20, 30, 3), dtype=np.uint16)
    path = tmp_path / "a.png"
    path.write_bytes(images.png16_with_chunks(wide))
    assert (read_pixels(path, 64) == wide >> 8).all()


def test_16_bit_grey_is_refused_as_it_would_be_clipped(tmp_path):
    path = tmp_path / "a.png"
    Image.fromarray(np.full((20, 30), 40_000, np.uint16)).save(path)
    with pytest.raises(DataError, match="8 bits a channel"):
        read_pixels(path, 64)
