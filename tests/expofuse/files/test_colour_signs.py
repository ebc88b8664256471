"""What files say of their colours, against formulas and a second colour-managed conversion."""

import io
import struct
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms

from expofuse.errors import UnsupportedImageError
from expofuse.files.headers import PixelLimits
from expofuse.files.reading.colours import convert as colour
from expofuse.files.reading.colours.icc import (
    SRGB_CURVE,
    Curve,
    Primaries,
    build_rgb_profile,
    is_sound,
)
from expofuse.files.reading.decode import decode
from expofuse.files.reading.vips import configure_libvips
from tests import images

LIMITS = PixelLimits(max_pixels=4_000_000, max_side_px=20_000)
CASES = Path(__file__).parents[4] / "shared" / "cases"
BT2020 = ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046))
P3_CHRM = (31270, 32900, 68000, 32000, 26500, 69000, 15000, 6000)
SRGB_CHRM = (31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)
SRGB_ICC = images.icc_profile(images.SRGB_PRIMARIES)
P3_ICC = images.icc_profile(images.DISPLAY_P3_PRIMARIES)
ADOBE_ICC = images.icc_profile(images.ADOBE_RGB_PRIMARIES, gamma=images.ADOBE_RGB_GAMMA)


@pytest.fixture(autouse=True, scope="module")
def _libvips():
    configure_libvips()


def read(data):
    return decode(data, limits=LIMITS)


def soft_scene(dtype=np.uint8):
    """Colours near enough to grey to lie within sRGB whatever the primaries."""
    pixels = images.scene(dtype=dtype).astype(np.float64) / np.iinfo(dtype).max
    grey = pixels.mean(axis=-1, keepdims=True)
    return np.round((grey + 0.35 * (pixels - grey)) * np.iinfo(dtype).max).astype(dtype)


def with_chunks(pixels, *chunks):
    data = images.png16(pixels)
    added = b"".join(images.png_chunk(name, body) for name, body in chunks)
    return data[:33] + added + data[33:]


def gama(value):
    return b"gAMA", struct.pack(">I", value)


def chrm(values):
    return b"cHRM", struct.pack(">8I", *values)


def cicp(*values):
    return b"cICP", bytes(values)


def expected(pixels, primaries, to_linear):
    """The formula: linear light, the matrix between the primaries, the curve of sRGB."""
    linear = to_linear(pixels / np.iinfo(pixels.dtype).max)
    to_srgb = np.linalg.inv(images.rgb_to_xyz_matrix(images.SRGB_PRIMARIES))
    return images.linear_to_srgb(linear @ (to_srgb @ images.rgb_to_xyz_matrix(primaries)).T)


def bt709_to_linear(values):
    return np.where(
        values < 0.0812428582986,
        values / 4.5,
        ((values + 0.0992968268) / 1.0992968268) ** (1 / 0.45),
    )


def difference(data, wanted):
    pixels = read(data).pixels
    return np.abs(pixels / np.iinfo(pixels.dtype).max - wanted).max() * 255


PNG_SIGNS = {
    "gamma 1": ([gama(100000)], images.SRGB_PRIMARIES, lambda v: v),
    "gamma 1.8": ([gama(55556)], images.SRGB_PRIMARIES, lambda v: v**1.8),
    "gamma and primaries": ([gama(50000), chrm(P3_CHRM)], images.DISPLAY_P3_PRIMARIES, np.square),
    "primaries alone": ([chrm(P3_CHRM)], images.DISPLAY_P3_PRIMARIES, images.srgb_to_linear),
    "cicp p3": ([cicp(12, 13, 0, 1)], images.DISPLAY_P3_PRIMARIES, images.srgb_to_linear),
    "cicp 2020": ([cicp(9, 14, 0, 1)], BT2020, bt709_to_linear),
    "cicp 709": ([cicp(1, 1, 0, 1)], images.SRGB_PRIMARIES, bt709_to_linear),
    "cicp linear": ([cicp(1, 8, 0, 1)], images.SRGB_PRIMARIES, lambda v: v),
    "cicp 2.2": ([cicp(1, 4, 0, 1)], images.SRGB_PRIMARIES, lambda v: v**2.2),
    "cicp first": (
        [gama(100000), (b"sRGB", b"\0"), cicp(12, 13, 0, 1)],
        images.DISPLAY_P3_PRIMARIES,
        images.srgb_to_linear,
    ),
    "cicp says nothing": ([cicp(2, 2, 0, 1), gama(100000)], images.SRGB_PRIMARIES, lambda v: v),
    "srgb before gamma": (
        [gama(100000), chrm(P3_CHRM), (b"sRGB", b"\0")],
        images.SRGB_PRIMARIES,
        images.srgb_to_linear,
    ),
    "gamma of srgb": (
        [gama(45455), chrm(SRGB_CHRM)],
        images.SRGB_PRIMARIES,
        images.srgb_to_linear,
    ),
    "primaries on a line": (
        [chrm((31270, 32900, 10000, 10000, 20000, 20000, 30000, 30000))],
        images.SRGB_PRIMARIES,
        images.srgb_to_linear,
    ),
    "gamma 0": ([gama(0)], images.SRGB_PRIMARIES, images.srgb_to_linear),
}


@pytest.mark.parametrize("name", PNG_SIGNS)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_png_chunks_are_followed_in_their_order(name, dtype):
    chunks, primaries, to_linear = PNG_SIGNS[name]
    pixels = soft_scene(dtype)
    wanted = expected(pixels, primaries, to_linear)
    assert difference(with_chunks(pixels, *chunks), wanted) < (1.5 if dtype == np.uint8 else 0.5)


def test_cicp_goes_before_a_profile_and_a_profile_before_the_rest():
    pixels = soft_scene(np.uint16)
    data = images.png16_with_chunks(pixels, icc=P3_ICC)
    p3 = expected(pixels, images.DISPLAY_P3_PRIMARIES, images.srgb_to_linear)
    added = images.png_chunk(*gama(100000))
    assert difference(data[:33] + added + data[33:], p3) < 0.5
    added = images.png_chunk(*cicp(1, 13, 0, 1))
    np.testing.assert_array_equal(read(data[:33] + added + data[33:]).pixels, pixels)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_narrow_range_is_widened(dtype):
    full = soft_scene(dtype)
    scale = 1 if dtype == np.uint8 else 256
    unit = full / np.iinfo(dtype).max
    narrow = np.round((16 + 219 * unit) * scale).astype(dtype)
    result = read(with_chunks(narrow, cicp(1, 13, 0, 0)))
    assert np.abs(result.pixels / np.iinfo(dtype).max - unit).max() * 255 < 1.5
    assert result.metadata.profile is None


@pytest.mark.parametrize(("transfer", "name"), [(16, "PQ"), (18, "HLG")])
def test_hdr_transfers_are_refused_by_name(transfer, name):
    with pytest.raises(UnsupportedImageError, match=rf"{name} \(HDR\): export"):
        read(with_chunks(images.scene(), cicp(9, transfer, 0, 1)))
    profile = bytearray(P3_ICC)
    place = len(profile)
    count = struct.unpack_from(">I", profile, 128)[0]
    for index in range(count):  # Every offset moves by the new entry.
        offset = 132 + 12 * index + 4
        struct.pack_into(">I", profile, offset, struct.unpack_from(">I", profile, offset)[0] + 12)
    struct.pack_into(">I", profile, 128, count + 1)
    entry = struct.pack(">4sII", b"cicp", place + 12, 12)
    profile[132 + 12 * count : 132 + 12 * count] = entry
    profile += b"cicp\0\0\0\0" + bytes([9, transfer, 0, 1])
    struct.pack_into(">I", profile, 0, len(profile))
    with pytest.raises(UnsupportedImageError, match=name):
        read(images.with_icc(bytes(profile), form="jpeg"))


@pytest.mark.parametrize("values", [(9, 14, 9, 1), (10, 13, 0, 1), (1, 17, 0, 1), (200, 13, 0, 1)])
def test_a_cicp_that_is_not_rgb_is_refused(values):
    with pytest.raises(UnsupportedImageError, match="cICP"):
        read(with_chunks(images.scene(), cicp(*values)))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_grey_png_follows_its_gamma(dtype):
    grey = images.scene(dtype=dtype)[..., 0].copy()
    result = read(with_chunks(grey, gama(100000)))
    wanted = images.linear_to_srgb(grey / np.iinfo(dtype).max)[..., None]
    assert np.abs(result.pixels / np.iinfo(dtype).max - wanted).max() * 255 < 1
    assert result.metadata.profile[16:20] == b"RGB "


def test_16_bits_keep_their_levels_through_a_conversion():
    ramp = np.linspace(0, 65535, 65536).astype(np.uint16)
    pixels = np.repeat(ramp, 3).reshape(256, 256, 3)
    for chunks in ([gama(100000)], [cicp(12, 13, 0, 1)], [cicp(9, 14, 0, 1)]):
        assert len(np.unique(read(with_chunks(pixels, *chunks)).pixels[..., 1])) > 40_000


# EXIF and DCF


def exif_block(*, space=None, mark=None, gamma=None, primaries=None, white=None):
    exif = Image.Exif()
    inner = exif.get_ifd(0x8769)
    if space is not None:
        inner[0xA001] = space
    if gamma is not None:
        inner[0xA500] = gamma
    if mark is not None:
        inner[0xA005] = {1: mark}
    if primaries is not None:
        exif[319] = tuple(value for point in primaries for value in point)
    if white is not None:
        exif[318] = white
    return exif.tobytes()


def as_adobe_rgb():
    return expected(soft_scene(), images.ADOBE_RGB_PRIMARIES, lambda v: v**images.ADOBE_RGB_GAMMA)


EXIF_SIGNS = {
    "r03": (exif_block(space=65535, mark="R03"), as_adobe_rgb),
    "r03 alone": (exif_block(mark="R03"), as_adobe_rgb),
    "space 2": (exif_block(space=2), as_adobe_rgb),
    "r03 with numbers": (
        exif_block(
            space=65535,
            mark="R03",
            gamma=2.2,
            primaries=images.ADOBE_RGB_PRIMARIES,
            white=images.D65,
        ),
        as_adobe_rgb,
    ),
    "r98": (exif_block(space=1, mark="R98"), None),
    "srgb despite r03": (exif_block(space=1, mark="R03"), None),
    "uncalibrated": (exif_block(space=65535), None),
    "uncalibrated r98": (exif_block(space=65535, mark="R98"), None),
    "numbers": (
        exif_block(space=65535, gamma=1.8, primaries=images.DISPLAY_P3_PRIMARIES, white=images.D65),
        lambda: expected(soft_scene(), images.DISPLAY_P3_PRIMARIES, lambda v: v**1.8),
    ),
    "gamma": (
        exif_block(space=65535, gamma=1.8),
        lambda: expected(soft_scene(), images.SRGB_PRIMARIES, lambda v: v**1.8),
    ),
}


@pytest.mark.parametrize("name", EXIF_SIGNS)
@pytest.mark.parametrize("form", ["png", "webp", "jpeg", "tiff"])
def test_exif_says_the_colours_of_a_file_without_a_profile(name, form):
    exif, wanted = EXIF_SIGNS[name]
    if form == "tiff" and "r03" in name:
        pytest.skip("Pillow writes the place of the mark wrongly into a TIFF; see the next test")
    options = {"webp": {"lossless": True}, "jpeg": {"quality": 98, "subsampling": 0}}
    result = read(images.encoded(form, pixels=soft_scene(), exif=exif, **options.get(form, {})))
    wanted = soft_scene() / 255 if wanted is None else wanted()
    step = np.abs(result.pixels / 255 - wanted) * 255
    assert step.mean() < 1
    assert form == "jpeg" or step.max() < 1.5
    assert (result.metadata.profile is None) == (name in EXIF_UNCHANGED)


EXIF_UNCHANGED = {"r98", "srgb despite r03", "uncalibrated", "uncalibrated r98"}


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("big", [False, True])
def test_a_tiff_tells_its_dcf_mark(order, big):
    file = io.BytesIO()
    tifffile.imwrite(
        file,
        soft_scene(),
        photometric="rgb",
        byteorder=order,
        bigtiff=big,
        extratags=[(0x876A, 16 if big else 4, 1, 0x7EADBEEF, True)],
    )
    data = bytearray(file.getvalue())
    place = len(data)
    at = data.index(struct.pack(order + ("Q" if big else "I"), 0x7EADBEEF))
    # The writer keeps the tag of the EXIF directory for itself.
    struct.pack_into(order + "H", data, at - (12 if big else 8), 0x8769)
    struct.pack_into(order + ("Q" if big else "I"), data, at, place)
    count, entry = ("Q", "HHQQ") if big else ("H", "HHII")
    directory_bytes = struct.calcsize(order + count) + struct.calcsize(order + entry)
    data += struct.pack(order + count, 1)
    data += struct.pack(order + entry, 0xA005, 16 if big else 4, 1, place + directory_bytes)
    data += struct.pack(order + count, 1)
    data += struct.pack(f"{order}{entry[:-1]}4s", 1, 2, 4, b"R03\0") + bytes(8)
    assert np.abs(read(bytes(data)).pixels / 255 - as_adobe_rgb()).max() * 255 < 1.5


@pytest.mark.parametrize("form", ["jpeg", "png", "webp", "tiff"])
def test_a_profile_goes_before_exif(form):
    options = {"lossless": True} if form == "webp" else {}
    pixels = soft_scene()
    data = images.encoded(
        form, pixels=pixels, icc_profile=SRGB_ICC, exif=exif_block(mark="R03"), **options
    )
    assert np.abs(read(data).pixels.astype(int) - pixels).max() <= (12 if form == "jpeg" else 0)


def test_damaged_exif_never_costs_the_picture():
    block = exif_block(space=65535, mark="R03", gamma=1.8, primaries=BT2020)
    for mutated in images.mutations(block, seed=4, count=200):
        assert read(images.encoded("png", exif=mutated)).pixels.shape == (48, 64, 3)


# TIFF


def test_a_tiff_follows_its_primaries_and_transfer_function():
    pixels = soft_scene()
    curve = np.round((np.arange(256) / 255) ** 1.6 * 65535).astype(np.uint16)
    file = io.BytesIO()
    points = np.array(images.DISPLAY_P3_PRIMARIES).ravel()
    rationals = [int(number) for value in points for number in (round(value * 10000), 10000)]
    tags = [
        (301, "H", 768, np.tile(curve, 3).tolist(), True),
        (318, "2I", 2, (3127, 10000, 3290, 10000), True),
        (319, "2I", 6, rationals, True),
    ]
    tifffile.imwrite(file, pixels, photometric="rgb", extratags=tags)
    wanted = expected(pixels, images.DISPLAY_P3_PRIMARIES, lambda v: v**1.6)
    assert difference(file.getvalue(), wanted) < 1.5


# A second colour-managed conversion


@pytest.mark.parametrize("form", ["jpeg", "png", "webp", "tiff"])
@pytest.mark.parametrize("profile", [P3_ICC, ADOBE_ICC], ids=["p3", "adobe"])
def test_profiles_are_followed_as_pillow_follows_them(form, profile):
    data = images.with_icc(profile, form=form, pixels=soft_scene())
    picture = Image.open(io.BytesIO(data)).convert("RGB")
    converted = ImageCms.profileToProfile(
        picture,
        ImageCms.ImageCmsProfile(io.BytesIO(profile)),
        ImageCms.createProfile("sRGB"),
        renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
    )
    result = read(data)
    step = np.abs(result.pixels - np.asarray(converted).astype(int))
    assert step.max() <= 3
    assert step.mean() < 0.5
    assert result.metadata.profile == profile


@pytest.mark.parametrize("chunks", [[gama(55556), chrm(P3_CHRM)], [cicp(9, 14, 0, 1)]])
def test_the_profile_that_is_told_gives_the_same_colours_in_pillow(chunks):
    pixels = soft_scene()
    result = read(with_chunks(pixels, *chunks))
    converted = ImageCms.profileToProfile(
        Image.fromarray(pixels),
        ImageCms.ImageCmsProfile(io.BytesIO(result.metadata.profile)),
        ImageCms.createProfile("sRGB"),
        renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
    )
    assert np.abs(result.pixels - np.asarray(converted).astype(int)).max() <= 2


def test_a_cmyk_profile_is_not_told_and_a_grey_one_is_followed():
    assert read(images.jpeg_cmyk()).metadata.profile is None
    grey = images.scene()[..., 0].copy()
    profile = colour_grey(1.0)
    for form in ("PNG", "TIFF", "JPEG"):
        result = read(images.save(grey, form, icc_profile=profile))
        assert result.metadata.profile is None
        wanted = images.linear_to_srgb(grey / 255)[..., None]
        assert np.abs(result.pixels / 255 - wanted).mean() * 255 < 2


def test_a_huge_profile_is_followed_but_not_told():
    huge = P3_ICC + bytes(5 << 20)
    huge = struct.pack(">I", len(huge)) + huge[4:]
    result = read(images.with_icc(huge, pixels=soft_scene()))
    assert result.metadata.profile is None
    p3 = read(images.with_icc(P3_ICC, pixels=soft_scene()))
    np.testing.assert_array_equal(result.pixels, p3.pixels)


def colour_grey(gamma):
    from expofuse.files.reading.colours.icc import build_grey_profile

    return build_grey_profile(Curve(gamma))


def test_built_profiles_are_valid_for_littlecms():
    profile = build_rgb_profile(Primaries(*images.DISPLAY_P3_PRIMARIES), (SRGB_CURVE,) * 3)
    opened = ImageCms.ImageCmsProfile(io.BytesIO(profile)).profile
    np.testing.assert_allclose(opened.red_primary[1][:2], (0.6800, 0.3200), atol=0.02)
    assert opened.xcolor_space.strip() == "RGB"
    assert is_sound(Primaries(*images.SRGB_PRIMARIES))
    assert not is_sound(Primaries((0.1, 0.1), (0.2, 0.2), (0.3, 0.3)))
    assert not is_sound(Primaries((0.64, 0.0), (0.30, 0.60), (0.15, 0.06)))


def test_profiles_are_judged_once_and_the_verdicts_are_bounded(monkeypatch):
    monkeypatch.setattr(colour, "_verdicts", type(colour._verdicts)())
    probed = []
    probe = colour._probe
    monkeypatch.setattr(colour, "_probe", lambda *args: probed.append(1) or probe(*args))
    for _ in range(3):
        read(images.with_icc(P3_ICC, form="jpeg"))
    assert len(probed) == 1
    for gamma in np.linspace(1.0, 2.0, 70):
        icc = images.icc_profile(images.SRGB_PRIMARIES, gamma=float(gamma))
        read(images.with_icc(icc, pixels=images.scene(2, 2)))
    assert len(colour._verdicts) == 64


# JPEG's own ways


def test_a_jpeg_of_rgb_is_not_taken_for_ycbcr():
    pixels = soft_scene()
    data = images.encoded("jpeg", pixels=pixels, quality=98, keep_rgb=True)
    assert np.abs(read(data).pixels.astype(int) - pixels).max() <= 4


@pytest.mark.parametrize("icc", [None, P3_ICC])
def test_a_turned_jpeg_with_a_profile_is_the_upright_one_turned(icc):
    options = {"icc_profile": icc} if icc else {}
    pixels = images.scene(300, 40)
    upright = read(images.encoded("jpeg", pixels=pixels, **options)).pixels
    turned = read(images.with_orientation(6, pixels=pixels, **options)).pixels
    np.testing.assert_array_equal(turned, np.rot90(upright, -1))


@pytest.mark.parametrize("orientation", [1, 6])
@pytest.mark.parametrize("icc", [None, P3_ICC])
def test_a_jpeg_goes_into_a_block_of_16_bits(orientation, icc):
    options = {"icc_profile": icc} if icc else {}
    data = images.with_orientation(orientation, pixels=images.scene(300, 40), **options)
    narrow = read(data).pixels
    block = np.zeros((*narrow.shape[:2], 3), np.uint16)
    decode(data, limits=LIMITS, out=block)
    np.testing.assert_array_equal(block, narrow.astype(np.uint16) * 257)


@pytest.mark.parametrize("orientation", [1, 8])
def test_a_grey_jpeg_is_turned_and_promoted(orientation):
    grey = images.scene(30, 40)[..., 0].copy()
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = images.save(grey, "JPEG", quality=95, exif=exif)
    narrow = read(data).pixels
    block = np.zeros(narrow.shape, np.uint16)
    decode(data, limits=LIMITS, out=block)
    np.testing.assert_array_equal(block, narrow.astype(np.uint16) * 257)
    assert narrow.shape == ((40, 30, 3) if orientation == 8 else (30, 40, 3))


# The shared cases


@pytest.mark.parametrize(
    ("case", "reference", "mean", "largest"),
    [
        ("dcf-adobergb-{}.jpg", "ref-{}.jpg", 1.5, 255),
        ("samsung-sos-{}.jpg", "ref-{}.jpg", 0, 0),
        ("jpeg-extraneous-18-{}.jpg", "ref-{}.jpg", 0, 0),
        ("png16-linear-gama-{}.png", "ref16-{}.png", 2, 2),
        ("png8-p3-cicp-{}.png", "ref16-{}.png", 5, 5),
    ],
)
@pytest.mark.parametrize("exposure", ["under", "over"])
@pytest.mark.skipif(not CASES.is_dir(), reason="the folder shared/cases is not beside the checkout")
def test_shared_cases_are_read_as_their_references(case, reference, mean, largest, exposure):
    pair = [read((CASES / name.format(exposure)).read_bytes()).pixels for name in (case, reference)]
    first, second = (one / np.iinfo(one.dtype).max * 255 for one in pair)
    assert np.abs(first - second).mean() <= mean
    assert np.abs(first - second).max() <= largest
