"""What a written file says of its picture is true of it."""

import io
import json
import shutil
import subprocess

import numpy as np
import pytest
import pyvips
from PIL import Image, ImageCms

from expofuse.errors import OptionError
from expofuse.files.exif import rebuild_exif
from expofuse.files.formats import EncodeOptions, ImageMetadata, check_encodable
from expofuse.files.reading.vips import configure_libvips
from expofuse.files.writing.encode import encode
from expofuse.package_version import package_version
from tests import images

P3 = images.icc_profile(images.DISPLAY_P3_PRIMARIES)
WITH_EXIF = ["jpeg", "png", "webp", "avif"]


@pytest.fixture(autouse=True, scope="module")
def _libvips():
    configure_libvips()


def write(pixels, form, *, exif=None, icc=None, **options):
    metadata = ImageMetadata(exif, icc)
    return encode(pixels, options=EncodeOptions(form, **options), metadata=metadata)


def camera_exif():
    """What a camera set to Adobe RGB writes, with a maker's note, a place and a copyright."""
    block = Image.Exif()
    block[0x010F], block[0x0110] = "Maker", "Model"
    block[0x0112] = 6
    block[0x8298], block[0x013B] = "(c) Somebody", "Somebody"
    block[0x0131] = "Firmware 1.0"
    block[0x0100], block[0x0106] = 1234, 2
    capture = block.get_ifd(0x8769)
    capture[0x829A], capture[0x8827], capture[0x9003] = 0.01, 200, "2026:01:02 03:04:05"
    capture[0x9291] = "123"
    capture[0xA001], capture[0xA002], capture[0xA003] = 65535, 1234, 999
    capture[0x927C] = b"maker's note" * 100
    capture[0xA005] = {1: "R03", 2: b"0100"}
    place = block.get_ifd(0x8825)
    place[1], place[2] = "N", (47.0, 22.0, 10.5)
    return block.tobytes()


def load_block(block):
    exif = Image.Exif()
    exif.load(block)
    return exif, exif.get_ifd(0x8769)


def tags_in(file):
    image = Image.open(io.BytesIO(file))
    exif = image.getexif()
    return exif, exif.get_ifd(0x8769), exif.get_ifd(0x8825)


@pytest.mark.parametrize("form", WITH_EXIF)
def test_how_it_was_taken_stays_and_what_no_longer_holds_goes(form):
    image, capture, place = tags_in(write(images.scene(), form, exif=camera_exif()))
    assert (image[0x010F], image[0x8298], image[0x013B]) == ("Maker", "(c) Somebody", "Somebody")
    assert image[0x0131] == f"expofuse {package_version()}"
    assert image.get(0x0112, 1) == 1
    assert capture[0x829A] == pytest.approx(0.01)
    assert (capture[0x9003], capture[0x9291]) == ("2026:01:02 03:04:05", "123")
    assert (capture[0xA001], capture[0xA002], capture[0xA003]) == (1, 64, 48)
    assert not {0x927C, 0xA005, 0xA500} & set(capture)
    assert not {0x0106, 0x013E, 0x013F, 0x012D} & set(image)
    assert place[1] == "N"


@pytest.mark.parametrize("form", WITH_EXIF)
def test_the_place_and_all_can_be_left_out(form):
    image, _, place = tags_in(write(images.scene(), form, exif=camera_exif(), metadata="no-gps"))
    assert image[0x010F] == "Maker"
    assert not place
    image, _, _ = tags_in(write(images.scene(), form, exif=camera_exif(), metadata="strip"))
    assert 0x010F not in image


@pytest.mark.parametrize("form", WITH_EXIF)
@pytest.mark.parametrize("options", [{}, {"exif": camera_exif(), "metadata": "strip"}])
def test_without_exif_nothing_is_said(form, options):
    image = Image.open(io.BytesIO(write(images.scene(), form, **options)))
    assert not dict(image.getexif())
    assert not image.getexif().get_ifd(0x8769)
    assert image.info["icc_profile"]


@pytest.mark.skipif(shutil.which("exiftool") is None, reason="exiftool is not installed")
@pytest.mark.parametrize("form", WITH_EXIF)
def test_another_reader_finds_no_fault_with_the_block(form, tmp_path):
    path = tmp_path / f"picture.{form}"
    path.write_bytes(write(images.scene(), form, exif=camera_exif()))
    command = ["exiftool", "-j", "-n", "-G1", "-all", "-validate", str(path)]
    found = json.loads(subprocess.run(command, capture_output=True, check=False).stdout)[0]
    assert found["ExifIFD:ColorSpace"] == 1
    assert found["ExifIFD:ISO"] == 200
    assert found["GPS:GPSLatitude"] == pytest.approx(47.3696, abs=1e-3)
    assert not [name for name in found if "Interop" in name or "MakerNote" in name]
    assert found["ICC-header:ColorSpaceData"].strip() == "RGB"


def test_a_rebuilt_block_is_read_as_it_was_written():
    block = rebuild_exif(camera_exif(), width_px=640, height_px=480, is_srgb=False)
    image, capture = load_block(block)
    assert image[0x010F] == "Maker"
    assert (capture[0xA001], capture[0xA002]) == (65535, 640)
    again = rebuild_exif(block, width_px=640, height_px=480, is_srgb=False)
    assert again == block


@pytest.mark.parametrize(
    "exif", [b"", b"Exif\0\0", b"Exif\0\0MM\0*\xff\xff\xff\xff", b"II*\0" + bytes(70_000)]
)
def test_a_block_in_which_nothing_can_be_read_is_left_out(exif):
    assert rebuild_exif(exif, width_px=1, height_px=1) is None
    assert write(images.scene(), "jpeg", exif=exif) == write(images.scene(), "jpeg")


def test_what_is_too_large_is_left_out_and_the_rest_stays():
    block = Image.Exif()
    block[0x010F] = "Maker"
    block.get_ifd(0x8769)[0x9286] = bytes(30_000)
    rebuilt = rebuild_exif(block.tobytes(), width_px=1, height_px=1)
    assert load_block(rebuilt)[0][0x010F] == "Maker"
    assert len(rebuilt) < 1000


@pytest.mark.parametrize("seed", range(3))
def test_a_mutated_block_gives_a_sound_one_or_none(seed):
    for block in images.mutations(camera_exif(), seed=seed, count=200):
        rebuilt = rebuild_exif(block, width_px=640, height_px=480)
        if rebuilt is not None:
            assert load_block(rebuilt)[1][0xA002] == 640
            assert rebuild_exif(rebuilt, width_px=640, height_px=480) == rebuilt


@pytest.mark.parametrize(
    ("form", "dtype", "bit_depth", "bits"),
    [
        ("png", np.uint8, None, 8),
        ("png", np.uint16, None, 16),
        ("png", np.uint8, 16, 16),
        ("png", np.uint16, 8, 8),
        ("tiff", np.uint16, None, 16),
        ("tiff", np.uint8, 16, 16),
        ("jpeg", np.uint16, None, 8),
        ("avif", np.uint8, None, 8),
        ("avif", np.uint16, None, 10),
        ("avif", np.uint8, 10, 10),
        ("avif", np.uint16, 8, 8),
    ],
)
def test_the_depth_is_that_of_the_pixels_or_the_one_asked_for(form, dtype, bit_depth, bits):
    pixels = images.scene(dtype=dtype)
    file = write(pixels, form, bits=bit_depth, quality=95)
    opened = getattr(pyvips.Image, {"avif": "heif"}.get(form, form) + "load_buffer")
    pyvips.operation_block_set("VipsForeignLoadHeif", False)
    image = opened(file)
    depths = {"uchar": 8, "ushort": 16}
    found = image.get("bits-per-sample") if form == "avif" else depths[image.format]
    assert found == bits
    full = 65535 if image.format == "ushort" else 255
    off = np.abs(image.numpy()[..., :3] / full - pixels / np.iinfo(dtype).max)
    assert off.mean() < (0.02 if form in ("jpeg", "avif") else 1e-2 / 2)


@pytest.mark.parametrize(
    ("form", "bits"), [("jpeg", 16), ("webp", 16), ("avif", 16), ("png", 10), ("tiff", 10)]
)
def test_a_depth_that_the_format_lacks_is_refused(form, bits):
    with pytest.raises(OptionError, match=f"bits for {form}, got {bits}"):
        check_encodable(EncodeOptions(form, bits=bits), width_px=64, height_px=48)


def test_the_chroma_is_sampled_as_asked():
    def sampling(**options):
        return Image.open(io.BytesIO(write(images.scene(), "jpeg", **options))).layer[0][1:3]

    assert sampling() == sampling(subsampling="444", quality=50) == (1, 1)
    assert sampling(quality=80) == sampling(subsampling="420") == (2, 2)


def test_a_jpeg_is_progressive_as_asked():
    progressive = Image.open(io.BytesIO(write(images.scene(), "jpeg", is_progressive=True)))
    assert "progressive" in progressive.info
    assert "progressive" not in Image.open(io.BytesIO(write(images.scene(), "jpeg"))).info


@pytest.mark.parametrize("form", ["jpeg", "png", "webp", "tiff", "avif"])
def test_the_profile_of_the_reference_is_kept_as_asked(form):
    """A colour manager that did not write it reads the same colours."""
    pixels = images.scene(gain=0.9)
    tagged = Image.open(io.BytesIO(write(pixels, form, icc=P3)))
    assert tagged.info["icc_profile"] != P3
    file = write(pixels, form, icc=P3, profile="keep", quality=100, exif=camera_exif())
    kept = Image.open(io.BytesIO(file))
    assert kept.info["icc_profile"] == P3
    if form != "tiff":
        assert kept.getexif().get_ifd(0x8769)[0xA001] == 65535
    shown = ImageCms.profileToProfile(
        kept.convert("RGB"),
        ImageCms.ImageCmsProfile(io.BytesIO(P3)),
        ImageCms.createProfile("sRGB"),
        renderingIntent=1,
    )
    off = np.abs(np.asarray(shown).astype(int) - pixels)
    assert off.mean() < (2.5 if form in ("jpeg", "webp", "avif") else 0.6)


def test_a_profile_is_kept_at_16_bits():
    pixels = images.scene(dtype=np.uint16, gain=0.9)
    file = write(pixels, "png", icc=P3, profile="keep")
    image = pyvips.Image.pngload_buffer(file)
    assert image.get("icc-profile-data") == P3
    back = image.icc_import(embedded=True, intent="relative", pcs="lab").icc_export(
        output_profile="srgb", intent="relative", depth=16
    )
    off = np.abs(back.numpy().astype(int) - pixels)
    assert off.mean() < 40


@pytest.mark.parametrize("icc", [b"no profile", bytes(200), P3[:300], P3.replace(b"RGB ", b"GRAY")])
def test_a_profile_that_cannot_be_written_leaves_srgb(icc):
    file = write(images.scene(), "png", icc=icc, profile="keep")
    assert file == write(images.scene(), "png")
