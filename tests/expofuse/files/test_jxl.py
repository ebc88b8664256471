"""JPEG XL files: there and back, and by cjxl and djxl of libjxl where they are installed."""

import io
import shutil
import subprocess

import cv2
import numpy as np
import pytest
from PIL import Image

from expofuse.errors import ImageDecodeError, OptionError, UnsupportedImageError
from expofuse.files import formats
from expofuse.files.formats import EncodeOptions, ImageMetadata, check_encodable
from expofuse.files.headers import ImageHeader, PixelLimits, sniff
from expofuse.files.headers.boxes import list_boxes
from expofuse.files.reading.decode import decode
from expofuse.files.reading.vips import configure_libvips
from expofuse.files.writing.encode import encode
from expofuse.files.writing.jxl import quality_to_distance
from tests import images

LIMITS = PixelLimits(max_pixels=4_000_000, max_side_px=20_000)
ADOBE_RGB = images.icc_profile(images.ADOBE_RGB_PRIMARIES, gamma=2.2)
REC2020 = ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046))
needs_libjxl = pytest.mark.skipif(
    shutil.which("cjxl") is None, reason="cjxl is not installed (Debian: libjxl-tools)"
)


@pytest.fixture(autouse=True, scope="module")
def _libvips():
    configure_libvips()


def write(pixels, **options):
    exif = options.pop("exif", None)
    options = EncodeOptions("jxl", **{"quality": 100} | options)
    return encode(pixels, options=options, metadata=ImageMetadata(exif=exif))


def camera_exif():
    exif = Image.Exif()
    exif[0x010F] = "Maker"
    return exif.tobytes()


def by_cjxl(file, suffix, folder, *options):
    source, target = folder / f"in.{suffix}", folder / "out.jxl"
    source.write_bytes(file)
    command = ["cjxl", str(source), str(target), "--quiet", *options]
    subprocess.run(command, check=True, capture_output=True)
    return target.read_bytes()


def by_djxl(file, folder):
    source, target = folder / "in.jxl", folder / "out.png"
    source.write_bytes(file)
    subprocess.run(["djxl", str(source), str(target), "--quiet"], check=True, capture_output=True)
    return target


def truth(samples, primaries, to_light):
    """The sRGB that samples of a space should become, 0..255."""
    light = to_light(samples / np.iinfo(samples.dtype).max)
    to_srgb = np.linalg.inv(images.rgb_to_xyz_matrix(images.SRGB_PRIMARIES))
    return images.linear_to_srgb(light @ (to_srgb @ images.rgb_to_xyz_matrix(primaries)).T) * 255


@pytest.mark.parametrize(
    "size", [(8, 8), (40, 256), (41, 67), (64, 64), (480, 640), (90, 160), (1, 9), (300, 513)]
)
def test_sizes_of_every_kind(size):
    """Small ones in eights, ones by their ratio, and any other."""
    pixels = np.random.default_rng(5).integers(0, 256, (*size, 3), np.uint8)
    file = write(pixels)
    assert sniff(file) == ImageHeader("jxl", size[1], size[0], 8)
    np.testing.assert_array_equal(decode(file, limits=LIMITS).pixels, pixels)


def test_16_bits_come_back_exactly():
    pixels = np.random.default_rng(5).integers(0, 65536, (40, 50, 3), np.uint16)
    file = write(pixels)
    assert sniff(file) == ImageHeader("jxl", 50, 40, 16)
    np.testing.assert_array_equal(decode(file, limits=LIMITS).pixels, pixels)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_quality_decides_size_and_loss(dtype):
    pixels = images.scene(480, 640, dtype=dtype)
    files = [write(pixels, quality=quality) for quality in (30, 90, 100)]
    off = [np.abs(decode(file, limits=LIMITS).pixels.astype(int) - pixels).mean() for file in files]
    assert len(files[0]) < len(files[1]) < len(files[2])
    assert off[0] > off[1] > off[2] == 0


def test_the_distance_falls_with_the_quality():
    distances = [quality_to_distance(quality) for quality in range(1, 101)]
    assert distances == sorted(distances, reverse=True)
    assert 0 <= distances[-1] < distances[0] < 25  # The encoder's range.


def test_an_exif_block_lies_beside_the_picture_uncompressed():
    file = write(images.scene(), exif=camera_exif())
    boxes = {one.name: file[one.content : one.end] for one in list_boxes(memoryview(file))}
    block = Image.Exif()
    block.load(b"Exif\0\0" + boxes[b"Exif"][4:])
    assert block[0x010F] == "Maker"
    assert sniff(file) == ImageHeader("jxl", 64, 48, 8)
    found = decode(file, limits=LIMITS)
    np.testing.assert_array_equal(found.pixels, images.scene())
    assert b"Maker" in found.metadata.exif


def test_a_box_that_claims_more_than_the_file_is_damaged():
    """The library would make room for four gigabytes."""
    file = write(images.scene(), exif=camera_exif())
    at = file.index(b"Exif") - 4
    with pytest.raises(ImageDecodeError, match="truncated or damaged"):
        sniff(file[:at] + b"\xff\xff\xff\xff" + file[at + 4 :])


@pytest.mark.parametrize("share", [0.01, 0.3, 0.7, 0.95, 0.999])
@pytest.mark.parametrize("quality", [90, 100])
def test_a_truncated_file_is_damaged(quality, share):
    file = write(images.scene(240, 320), quality=quality)
    with pytest.raises(ImageDecodeError):
        decode(images.truncated(file, share=share), limits=LIMITS)


def test_a_header_that_lies_of_its_size_meets_the_limits():
    """Each of 2^30 rows: two bits choose the longest form, thirty say how many."""
    value = (3 << 1) | (((1 << 30) - 1) << 3) | (1 << 33)
    with pytest.raises(Exception, match="at most"):
        decode(b"\xff\x0a" + value.to_bytes(8, "little") + bytes(60), limits=LIMITS)


def test_without_the_library_both_ways_say_what_to_install(monkeypatch):
    file = write(images.scene())
    monkeypatch.setitem(__import__("sys").modules, "pyjpegxl", None)
    with pytest.raises(UnsupportedImageError, match=r"install expofuse\[jxl\]"):
        decode(file, limits=LIMITS)
    monkeypatch.setattr(formats, "find_spec", lambda name: None)
    formats.is_written.cache_clear()
    try:
        with pytest.raises(OptionError, match=r"install expofuse\[jxl\]"):
            check_encodable(EncodeOptions("jxl"), width_px=64, height_px=48)
    finally:
        monkeypatch.undo()
        formats.is_written.cache_clear()


@needs_libjxl
@pytest.mark.parametrize("bits", [8, 16])
def test_another_library_reads_what_is_written(bits, tmp_path):
    pixels = images.scene(dtype=np.uint8 if bits == 8 else np.uint16)
    shown = cv2.imread(str(by_djxl(write(pixels), tmp_path)), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(shown[..., ::-1], pixels)


@needs_libjxl
@pytest.mark.parametrize("distance", ["0", "0.3"])
@pytest.mark.parametrize(
    ("space", "primaries", "to_light"),
    [
        ("RGB_D65_SRG_Rel_SRG", images.SRGB_PRIMARIES, images.srgb_to_linear),
        ("RGB_D65_DCI_Rel_SRG", images.DISPLAY_P3_PRIMARIES, images.srgb_to_linear),
        ("RGB_D65_202_Rel_SRG", REC2020, images.srgb_to_linear),
        ("RGB_D65_SRG_Rel_Lin", images.SRGB_PRIMARIES, lambda x: x),
    ],
)
def test_spaces_that_the_codestream_names(space, primaries, to_light, distance, tmp_path):
    pixels = images.scene(gain=0.9)
    options = ["-d", distance, "-x", f"color_space={space}"]
    file = by_cjxl(images.save(pixels, "PNG"), "png", tmp_path, *options)
    off = np.abs(decode(file, limits=LIMITS).pixels - truth(pixels, primaries, to_light))
    assert off.mean() < (2.5 if "Lin" in space else 1.2)


@needs_libjxl
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_lossy_picture_of_a_profile_that_is_no_formula(dtype, tmp_path):
    """libjxl gives linear light for it, whose 8 bits would band in the dark."""
    pixels = images.scene(240, 320, dtype=dtype, gain=0.6)
    source = (
        images.save(pixels, "PNG", icc_profile=ADOBE_RGB)
        if dtype == np.uint8
        else images.png16_with_chunks(pixels, icc=ADOBE_RGB)
    )
    file = by_cjxl(source, "png", tmp_path, "-d", "0.1")
    found = decode(file, limits=LIMITS)
    assert found.pixels.dtype == dtype
    expected = truth(pixels, images.ADOBE_RGB_PRIMARIES, lambda x: x**2.2)
    off = np.abs(found.pixels / np.iinfo(dtype).max * 255 - expected)
    assert off.mean() < 1


@needs_libjxl
@pytest.mark.parametrize("transfer", ["PeQ", "HLG"])
def test_high_dynamic_range_is_refused_by_name(transfer, tmp_path):
    options = ["-x", f"color_space=RGB_D65_202_Rel_{transfer}"]
    file = by_cjxl(images.encoded("png"), "png", tmp_path, *options)
    with pytest.raises(UnsupportedImageError, match={"PeQ": "PQ", "HLG": "HLG"}[transfer]):
        decode(file, limits=LIMITS)


@needs_libjxl
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_turned_picture_is_upright_once(orientation, tmp_path):
    jpeg = images.with_orientation(orientation, quality=100, subsampling=0)
    file = by_cjxl(jpeg, "jpg", tmp_path)
    expected = decode(jpeg, limits=LIMITS).pixels
    header = sniff(file)
    assert (header.height_px, header.width_px) == expected.shape[:2]
    found = decode(file, limits=LIMITS)
    assert found.orientation == 1
    assert np.abs(found.pixels.astype(int) - expected).mean() < 1


@needs_libjxl
@pytest.mark.parametrize("mode", ["L", "LA", "RGBA"])
@pytest.mark.parametrize("options", [["-d", "0"], ["-d", "0.3"], ["-d", "0", "--container=1"]])
def test_grey_alpha_and_containers(mode, options, tmp_path):
    image = Image.fromarray(images.scene()).convert(mode)
    if mode != "L":
        image.putalpha(Image.linear_gradient("L").resize((64, 48)))
    source = io.BytesIO()
    image.save(source, "PNG")
    found = decode(by_cjxl(source.getvalue(), "png", tmp_path, *options), limits=LIMITS)
    expected = decode(source.getvalue(), limits=LIMITS)
    assert np.abs(found.pixels.astype(int) - expected.pixels).mean() < 1.5
    assert (found.transparent is None) == (expected.transparent is None)


@needs_libjxl
def test_an_animation_is_refused_as_one(tmp_path):
    frames = [Image.fromarray(images.scene(gain=gain)) for gain in (1.0, 0.5)]
    gif = io.BytesIO()
    frames[0].save(gif, "GIF", save_all=True, append_images=frames[1:])
    with pytest.raises(UnsupportedImageError, match="animated"):
        sniff(by_cjxl(gif.getvalue(), "gif", tmp_path))


@needs_libjxl
@pytest.mark.parametrize("bits", ["10", "12"])
def test_depths_between_come_at_full_scale(bits, tmp_path):
    white = np.full((48, 64, 3), 65535, np.uint16)
    options = ["-d", "0", f"--override_bitdepth={bits}"]
    file = by_cjxl(images.png16(white), "png", tmp_path, *options)
    assert sniff(file).bits == 16
    assert decode(file, limits=LIMITS).pixels.min() == 65535
