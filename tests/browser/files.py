"""Writes photos as cameras do, small, for the page's tests."""

import io
from pathlib import Path

import numpy as np
from PIL import Image
from PIL.TiffImagePlugin import IFDRational

from tests import images

EXIF_IFD, EXPOSURE, F_NUMBER, ISO, TAKEN, BIAS = 0x8769, 0x829A, 0x829D, 0x8827, 0x9003, 0x9204
MAKE, MODEL, ORIENTATION = 0x010F, 0x0110, 0x0112
ONE_PART_OF_A_SECOND = {-2: 240, 0: 60, 2: 15}


def photo(ev: int, *, taken: str = "2024:05:01 10:00:00", height=96, width=144, shift=0) -> bytes:
    """A JPEG whose header says at which exposure it was taken, and when."""
    exif = Image.Exif()
    exif[MAKE], exif[MODEL] = "Canon", "EOS R5"
    exif.get_ifd(EXIF_IFD).update(
        {
            EXPOSURE: IFDRational(1, ONE_PART_OF_A_SECOND[ev]),
            F_NUMBER: IFDRational(8, 1),
            ISO: 100,
            TAKEN: taken,
            BIAS: IFDRational(ev, 1),
        }
    )
    pixels = np.roll(images.scene(height, width), shift, axis=1) * 2.0 ** (ev / 2 - 1)
    picture = Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=92, exif=exif)
    return file.getvalue()


def write(folder: Path, **contents: bytes) -> list[Path]:
    """Write files; a name's last underscore stands for its dot."""
    paths = []
    for name, content in contents.items():
        stem, _, ending = name.rpartition("_")
        path = folder / f"{stem}.{ending}"
        path.write_bytes(content)
        paths.append(path)
    return paths


def bracket(folder: Path) -> list[Path]:
    """Three exposures of one scene, in an order that is neither that of names nor of brightness."""
    return write(folder, b_jpg=photo(2), a_jpg=photo(0), c_jpg=photo(-2))


def plain(folder: Path, *, width=144, height=96) -> list[Path]:
    """A pair whose headers tell nothing of the exposure; the bright one first."""
    pictures = [images.scene(height, width, gain=gain) for gain in (1.0, 0.3)]
    scenes = [images.encoded("jpeg", pixels=pixels) for pixels in pictures]
    return write(folder, one_jpg=scenes[0], two_jpg=scenes[1])
