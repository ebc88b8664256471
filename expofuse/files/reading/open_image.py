"""Opens a picture file by the library that reads its format."""

import pyvips

from expofuse.errors import ImageDecodeError, UnsupportedImageError
from expofuse.files.headers import ImageHeader
from expofuse.files.reading.heic import open_heic
from expofuse.files.reading.jxl import open_jxl
from expofuse.files.reading.png import drop_texts
from expofuse.files.reading.vips import load

Data = bytes | bytearray | memoryview


def open_image(data: Data, header: ImageHeader) -> pyvips.Image:
    """Open a file; of most formats pixels are decoded when they are read.

    Args:
        data: The whole file, untrusted.
        header: Its sniffed header.

    Returns:
        As stored, with its profile, EXIF block and orientation as libvips names them.

    Raises:
        ImageDecodeError: It is damaged, or its decoder finds another size than the header.
        UnsupportedImageError: It has another depth, or its library is not installed.
        pyvips.Error, UnicodeDecodeError: libvips refuses it.
    """
    if header.format == "bmp":
        return _open_bmp(data, header)
    if header.format == "heic":
        return open_heic(data, header)
    if header.format == "jxl":
        return open_jxl(data, header)
    return load(drop_texts(data) if header.format == "png" else data, header)


def _open_bmp(data: Data, header: ImageHeader) -> pyvips.Image:
    import cv2
    import numpy as np

    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)
    if pixels is None or pixels.shape != (header.height_px, header.width_px, 3):
        raise ImageDecodeError(
            "expected a complete bmp file, got a truncated or damaged one: copy it again"
        )
    if pixels.dtype != np.uint8:
        raise UnsupportedImageError(f"expected a BMP of 8 bits, got {pixels.dtype}")
    image = pyvips.Image.new_from_memory(pixels, header.width_px, header.height_px, 3, "uchar")
    return image.copy(interpretation="srgb")
