"""Format by depth by colour sign, in and out: each cell against colour-managed truth.

The truth is computed by formulas from the primaries and the curve (in), and by littlecms (out).
"""

import io

import cv2
import numpy as np
import pillow_heif
import pyjpegxl
import pytest
import pyvips
import tifffile
from PIL import Image, ImageCms

from expofuse.files.formats import FORMAT_DEPTHS, EncodeOptions, ImageMetadata
from expofuse.files.headers import PixelLimits, sniff
from expofuse.files.reading.decode import decode
from expofuse.files.reading.vips import configure_libvips
from expofuse.files.writing.encode import encode
from tests import images

LIMITS = PixelLimits(max_pixels=1_000_000, max_side_px=20_000)
SPACES = {
    "untagged": None,
    "sRGB": images.SRGB_PRIMARIES,
    "Display P3": images.DISPLAY_P3_PRIMARIES,
    "Adobe RGB": images.ADOBE_RGB_PRIMARIES,
}
EXACT = {"jpeg": {"quality": 100, "subsampling": 0}, "webp": {"lossless": True}}
LOSSY = ("jpeg", "avif", "heic")


@pytest.fixture(autouse=True, scope="module")
def _libvips():
    configure_libvips()


def profile_of(space):
    primaries = SPACES[space]
    if primaries is None:
        return None
    return images.icc_profile(primaries, gamma=2.2 if space == "Adobe RGB" else None)


def truth(samples, space):
    """The sRGB of samples of a space, 0..1."""
    encoded = samples / np.iinfo(samples.dtype).max
    light = encoded**2.2 if space == "Adobe RGB" else images.srgb_to_linear(encoded)
    from_space = images.rgb_to_xyz_matrix(SPACES[space] or images.SRGB_PRIMARIES)
    to_srgb = np.linalg.inv(images.rgb_to_xyz_matrix(images.SRGB_PRIMARIES))
    return images.linear_to_srgb(light @ (to_srgb @ from_space).T)


def by_pillow(form):
    def make(samples, profile):
        options = EXACT.get(form, {}) | ({} if profile is None else {"icc_profile": profile})
        if form == "avif":
            options |= {"quality": 100, "subsampling": "4:4:4"}
        return images.save(samples, form.upper(), **options)

    return make


def png_of_16_bits(samples, profile):
    return images.png16_with_chunks(samples, icc=profile)


def tiff_of_16_bits(samples, profile):
    file = io.BytesIO()
    tifffile.imwrite(file, samples, photometric="rgb", iccprofile=profile)
    return file.getvalue()


def by_pillow_heif(samples, profile):
    mode = "RGB" if samples.dtype == np.uint8 else "RGB;16"
    picture = pillow_heif.from_bytes(mode, samples.shape[1::-1], samples.tobytes())
    if profile is not None:
        picture[0].info["icc_profile"] = profile
    file = io.BytesIO()
    picture.save(file, quality=-1, chroma=444)
    return file.getvalue()


def by_pyjpegxl(samples, profile):
    return pyjpegxl.encode_from_numpy(samples, lossless=True, icc=profile)


READ = {
    ("jpeg", 8): by_pillow("jpeg"),
    ("png", 8): by_pillow("png"),
    ("png", 16): png_of_16_bits,
    ("webp", 8): by_pillow("webp"),
    ("tiff", 8): by_pillow("tiff"),
    ("tiff", 16): tiff_of_16_bits,
    ("avif", 8): by_pillow("avif"),
    ("jxl", 8): by_pyjpegxl,
    ("jxl", 16): by_pyjpegxl,
    ("heic", 8): by_pillow_heif,
    ("heic", 16): by_pillow_heif,
}


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize(("form", "bits"), READ)
def test_what_is_read(form, bits, space):
    samples = images.scene(dtype=np.uint8 if bits == 8 else np.uint16, gain=0.95)
    data = READ[form, bits](samples, profile_of(space))
    header = sniff(data)
    assert (header.format, header.bits) == (form, bits)
    found = decode(data, limits=LIMITS)
    assert found.pixels.dtype == samples.dtype
    off = np.abs(found.pixels / np.iinfo(samples.dtype).max - truth(samples, space)) * 255
    assert off.mean() < (1.2 if form in LOSSY else 0.3)
    assert off.max() < (25 if form in LOSSY else 2.5)
    kept = None if space in ("untagged", "sRGB") else profile_of(space)
    assert found.metadata.profile == kept


def read_by_others(file, form, bits):
    """Samples, 0..1, and the profile that a file carries."""
    if form == "jxl":
        said, samples = pyjpegxl.decode_to_numpy(file)
        assert samples.dtype == {8: np.uint8, 16: np.uint16}[bits]
        return samples / np.iinfo(samples.dtype).max, said.icc
    if form == "avif" and bits == 10:
        image = pyvips.Image.heifload_buffer(file)
        return image.numpy() / 65472, image.get("icc-profile-data")
    if bits == 16:
        samples = cv2.imdecode(np.frombuffer(file, np.uint8), cv2.IMREAD_UNCHANGED)[..., ::-1]
        assert samples.dtype == np.uint16
        opened = pyvips.Image.pngload_buffer if form == "png" else pyvips.Image.tiffload_buffer
        return samples / 65535, opened(file).get("icc-profile-data")
    image = Image.open(io.BytesIO(file))
    return np.asarray(image.convert("RGB")) / 255, image.info["icc_profile"]


WRITTEN = [
    (form, bits, space)
    for form, depths in FORMAT_DEPTHS.items()
    for bits in depths
    for space in ("sRGB", "Display P3", "Adobe RGB")
]


@pytest.mark.parametrize("deep", [False, True], ids=["8 in", "16 in"])
@pytest.mark.parametrize(("form", "bits", "space"), WRITTEN)
def test_what_is_written(form, bits, space, deep):
    """Kept in the space of the reference, and read back by its profile, it is the same picture."""
    pixels = images.scene(dtype=np.uint16 if deep else np.uint8, gain=0.9)
    profile = None if space == "sRGB" else profile_of(space)
    options = EncodeOptions(form, quality=100, bits=bits, subsampling="444", profile="keep")
    file = encode(pixels, options=options, metadata=ImageMetadata(profile=profile))
    samples, tagged = read_by_others(file, form, bits)
    if profile is not None:
        assert tagged == profile
    shown = ImageCms.profileToProfile(
        Image.fromarray(np.round(samples * 255).astype(np.uint8)),
        ImageCms.ImageCmsProfile(io.BytesIO(tagged)),
        ImageCms.createProfile("sRGB"),
        renderingIntent=1,
    )
    off = np.abs(np.asarray(shown) / 255 - pixels / np.iinfo(pixels.dtype).max) * 255
    assert off.mean() < (2.0 if form in ("jpeg", "webp", "avif") else 0.7)
