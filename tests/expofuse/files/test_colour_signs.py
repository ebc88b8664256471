"""Every sign of colour, against conversions that neither libvips nor this project computes."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageCms
from PIL.TiffImagePlugin import IFDRational

from expofuse.errors import UnsupportedImageError
from expofuse.files.headers import PixelLimits
from expofuse.files.reading.colour_signs import Cicp, colours_of_cicp
from expofuse.files.reading.decode import decode
from expofuse.files.reading.matrix_profile import ADOBE_RGB, SRGB, MatrixColours, write_profile
from expofuse.files.reading.vips import configure_libvips
from tests import images

LIMITS = PixelLimits(max_pixels=1_000_000, max_side_px=20_000)
REC2020 = ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046))
P3 = images.DISPLAY_P3_PRIMARIES
ADOBE = images.ADOBE_RGB_PRIMARIES
SRGB_PRIMARIES = images.SRGB_PRIMARIES


@pytest.fixture(autouse=True, scope="module")
def _libvips():
    configure_libvips()


def power(exponent):
    return lambda x: np.asarray(x) ** exponent


def bt709(x):
    return np.where(x < 0.081, x / 4.5, ((x + 0.099) / 1.099) ** (1 / 0.45))


def shown(samples, primaries, to_light):
    """The sRGB that a picture of these colours should become, 0..1: colorimetric, clipped."""
    light = to_light(samples / np.iinfo(samples.dtype).max)
    to_srgb = np.linalg.inv(images.rgb_to_xyz_matrix(SRGB_PRIMARIES))
    matrix = to_srgb @ images.rgb_to_xyz_matrix(primaries)
    return images.linear_to_srgb(light @ matrix.T)


def chunk(name, body):
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def gamma(value):
    return chunk(b"gAMA", struct.pack(">I", round(value * 100_000)))


def corners(primaries, white=images.D65):
    values = [value for pair in (white, *primaries) for value in pair]
    return chunk(b"cHRM", struct.pack(">8I", *(round(value * 100_000) for value in values)))


def cicp(primaries, transfer, matrix=0, full=1):
    return chunk(b"cICP", bytes((primaries, transfer, matrix, full)))


def icc(profile):
    return chunk(b"iCCP", b"p\0\0" + zlib.compress(profile))


SRGB_CHUNK = chunk(b"sRGB", b"\0")


def png(*chunks, bits=8, grey=False):
    """A PNG with chunks behind its header, and its samples."""
    samples = images.scene(40, 60, dtype=np.uint8 if bits == 8 else np.uint16, gain=0.95)
    if grey:
        samples = np.ascontiguousarray(samples[..., 1])
    rows = samples.astype(f">u{bits // 8}").reshape(len(samples), -1).view(np.uint8)
    raw = np.hstack([np.zeros((len(rows), 1), np.uint8), rows]).tobytes()
    header = struct.pack(">IIBBBBB", 60, 40, bits, 0 if grey else 2, 0, 0, 0)
    ends = chunk(b"IDAT", zlib.compress(raw)), chunk(b"IEND", b"")
    signature = b"\x89PNG\r\n\x1a\n"
    return b"".join((signature, chunk(b"IHDR", header), *chunks, *ends)), samples


def off_by(data, expected, bits):
    """The largest and the mean difference, in steps of 8 bits."""
    pixels = decode(data, limits=LIMITS).pixels
    assert pixels.dtype == (np.uint8 if bits == 8 else np.uint16)
    off = np.abs(pixels / (255 if bits == 8 else 65535) - expected) * 255
    return off.max(), off.mean()


def srgb(x):
    return images.srgb_to_linear(x)


PNG_SIGNS = {
    "cICP Display P3": ([cicp(12, 13)], P3, srgb),
    "cICP sRGB": ([cicp(1, 13)], SRGB_PRIMARIES, srgb),
    "cICP BT.709": ([cicp(1, 1)], SRGB_PRIMARIES, bt709),
    "cICP BT.2020": ([cicp(9, 14)], REC2020, bt709),
    "cICP linear": ([cicp(1, 8)], SRGB_PRIMARIES, power(1.0)),
    "cICP gamma 2.2": ([cicp(1, 4)], SRGB_PRIMARIES, power(2.2)),
    "cICP before iCCP": ([cicp(12, 13), icc(images.icc_profile(ADOBE))], P3, srgb),
    "cICP sRGB before iCCP": ([cicp(1, 13), icc(images.icc_profile(P3))], SRGB_PRIMARIES, srgb),
    "cICP unspecified": ([cicp(2, 2), gamma(1.0)], SRGB_PRIMARIES, power(1.0)),
    "cICP with a matrix": ([cicp(12, 13, matrix=1)], SRGB_PRIMARIES, srgb),
    "iCCP": ([icc(images.icc_profile(P3))], P3, srgb),
    "iCCP before sRGB": ([icc(images.icc_profile(P3)), SRGB_CHUNK], P3, srgb),
    "iCCP before gAMA": ([gamma(1.0), icc(images.icc_profile(P3))], P3, srgb),
    "sRGB before gAMA": ([SRGB_CHUNK, gamma(1.0), corners(P3)], SRGB_PRIMARIES, srgb),
    "gAMA linear": ([gamma(1.0)], SRGB_PRIMARIES, power(1.0)),
    "gAMA 1.8": ([gamma(1 / 1.8)], SRGB_PRIMARIES, power(1.8)),
    "gAMA of sRGB": ([gamma(0.45455)], SRGB_PRIMARIES, srgb),
    "gAMA and cHRM": ([gamma(1 / 1.8), corners(ADOBE)], ADOBE, power(1.8)),
    "cHRM": ([corners(P3)], P3, srgb),
    "gAMA 0": ([gamma(0.0)], SRGB_PRIMARIES, srgb),
    "no sign": ([], SRGB_PRIMARIES, srgb),
}


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("sign", PNG_SIGNS)
def test_signs_of_a_png(sign, bits):
    chunks, primaries, to_light = PNG_SIGNS[sign]
    data, samples = png(*chunks, bits=bits)
    largest, mean = off_by(data, shown(samples, primaries, to_light), bits)
    assert largest < 2.5
    assert mean < 0.35


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("sign", ["gAMA linear", "gAMA 1.8", "cICP BT.709", "cICP Display P3"])
def test_signs_of_a_grey_png(sign, bits):
    chunks, _, to_light = PNG_SIGNS[sign]
    data, samples = png(*chunks, bits=bits, grey=True)
    expected = shown(np.dstack([samples] * 3), SRGB_PRIMARIES, to_light)
    assert off_by(data, expected, bits)[0] < 2.5


def test_a_linear_ramp_of_16_bits_keeps_its_levels():
    ramp = np.linspace(0, 65535, 64 * 256).astype(np.uint16).reshape(64, 256)
    data = images.png16(np.dstack([ramp] * 3))
    linear = data[:33] + gamma(1.0) + data[33:]
    pixels = decode(linear, limits=LIMITS).pixels
    assert len(np.unique(pixels[..., 1])) > 8192
    assert (np.diff(pixels[..., 1].ravel().astype(int)) >= 0).all()


@pytest.mark.parametrize(("transfer", "name"), [(16, "PQ"), (18, "HLG")])
def test_high_dynamic_range_is_refused_by_name(transfer, name):
    with pytest.raises(UnsupportedImageError, match=name):
        decode(png(cicp(9, transfer))[0], limits=LIMITS)


def test_narrow_range_and_unknown_colours_are_refused_by_name():
    with pytest.raises(UnsupportedImageError, match="narrow range"):
        decode(png(cicp(9, 14, full=0))[0], limits=LIMITS)
    with pytest.raises(UnsupportedImageError, match="code points 10 and 13"):
        decode(png(cicp(10, 13))[0], limits=LIMITS)


def jpeg(exif=None, **options):
    """A JPEG that changes its samples as little as a JPEG can, and its samples."""
    samples = images.scene(40, 64, gain=0.95)
    more = {} if exif is None else {"exif": exif}
    data = images.save(samples, "JPEG", quality=100, subsampling=0, **more, **options)
    return data, np.asarray(Image.open(io.BytesIO(data)))


def ratio(value):
    return IFDRational(round(value * 10_000), 10_000)


def exif_block(space=None, mark=None, gamma=None, primaries=None):
    block = Image.Exif()
    capture = block.get_ifd(0x8769)
    if space is not None:
        capture[0xA001] = space
    if gamma is not None:
        capture[0xA500] = ratio(gamma)
    if primaries is not None:
        block[0x013F] = tuple(ratio(value) for pair in primaries for value in pair)
        block[0x013E] = tuple(map(ratio, images.D65))
    if mark is not None:
        capture[0xA005] = {1: mark, 2: b"0100"}
    return block.tobytes()


EXIF_SIGNS = {
    "sRGB": (exif_block(1, "R98"), SRGB_PRIMARIES, srgb),
    "R03": (exif_block(65535, "R03"), ADOBE, power(563 / 256)),
    "R03 and its numbers": (exif_block(65535, "R03", 2.2, ADOBE), ADOBE, power(563 / 256)),
    "Adobe RGB out of the standard": (exif_block(2), ADOBE, power(563 / 256)),
    "uncalibrated": (exif_block(65535), SRGB_PRIMARIES, srgb),
    "sRGB in spite of its mark": (exif_block(1, "R03"), SRGB_PRIMARIES, srgb),
    "gamma and primaries": (exif_block(65535, None, 1.8, P3), P3, power(1.8)),
    "none": (None, SRGB_PRIMARIES, srgb),
}


@pytest.mark.parametrize("sign", EXIF_SIGNS)
def test_signs_in_the_exif_of_a_jpeg(sign):
    exif, primaries, to_light = EXIF_SIGNS[sign]
    data, samples = jpeg(exif)
    largest, mean = off_by(data, shown(samples, primaries, to_light), 8)
    assert largest < 2.5
    assert mean < 0.35


def test_a_profile_counts_more_than_exif():
    data, samples = jpeg(exif_block(65535, "R03"), icc_profile=images.icc_profile(P3))
    assert off_by(data, shown(samples, P3, srgb), 8)[0] < 2.5


@pytest.mark.parametrize("form", ["jpeg", "png", "webp", "tiff"])
@pytest.mark.parametrize("primaries", [P3, ADOBE])
def test_a_profile_in_every_format_against_another_colour_manager(form, primaries):
    profile = images.icc_profile(primaries, gamma=2.2)
    options = {"webp": {"lossless": True}, "jpeg": {"quality": 100, "subsampling": 0}}
    data = images.with_icc(profile, form=form, **options.get(form, {}))
    opened = Image.open(io.BytesIO(data)).convert("RGB")
    expected = ImageCms.profileToProfile(
        opened,
        ImageCms.ImageCmsProfile(io.BytesIO(profile)),
        ImageCms.createProfile("sRGB"),
        renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
    )
    off = np.abs(decode(data, limits=LIMITS).pixels.astype(int) - np.asarray(expected))
    assert off.max() <= 2


@pytest.mark.parametrize(
    ("colours", "primaries", "exponent"),
    [(ADOBE_RGB, ADOBE, 563 / 256), (colours_of_cicp(Cicp(12, 4)), P3, 2.2)],
)
def test_a_written_profile_is_what_another_colour_manager_reads(colours, primaries, exponent):
    assert isinstance(colours, MatrixColours)
    samples = images.scene(gain=0.95)
    profile = ImageCms.ImageCmsProfile(io.BytesIO(write_profile(colours)))
    converted = ImageCms.profileToProfile(
        Image.fromarray(samples), profile, ImageCms.createProfile("sRGB"), renderingIntent=1
    )
    expected = shown(samples, primaries, power(exponent))
    assert np.abs(np.asarray(converted) / 255 - expected).max() < 2 / 255


def test_primaries_that_span_nothing_have_no_profile():
    flat = MatrixColours((0.3, 0.3), (0.4, 0.4), (0.5, 0.5), images.D65, SRGB.curve)
    assert write_profile(flat) is None
    data, samples = png(corners(((0.3, 0.3), (0.4, 0.4), (0.5, 0.5))))
    assert off_by(data, shown(samples, SRGB_PRIMARIES, srgb), 8)[0] < 1e-6


def test_the_profile_of_the_input_is_kept_beside_the_pixels():
    profile = images.icc_profile(P3)
    assert decode(images.with_icc(profile), limits=LIMITS).metadata.profile == profile
    assert decode(png(gamma(1.0))[0], limits=LIMITS).metadata.profile is not None
    assert decode(png(SRGB_CHUNK, gamma(1.0))[0], limits=LIMITS).metadata.profile is None


@pytest.mark.parametrize("seed", range(4))
def test_damaged_signs_cost_nothing_but_themselves(seed):
    rng = np.random.default_rng(seed)
    for name, length in ((b"gAMA", 4), (b"cHRM", 32), (b"gAMA", 3), (b"cHRM", 31), (b"iCCP", 50)):
        data, samples = png(chunk(name, rng.bytes(length)))
        try:
            assert decode(data, limits=LIMITS).pixels.shape == samples.shape
        except UnsupportedImageError:
            pytest.fail("a damaged sign refused a picture")
