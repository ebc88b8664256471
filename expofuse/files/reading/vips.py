"""Opens picture files by libvips: one loader for each format, every other one blocked."""

import pyvips

from expofuse.errors import ImageDecodeError, UnsupportedImageError
from expofuse.files.headers import ImageFormat, ImageHeader

# libjpeg tells of missing data in the middle of a file by a warning only, and fills it with grey.
# The other three loaders warn about harmless things such as unknown tags.
_FAIL_ON: dict[ImageFormat, str] = {
    "jpeg": "warning",
    "png": "error",
    "webp": "error",
    "tiff": "error",
}
_LOADER_CLASSES = ("Jpeg", "Png", "Webp", "Tiff")

PROFILE, EXIF = "icc-profile-data", "exif-data"

VIPS_FAILURES = (pyvips.Error, UnicodeDecodeError)
"""The latter is pyvips' answer to a message of libvips that quotes the file."""


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


def load(data: bytes | bytearray | memoryview, header: ImageHeader) -> pyvips.Image:
    """Open a file by the loader of its sniffed format; pixels are decoded when they are read.

    Raises:
        ImageDecodeError: The decoder finds another size than the header.
        UnsupportedImageError: It finds another depth.
        pyvips.Error, UnicodeDecodeError: It refuses the file.
    """
    open_file = getattr(pyvips.Image, f"{header.format}load_buffer")
    image = open_file(data, access="sequential", fail_on=_FAIL_ON[header.format])
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


def read_blob(image: pyvips.Image, name: str) -> bytes | None:
    """A field of an opened image, None where it has none."""
    if image.get_typeof(name) == 0:
        return None
    value: bytes = image.get(name)
    return value


def raise_if_out_of_memory(error: Exception) -> None:
    """Raise `MemoryError` where that is what libvips, or a library below it, ran out of."""
    # Each library below libvips has words of its own for it.
    if any(word in str(error).lower() for word in ("memory", "allocate")):
        raise MemoryError from error
