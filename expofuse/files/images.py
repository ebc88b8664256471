"""Decodes image files to RGB pixels and encodes pixels to files.

libvips does the work. It reads strips, so that decoding needs memory for a strip and not for the
picture; it keeps 16 bits through ICC and orientation; and it refuses truncated files. The sniffed
format chooses the loader, and `configure_libvips` blocks every other one. The pixels of an ordinary
JPEG go past it, see `expofuse.files.jpeg`.
"""

from dataclasses import dataclass

import numpy as np
import pyvips
from numpy.typing import NDArray

from expofuse.errors import EncodeError, ImageDecodeError, UnsupportedImageError
from expofuse.files.exif import clean_exif
from expofuse.files.formats import EncodeOptions, ImageMetadata, check_encodable
from expofuse.files.headers import ImageFormat, ImageHeader, PixelLimits, check_size, sniff
from expofuse.files.jpeg import read_scan
from model.exposure import UINT8_TO_UINT16, Pixels

STRIP_ROWS = 256

PNG_COMPRESSION, PNG_FILTER = 3, "sub"
"""On 12 megapixels 0.25 s and 13.1 MB; level 6 takes 0.84 s for 5 % less."""
TIFF_COMPRESSION_LEVEL = 3
WEBP_EFFORT = 2
"""On 12 megapixels 0.4 s; the usual 4 takes 0.9 s for 2.5 % less."""

# libjpeg tells of missing data in the middle of a file by a warning only, and fills it with grey.
# The other three loaders warn about harmless things such as unknown tags.
_FAIL_ON: dict[ImageFormat, str] = {
    "jpeg": "warning",
    "png": "error",
    "webp": "error",
    "tiff": "error",
}
_LOADER_CLASSES = ("Jpeg", "Png", "Webp", "Tiff")
_COLOUR_BANDS = {"b-w": 1, "grey16": 1, "srgb": 3, "rgb": 3, "rgb16": 3, "cmyk": 4}
_PROFILE, _SEVERAL_SCANS = "icc-profile-data", "jpeg-multiscan"
_FAILURES = (pyvips.Error, UnicodeDecodeError)
"""The latter is pyvips' answer to a message of libvips that quotes the file."""
_SRGB_TOLERANCE = 65535 // 255
"""A profile that moves no colour by more than one step of 8 bits is taken for sRGB."""


@dataclass(frozen=True, slots=True, eq=False)
class DecodedPixels:
    """A decoded image in this process.

    Attributes:
        pixels: RGB in sRGB, upright. Shape (H, W, 3), uint8 or uint16, C-contiguous.
        metadata: What travels on to the result.
    """

    pixels: Pixels
    metadata: ImageMetadata


def configure_libvips() -> None:
    """Turn off libvips' cache and threads, and every loader but the four; once per process.

    The pool has a process for each core, and no two calls share an image.
    """
    pyvips.cache_set_max(0)
    pyvips.concurrency_set(1)
    # It writes warnings, which may quote the file, to the log, and stumbles over those that are
    # not UTF-8. What remains is libvips' own handler, silent under VIPS_WARNING.
    pyvips._remove_log_handler()
    pyvips.block_untrusted_set(True)
    pyvips.operation_block_set("VipsForeignLoad", True)
    for name in _LOADER_CLASSES:
        pyvips.operation_block_set(f"VipsForeignLoad{name}Buffer", False)


def decode(
    data: bytes | bytearray | memoryview,
    *,
    limits: PixelLimits,
    out: Pixels | None = None,
    untagged: bytes | None = None,
) -> DecodedPixels:
    """Decode an image to upright RGB pixels in sRGB.

    Orientation is applied, ICC profiles are converted to sRGB (relative colorimetric, 16 bits
    kept; a damaged profile is ignored), grey becomes RGB, CMYK is converted. Alpha is dropped, not
    composited: a photograph's alpha is an editor's mask, and the fusion needs the pixels below.

    Args:
        data: The whole file, untrusted.
        limits: How large it may be.
        out: Where to put the pixels: as many samples as the image has, of any shape,
            C-contiguous. A uint16 array takes images of 8 bits too, times 257. Without it an array
            of the image's own depth is made.
        untagged: ICC profile of an image that carries none; None takes it for sRGB.

    Returns:
        The pixels, a view of `out` if that was given, and the metadata.

    Raises:
        MediaTypeError, UnsupportedImageError, PixelLimitError: see `sniff` and `check_size`.
        ImageDecodeError: The file is truncated or damaged.
    """
    header = sniff(data)
    check_size(header, limits)
    try:
        image = _load(data, header)
        metadata = ImageMetadata(_read_exif(image))
        orientation = _read_orientation(image)
        if untagged is not None:
            image = _with_profile(image, untagged)
        stored = _drop_extra_bands(image)
        image = _to_srgb(stored, bits=header.bits)
        pixels = _oriented_output(header, orientation, out)
        is_ordinary = image is stored and orientation == 1 and _has_one_scan(image)
        if not (is_ordinary and read_scan(data, pixels)):
            _copy_strips(_to_three_bands(image), _stored_view(pixels, orientation))
    except _FAILURES as error:
        _raise_if_out_of_memory(error)
        raise ImageDecodeError(
            f"expected a complete {header.format} file, got a truncated or damaged one"
        ) from error
    return DecodedPixels(pixels, metadata)


def read_profile(data: bytes | bytearray | memoryview) -> bytes | None:
    """The ICC profile that an image carries, None where it carries none.

    Raises:
        MediaTypeError, UnsupportedImageError: see `sniff`.
        ImageDecodeError: The header is truncated or damaged.
    """
    header = sniff(data)
    try:
        image = _load(data, header)
    except _FAILURES as error:
        raise ImageDecodeError(
            f"expected a complete {header.format} header, got a truncated or damaged one"
        ) from error
    if image.get_typeof(_PROFILE) == 0:
        return None
    profile: bytes = image.get(_PROFILE)
    return profile


def to_8_bit(pixels: Pixels) -> NDArray[np.uint8]:
    """Reduce uint16 to uint8 by rounding x / 257 to the nearest; uint8 stays as it is.

    Example:
        >>> to_8_bit(np.array([0, 128, 129, 65535], np.uint16)).tolist()
        [0, 0, 1, 255]
    """
    if pixels.dtype == np.uint8:
        return np.asarray(pixels, np.uint8)
    reduced = np.empty(pixels.shape, np.uint8)
    for top in range(0, pixels.shape[0], STRIP_ROWS):
        strip = pixels[top : top + STRIP_ROWS].astype(np.uint32)
        # 257 is odd, so x / 257 is never half-way: adding its half rounds to the nearest.
        reduced[top : top + STRIP_ROWS] = (strip + UINT8_TO_UINT16 // 2) // UINT8_TO_UINT16
    return reduced


def encode(pixels: Pixels, *, options: EncodeOptions, metadata: ImageMetadata) -> bytes:
    """Encode RGB pixels, tagged as sRGB.

    16 bits become 8 by rounding x / 257 to the nearest, where the format or the options ask for 8.
    EXIF is written to JPEG, PNG and WebP; the TIFF writer has no place for it.

    Args:
        pixels: RGB in sRGB. Shape (H, W, 3), uint8 or uint16.
        options: Format, quality and depth.
        metadata: Of the under exposure.

    Returns:
        The file.

    Raises:
        OptionError: The format cannot meet the options for this size.
        EncodeError: The encoder failed.
    """
    height_px, width_px = pixels.shape[:2]
    check_encodable(options, width_px=width_px, height_px=height_px)
    bits = options.bits or (16 if pixels.dtype == np.uint16 else 8)
    if options.format in ("jpeg", "webp"):
        bits = 8
    samples = np.ascontiguousarray(_to_depth(pixels, bits))
    image = pyvips.Image.new_from_memory(
        samples, width_px, height_px, 3, "ushort" if bits == 16 else "uchar"
    ).copy(interpretation="rgb16" if bits == 16 else "srgb")
    try:
        if metadata.exif is not None and options.format != "tiff":
            try:
                return _save(_with_exif(image, metadata.exif), options)
            except _FAILURES:  # Damaged EXIF costs the client the EXIF, not the picture.
                return _save(image, options)
        return _save(image, options)
    except _FAILURES as error:
        _raise_if_out_of_memory(error)
        raise EncodeError(f"expected {options.format} to be written, got a failure") from error


def _load(data: bytes | bytearray | memoryview, header: ImageHeader) -> pyvips.Image:
    load = getattr(pyvips.Image, f"{header.format}load_buffer")
    image = load(data, access="sequential", fail_on=_FAIL_ON[header.format])
    if (image.width, image.height) != (header.width_px, header.height_px):
        raise ImageDecodeError(
            f"expected {header.width_px}x{header.height_px} pixels as in the header, "
            f"got {image.width}x{image.height}"
        )
    if image.format != ("ushort" if header.bits == 16 else "uchar"):
        raise UnsupportedImageError(
            f"expected unsigned integers of {header.bits} bits, got {image.format}"
        )
    return image


def _read_exif(image: pyvips.Image) -> bytes | None:
    if image.get_typeof("exif-data") == 0:
        return None
    return clean_exif(image.get("exif-data"))


def _read_orientation(image: pyvips.Image) -> int:
    if image.get_typeof("orientation") == 0:
        return 1
    orientation = int(image.get("orientation"))
    return orientation if 1 <= orientation <= 8 else 1


def _drop_extra_bands(image: pyvips.Image) -> pyvips.Image:
    bands = _COLOUR_BANDS.get(image.interpretation)
    if bands is None or image.bands < bands:
        raise UnsupportedImageError(
            f"expected grey, RGB or CMYK, got {image.interpretation} of {image.bands} channels"
        )
    return image.extract_band(0, n=bands) if image.bands > bands else image


def _to_srgb(image: pyvips.Image, *, bits: int) -> pyvips.Image:
    """Convert to grey or RGB in sRGB; the image itself where nothing is to be done."""
    if image.get_typeof(_PROFILE) != 0:
        try:
            if image.bands != 3 or not _is_srgb(image.get(_PROFILE)):
                return _convert_profile(image, bits=bits)
        except _FAILURES:  # A damaged profile, or one for another kind of image.
            image = image.copy()
            image.remove(_PROFILE)
    if image.bands == 4:
        return image.icc_transform("srgb", input_profile="cmyk", depth=bits)
    return image


def _to_three_bands(image: pyvips.Image) -> pyvips.Image:
    return image.bandjoin([image, image]) if image.bands == 1 else image


def _has_one_scan(image: pyvips.Image) -> bool:
    """Whether an image comes from a JPEG that can be decoded from top to bottom.

    A file may have any number of scans of the whole picture; libvips bounds them.
    """
    return image.get_typeof(_SEVERAL_SCANS) != 0 and not image.get(_SEVERAL_SCANS)


def _convert_profile(image: pyvips.Image, *, bits: int) -> pyvips.Image:
    if bits == 8:
        return image.icc_transform("srgb", embedded=True, intent="relative", depth=8)
    # At 16 bits the direct way goes through an interpolated table and misses dark channels of
    # saturated colours by 9/255; by way of CIELAB in float it is within 2/255, for ten times the
    # time.
    in_lab = image.icc_import(embedded=True, intent="relative", pcs="lab")
    return in_lab.icc_export(output_profile="srgb", intent="relative", depth=16)


def _is_srgb(profile: bytes) -> bool:
    steps = np.linspace(0, 65535, 6).round().astype(np.uint16)
    colours = np.ascontiguousarray(np.stack(np.meshgrid(steps, steps, steps), axis=-1))
    probe = pyvips.Image.new_from_memory(colours, 36, 6, 3, "ushort").copy(interpretation="rgb16")
    probe.set_type(pyvips.GValue.blob_type, _PROFILE, profile)
    converted = _convert_profile(probe, bits=16)
    if converted.bands != 3:
        return False
    result = np.frombuffer(converted.write_to_memory(), np.uint16).reshape(colours.shape)
    return bool(np.abs(result.astype(np.int32) - colours).max() <= _SRGB_TOLERANCE)


def _oriented_output(header: ImageHeader, orientation: int, out: Pixels | None) -> Pixels:
    height_px, width_px = header.height_px, header.width_px
    if orientation >= 5:
        height_px, width_px = width_px, height_px
    if out is None:
        return _empty((height_px, width_px, 3), header.bits)
    if out.size != header.pixels * 3 or (header.bits == 16 and out.dtype != np.uint16):
        raise ValueError(
            f"expected room for {header.pixels * 3} samples of {header.bits} bits, "
            f"got {out.size} of {out.dtype}"
        )
    return out.reshape(height_px, width_px, 3)


def _empty(shape: tuple[int, ...], bits: int) -> Pixels:
    return np.empty(shape, np.uint16) if bits == 16 else np.empty(shape, np.uint8)


def _stored_view(pixels: Pixels, orientation: int) -> Pixels:
    """View upright pixels in the order in which the file stores them (EXIF 2.32, 4.6.4 A)."""
    match orientation:
        case 2:
            return pixels[:, ::-1]
        case 3:
            return pixels[::-1, ::-1]
        case 4:
            return pixels[::-1]
        case 5:
            return pixels.transpose(1, 0, 2)
        case 6:
            return np.rot90(pixels, 1)
        case 7:
            return pixels[::-1, ::-1].transpose(1, 0, 2)
        case 8:
            return np.rot90(pixels, -1)
        case _:
            return pixels


def _copy_strips(image: pyvips.Image, target: Pixels) -> None:
    region = pyvips.Region.new(image)
    scale = UINT8_TO_UINT16 if image.format == "uchar" and target.dtype == np.uint16 else 1
    source_type = np.uint8 if image.format == "uchar" else np.uint16
    for top in range(0, image.height, STRIP_ROWS):
        rows = min(STRIP_ROWS, image.height - top)
        strip = np.frombuffer(region.fetch(0, top, image.width, rows), source_type)
        strip = strip.reshape(rows, image.width, 3)
        if scale == 1:
            target[top : top + rows] = strip
        else:
            np.multiply(strip, scale, out=target[top : top + rows], dtype=np.uint16)


def _to_depth(pixels: Pixels, bits: int) -> Pixels:
    if pixels.dtype == (np.uint16 if bits == 16 else np.uint8):
        return pixels
    if bits == 16:
        return pixels.astype(np.uint16) * np.uint16(UINT8_TO_UINT16)
    return to_8_bit(pixels)


def _with_profile(image: pyvips.Image, profile: bytes) -> pyvips.Image:
    if image.get_typeof(_PROFILE) != 0:
        return image
    tagged = image.copy()
    tagged.set_type(pyvips.GValue.blob_type, _PROFILE, profile)
    return tagged


def _with_exif(image: pyvips.Image, exif: bytes) -> pyvips.Image:
    tagged = image.copy()
    tagged.set_type(pyvips.GValue.blob_type, "exif-data", exif)
    tagged.set_type(pyvips.GValue.gint_type, "orientation", 1)
    return tagged


def _save(image: pyvips.Image, options: EncodeOptions) -> bytes:
    match options.format:
        case "jpeg":
            # Optimised coding saves 2 %, but holds the whole picture: 1 to 2 GiB at 100 megapixels.
            saved = image.jpegsave_buffer(Q=options.quality, profile="srgb")
        case "png":
            saved = image.pngsave_buffer(
                compression=PNG_COMPRESSION, filter=PNG_FILTER, profile="srgb"
            )
        case "webp":
            saved = image.webpsave_buffer(Q=options.quality, effort=WEBP_EFFORT, profile="srgb")
        case "tiff":
            saved = image.tiffsave_buffer(
                compression="deflate",
                level=TIFF_COMPRESSION_LEVEL,
                predictor="horizontal",
                profile="srgb",
            )
    return bytes(saved)


def _raise_if_out_of_memory(error: Exception) -> None:
    # Each library below libvips has words of its own for it.
    if any(word in str(error).lower() for word in ("memory", "allocate")):
        raise MemoryError from error
