"""JPEG files by nvImageCodec: on its own CPU backend everywhere, on a device where there is one."""

import io
import logging
import multiprocessing
import os
import signal
import sys

import cv2
import numpy as np
import pytest
from PIL import Image

from bench.gpu_files import damage_codes
from expofuse.errors import EncodeError, FileError
from expofuse.files.device.jpeg import CPU, DeviceJpeg
from expofuse.files.device.layout import MIN_PIXELS
from expofuse.files.formats import EncodeOptions, ImageMetadata
from expofuse.files.headers import PixelLimits
from expofuse.files.reading.decode import decode
from expofuse.files.reading.vips import configure_libvips
from expofuse.files.writing.encode import encode
from expofuse.files.writing.jpeg_segments import add_metadata
from model.errors import DeviceError
from tests import images
from tests.devices import lose_device, needs_device, needs_no_device

LIMITS = PixelLimits(max_pixels=8_000_000, max_side_px=20_000)


@pytest.fixture(autouse=True, scope="module")
def _libvips():
    configure_libvips()


@pytest.fixture(scope="module")
def device():
    return DeviceJpeg(CPU, min_pixels=1)


@pytest.fixture
def failing_device():
    """One whose codecs exist and refuse every picture: they are for a device, and have none."""
    device = DeviceJpeg(CPU, min_pixels=1)
    lose_device(device)
    return device


def photograph(height=240, width=320):
    noise = np.random.default_rng(3).normal(0, 6, (height, width, 3))
    return np.clip(images.scene(height, width) + noise, 0, 255).astype(np.uint8)


def rgb_jpeg(pixels):
    """A JPEG whose three components are red, green and blue."""
    return images.save(Image.fromarray(pixels), "JPEG", keep_rgb=True)


def assert_equal_pictures(data, device, outcome, **more):
    expected = decode(data, limits=LIMITS, **more)
    found = decode(data, limits=LIMITS, device=device, **more)
    assert device.take_outcome() == outcome
    np.testing.assert_array_equal(found.pixels, expected.pixels)
    assert found.metadata == expected.metadata
    assert found.orientation == expected.orientation


# What it reads


@pytest.mark.parametrize("size", [(48, 64), (67, 53), (16, 16), (300, 17), (1, 1)])
@pytest.mark.parametrize("subsampling", [0, 1, 2])
@pytest.mark.parametrize("more", [{}, {"optimize": True}, {"restart_marker_blocks": 3}])
def test_a_picture_is_that_of_libjpeg_turbo(device, size, subsampling, more):
    pixels = images.scene(*size)
    data = images.encoded("jpeg", pixels=pixels, subsampling=subsampling, **more)
    assert_equal_pictures(data, device, "done")


def test_a_picture_whose_chroma_is_halved_in_height_alone_is_that_of_libjpeg_turbo(device):
    data = images.encoded("jpeg", pixels=photograph(), subsampling=1)
    assert_equal_pictures(images.jpeg_with_sampling(data, (0x12, 0x11, 0x11)), device, "done")


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_turned_picture_is_turned_once(device, orientation):
    data = images.with_orientation(orientation, pixels=photograph())
    assert_equal_pictures(data, device, "done")


def test_colours_of_a_profile_are_converted(device):
    profile = images.icc_profile(images.DISPLAY_P3_PRIMARIES)
    data = images.with_icc(profile, form="jpeg", pixels=photograph())
    assert_equal_pictures(data, device, "done")


def test_a_picture_goes_to_the_room_that_is_given(device):
    block = np.zeros(240 * 320 * 3, np.uint8)
    data = images.encoded("jpeg", pixels=photograph())
    pixels = decode(data, limits=LIMITS, out=block, device=device).pixels
    assert np.shares_memory(pixels, block)
    assert device.take_outcome() == "done"
    np.testing.assert_array_equal(pixels, decode(data, limits=LIMITS).pixels)


def test_a_room_of_16_bits_is_filled(device):
    data = images.encoded("jpeg", pixels=photograph())
    assert_equal_pictures(data, device, "done", out=np.zeros((240, 320, 3), np.uint16))


LEFT = {
    "progressive": lambda pixels: images.encoded("jpeg", pixels=pixels, progressive=True),
    "grey": lambda pixels: images.save(pixels[..., 0].copy(), "JPEG"),
    "four components": images.jpeg_cmyk,
    "red, green and blue": rgb_jpeg,
    "chroma of two sizes": lambda pixels: images.jpeg_with_sampling(
        images.encoded("jpeg", pixels=pixels, subsampling=0), (0x21, 0x11, 0x21)
    ),
    "a quarter of the chroma": lambda pixels: cv2.imencode(
        ".jpg", pixels, [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_411]
    )[1].tobytes(),
}


@pytest.mark.parametrize("kind", LEFT)
def test_what_is_rare_is_left_to_the_cpu(device, kind):
    assert_equal_pictures(LEFT[kind](photograph()), device, "left")


@pytest.mark.parametrize(("height", "outcome"), [(999, "left"), (1000, "done")])
def test_what_is_small_is_left_to_the_cpu(height, outcome):
    assert MIN_PIXELS == 1000 * 1000
    data = images.encoded("jpeg", pixels=images.scene(height, 1000))
    assert_equal_pictures(data, DeviceJpeg(CPU), outcome)


@pytest.mark.parametrize("form", ["png", "webp"])
def test_other_formats_are_none_of_its_business(device, form):
    assert_equal_pictures(images.encoded(form), device, None)


# What it refuses


@pytest.mark.parametrize(
    "more",
    [{}, {"subsampling": 0}, {"subsampling": 2}, {"restart_marker_blocks": 8}],
    ids=["plain", "4:4:4", "4:2:0", "restarts"],
)
def test_it_is_given_and_refuses_what_libjpeg_turbo_takes_and_refuses(device, more):
    data = images.encoded("jpeg", pixels=photograph(), quality=88, **more)
    refused = 0
    for changed in damage_codes(data, seed=1, count=200):
        try:
            expected = decode(changed, limits=LIMITS).pixels
        except FileError as error:
            with pytest.raises(type(error), match="damaged"):
                decode(changed, limits=LIMITS, device=device)
            assert device.take_outcome() is None  # It has not seen it.
            refused += 1
        else:
            np.testing.assert_array_equal(
                decode(changed, limits=LIMITS, device=device).pixels, expected
            )
            assert device.take_outcome() == "done"
    assert 50 < refused < 200


def test_mutated_files_are_read_as_without_it(device):
    for data in images.mutations(images.encoded("jpeg"), seed=5, count=300):
        try:
            expected = decode(data, limits=LIMITS).pixels
        except FileError as error:
            with pytest.raises(type(error)):
                decode(data, limits=LIMITS, device=device)
        else:
            np.testing.assert_array_equal(
                decode(data, limits=LIMITS, device=device).pixels, expected
            )


# What it cannot do


def test_where_the_device_fails_the_cpu_decodes_and_the_log_says_so(failing_device, caplog):
    with caplog.at_level(logging.WARNING):
        assert_equal_pictures(images.encoded("jpeg", pixels=photograph()), failing_device, "failed")
    assert "device fails" in caplog.text


def test_where_the_device_fails_libvips_encodes(failing_device, caplog):
    pixels, options = photograph(), EncodeOptions("jpeg")
    with caplog.at_level(logging.WARNING):
        file = encode(pixels, options=options, metadata=ImageMetadata(), device=failing_device)
    assert failing_device.take_outcome() == "failed"
    assert file == encode(pixels, options=options, metadata=ImageMetadata())
    assert "device fails" in caplog.text


def test_a_device_that_fails_does_not_pass_its_trial(failing_device):
    with pytest.raises(DeviceError, match="it failed"):
        failing_device.try_out()


def test_a_trial_leaves_no_outcome(device):
    device.try_out()
    assert device.take_outcome() is None


def test_chroma_that_is_repeated_does_not_pass_the_trial():
    with pytest.raises(DeviceError, match="within 1 levels"):
        DeviceJpeg(CPU, options=":fancy_upsampling=0").try_out()


def test_without_the_library_its_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "nvidia.nvimgcodec", None)
    monkeypatch.delattr("nvidia.nvimgcodec")
    with pytest.raises(DeviceError, match=r"expofuse\[nvimagecodec\]"):
        DeviceJpeg(CPU)


@needs_no_device
def test_without_a_device_it_says_so_and_no_place_in_a_source():
    with pytest.raises(DeviceError, match="the device 'cuda:0', it cannot: ") as caught:
        DeviceJpeg("cuda:0")
    assert ".h:" not in caught.value.message


# What it writes


def tell_frame(file):
    """The sampling factors of luma, and the markers of all segments before the scan."""
    offset, markers, factors = 2, [], None
    while file[offset + 1] != 0xDA:
        markers.append(file[offset + 1])
        if file[offset + 1] == 0xC0:
            factors = file[offset + 11]
        offset += 2 + int.from_bytes(file[offset + 2 : offset + 4], "big")
    return factors, markers


@pytest.mark.parametrize("quality", [30, 89, 90, 97])
@pytest.mark.parametrize("subsampling", ["auto", "444", "420"])
def test_a_file_is_that_of_libvips_but_for_rounding(device, quality, subsampling):
    pixels = photograph()
    options = EncodeOptions("jpeg", quality=quality, subsampling=subsampling)
    file = encode(pixels, options=options, metadata=ImageMetadata(), device=device)
    assert device.take_outcome() == "done"
    expected = encode(pixels, options=options, metadata=ImageMetadata())
    assert tell_frame(file) == tell_frame(expected)
    assert len(file) == pytest.approx(len(expected), rel=0.02)
    found, wanted = (decode(one, limits=LIMITS).pixels.astype(int) for one in (file, expected))
    assert np.abs(found - wanted).mean() < 0.1


@pytest.mark.parametrize("metadata_mode", ["keep", "no-gps", "strip"])
@pytest.mark.parametrize("profile_mode", ["srgb", "keep"])
def test_metadata_is_that_of_libvips(device, metadata_mode, profile_mode):
    given = images.with_orientation(
        6, pixels=photograph(), icc_profile=images.icc_profile(images.DISPLAY_P3_PRIMARIES)
    )
    metadata = decode(given, limits=LIMITS).metadata
    assert metadata.exif is not None
    assert metadata.profile is not None
    options = EncodeOptions("jpeg", metadata=metadata_mode, profile=profile_mode)
    pixels = photograph()
    file = encode(pixels, options=options, metadata=metadata, device=device)
    expected = encode(pixels, options=options, metadata=metadata)
    assert device.take_outcome() == "done"
    found, wanted = (Image.open(io.BytesIO(one)) for one in (file, expected))
    assert found.info["icc_profile"] == wanted.info["icc_profile"]
    # libvips adds what EXIF asks for of every file: resolution, and versions.
    tags, libvips_tags = (dict(one.getexif().get_ifd(0x8769)) for one in (found, wanted))
    assert tags.items() <= libvips_tags.items()
    assert bool(tags) == (metadata_mode != "strip")
    assert dict(found.getexif()).keys() <= dict(wanted.getexif()).keys()
    both = [decode(one, limits=LIMITS) for one in (file, expected)]
    np.testing.assert_allclose(both[0].pixels.astype(int), both[1].pixels, atol=12)
    assert both[0].orientation == both[1].orientation == 1


def test_16_bits_become_8(device):
    pixels = photograph().astype(np.uint16) * 257
    options = EncodeOptions("jpeg")
    file = encode(pixels, options=options, metadata=ImageMetadata(), device=device)
    assert file == encode(photograph(), options=options, metadata=ImageMetadata(), device=device)


@pytest.mark.parametrize(
    ("options", "outcome"),
    [(EncodeOptions("jpeg", is_progressive=True), "left"), (EncodeOptions("png"), None)],
)
def test_what_it_does_not_write_libvips_does(device, options, outcome):
    pixels = photograph()
    file = encode(pixels, options=options, metadata=ImageMetadata(), device=device)
    assert device.take_outcome() == outcome
    assert file == encode(pixels, options=options, metadata=ImageMetadata())


def test_a_large_profile_is_written_in_parts():
    stream = images.encoded("jpeg", comment=b"by its writer")
    profile = np.random.default_rng(0).bytes(150_000)
    file = add_metadata(stream, exif=None, profile=profile)
    opened = Image.open(io.BytesIO(file))
    assert opened.info["icc_profile"] == profile
    assert "comment" not in opened.info
    assert "jfif" not in opened.info
    np.testing.assert_array_equal(np.asarray(opened), np.asarray(Image.open(io.BytesIO(stream))))


@pytest.mark.parametrize(
    ("stream", "exif", "profile"),
    [
        (b"GIF89a", None, None),
        (b"\xff\xd8\xff\xd9", None, None),
        (b"\xff\xd8", None, None),
        (images.encoded("jpeg"), bytes(65_534), None),
        (images.encoded("jpeg"), None, bytes(256 * 65_519)),
    ],
)
def test_what_does_not_fit_is_no_file(stream, exif, profile):
    with pytest.raises(EncodeError, match="expected"):
        add_metadata(stream, exif=exif, profile=profile)


# On a device


def large_photograph():
    noise = np.random.default_rng(3).normal(0, 6, (1200, 1600, 3))
    return np.clip(images.scene(1200, 1600) + noise, 0, 255).astype(np.uint8)


@pytest.mark.gpu
@needs_device
@pytest.mark.parametrize("subsampling", [0, 1, 2])
@pytest.mark.parametrize("more", [{}, {"restart_marker_blocks": 64}])
def test_a_device_decodes_within_two_levels_of_libjpeg_turbo(subsampling, more):
    on_device = DeviceJpeg("cuda:0")
    data = images.encoded("jpeg", pixels=large_photograph(), subsampling=subsampling, **more)
    found = decode(data, limits=LIMITS, device=on_device).pixels.astype(int)
    assert on_device.take_outcome() == "done"
    difference = np.abs(found - decode(data, limits=LIMITS).pixels)
    assert difference.mean() < 0.5
    assert (difference > 2).mean() < 1e-4


@pytest.mark.gpu
@needs_device
@pytest.mark.parametrize(("quality", "subsampling"), [(80, "420"), (92, "444")])
def test_a_device_encodes_as_well_as_libvips(quality, subsampling):
    on_device, pixels = DeviceJpeg("cuda:0"), large_photograph()
    options = EncodeOptions("jpeg", quality=quality, subsampling=subsampling)
    file = encode(pixels, options=options, metadata=ImageMetadata(), device=on_device)
    assert on_device.take_outcome() == "done"
    expected = encode(pixels, options=options, metadata=ImageMetadata())
    assert tell_frame(file)[0] == tell_frame(expected)[0]
    assert len(file) == pytest.approx(len(expected), rel=0.25)
    errors = [
        float(np.square(decode(one, limits=LIMITS).pixels.astype(float) - pixels).mean())
        for one in (file, expected)
    ]
    assert 10 * np.log10(errors[0] / errors[1]) < 0.5


def work_on_device(done):
    device = DeviceJpeg("cuda:0")
    picture = large_photograph()
    while True:
        assert device.encode(picture, quality=90, is_halved=True) is not None
        with done.get_lock():
            done.value += 1


@pytest.mark.gpu
@needs_device
def test_a_process_that_is_killed_at_work_on_the_device_takes_nobody_with_it():
    context = multiprocessing.get_context("spawn")
    done = context.Value("i", 0)
    process = context.Process(target=work_on_device, args=(done,), daemon=True)
    process.start()
    on_device = DeviceJpeg("cuda:0")
    while done.value < 5:
        assert process.is_alive()
        on_device.try_out()
    os.kill(process.pid, signal.SIGKILL)
    process.join(30)
    on_device.try_out()
