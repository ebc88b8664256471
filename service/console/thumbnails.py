"""Makes small pictures of files for contact sheets and comparisons."""

import base64
import io
import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from expofuse.files.pillow_errors import ERRORS_OF_PILLOW

QUALITY = 80


def read_small(path: Path, side_px: int) -> Image.Image:
    """Read a picture reduced and upright.

    Pillow reads most formats quickly; what it cannot read, HEIC and raw files among it, is decoded
    as for a fusion.

    Args:
        path: The file.
        side_px: Its longer side is at most so long.

    Returns:
        Of mode RGB, without transparency.

    Raises:
        FileError: It cannot be decoded.
        OSError: It cannot be read.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(path) as image:
                image.draft("RGB", (side_px, side_px))
                upright = ImageOps.exif_transpose(image).convert("RGB")
    except FileNotFoundError:
        raise
    except ERRORS_OF_PILLOW:
        upright = _decode(path)
    upright.thumbnail((side_px, side_px), Image.Resampling.BOX)
    return upright


def write_data_url(image: Image.Image) -> str:
    """A small picture as a URL that holds all of it."""
    stream = io.BytesIO()
    image.save(stream, "jpeg", quality=QUALITY)
    return "data:image/jpeg;base64," + base64.b64encode(stream.getvalue()).decode("ascii")


def _decode(path: Path) -> Image.Image:
    from expofuse.files.pixels import to_8_bit
    from expofuse.files.reading.decode import decode
    from expofuse.kinds import OWN_FILES

    pixels = to_8_bit(decode(path.read_bytes(), limits=OWN_FILES).pixels)
    return Image.fromarray(np.ascontiguousarray(pixels))
