"""Opens picture files by libvips: one loader for each format, every other one blocked."""

import pyvips

from expofuse.errors import ImageDecodeError, UnsupportedImageError
from expofuse.files.headers import ImageHeader

# Every loader warns about harmless things such as unknown tags. libjpeg tells of damage by warnings
# too, and is asked for them elsewhere, see `expofuse.files.reading.jpeg.scan`.
_FAIL_ON = "error"
_LOADER_CLASSES = ("Jpeg", "Png", "Webp", "Tiff", "Heif")
_LOADERS = {"avif": "heif"}

PROFILE, EXIF = "icc-profile-data", "exif-data"

VIPS_FAILURES = (pyvips.Error, UnicodeDecodeError)
"""The latter is pyvips' answer to a message of libvips that quotes the file."""


def configure_libvips() -> None:
    """Turn off libvips' cache and threads, and every loader but these; once per process.

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


def load(
    data: bytes | bytearray | memoryview, header: ImageHeader, *, fail_on: str = _FAIL_ON
) -> pyvips.Image:
    """Open a file by the loader of its sniffed format; pixels are decoded when they are read.

    Raises:
        ImageDecodeError: The decoder finds another size than the header.
        UnsupportedImageError: It finds another depth.
        pyvips.Error, UnicodeDecodeError: It refuses the file.
    """
    name = _LOADERS.get(header.format, header.format)
    open_file = getattr(pyvips.Image, f"{name}load_buffer")
    image = open_file(data, access="sequential", fail_on=fail_on)
    if (image.width, image.height) != (header.width_px, header.height_px):
        raise ImageDecodeError(
            f"expected {header.width_px}x{header.height_px} pixels as in the header, "
            f"got {image.width}x{image.height}"
        )
    if header.format == "avif" and header.bits == 16:
        image = _to_full_scale(image)
    if image.format != ("ushort" if header.bits == 16 else "uchar"):
        raise UnsupportedImageError(
            f"expected unsigned integers of {header.bits} bits, got {image.format}"
        )
    return image


def _to_full_scale(image: pyvips.Image) -> pyvips.Image:
    """Samples of 10 or 12 bits, which libvips shifts to the upper end of 16, to all of them."""
    bits = image.get("bits-per-sample")
    full = ((1 << bits) - 1) << (16 - bits)
    return (image * (65535 / full)).rint().cast("ushort").copy(interpretation=image.interpretation)


def read_blob(image: pyvips.Image, name: str) -> bytes | None:
    """A field of an opened image, None where it has none."""
    if image.get_typeof(name) == 0:
        return None
    value: bytes = image.get(name)
    return value


def raise_if_out_of_memory(error: Exception) -> None:
    """Raise `MemoryError` where that is what libvips, or a library below it, ran out of."""
    # Each library below libvips has words of its own for it. libheif says the same of a file that
    # claims more items than a sound one has.
    said = str(error).lower()
    if "security limit" not in said and any(word in said for word in ("memory", "allocate")):
        raise MemoryError from error
