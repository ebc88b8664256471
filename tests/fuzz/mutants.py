"""Makes damaged files: sound ones, mutated, cut, spliced, shuffled and with absurd numbers."""

import io
import struct
from collections.abc import Callable, Iterator

import numpy as np
import pillow_heif
import pyjpegxl

from tests import images
from tests.dng import dng

EXTREMES = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF)


def _heic(pixels: np.ndarray, mode: str) -> bytes:
    picture = pillow_heif.from_bytes(mode, pixels.shape[1::-1], pixels.tobytes())

    file = io.BytesIO()
    picture.save(file, quality=60)
    return file.getvalue()


def _raw() -> bytes:
    return dng(images.srgb_to_linear(images.scene(96, 128) / 255))


SOUND: dict[str, Callable[[], bytes]] = {
    "jpeg": lambda: images.encoded("jpeg", pixels=images.scene(96, 128)),
    "jpeg, progressive": lambda: images.encoded("jpeg", progressive=True),
    "jpeg, restarts": lambda: images.encoded("jpeg", restart_marker_blocks=2),
    "jpeg, cmyk": images.jpeg_cmyk,
    "jpeg, exif": lambda: images.with_orientation(6),
    "png": lambda: images.encoded("png"),
    "png, 16 bits": images.png16,
    "png, alpha": images.png_rgba,
    "png, profile": lambda: images.with_icc(images.icc_profile(images.DISPLAY_P3_PRIMARIES)),
    "webp": lambda: images.encoded("webp"),
    "webp, lossless": lambda: images.encoded("webp", lossless=True),
    "tiff": lambda: images.encoded("tiff"),
    "tiff, 16 bits": images.tiff16,
    "tiff, jpeg": lambda: images.encoded("tiff", compression="jpeg"),
    "bigtiff": images.big_tiff,
    "avif": lambda: images.save(images.scene(), "AVIF", quality=60),
    "jxl": lambda: pyjpegxl.encode_from_numpy(images.scene(), quality=1.0),
    "jxl, lossless, 16 bits": lambda: pyjpegxl.encode_from_numpy(
        images.scene(dtype=np.uint16), lossless=True
    ),
    "jxl, boxes": lambda: pyjpegxl.encode_from_numpy(images.scene(), exif=b"MM\0*" + bytes(20)),
    "heic": lambda: _heic(images.scene(), "RGB"),
    "heic, 10 bits": lambda: _heic(images.scene(dtype=np.uint16), "RGB;16"),
    "bmp": lambda: images.save(images.scene(), "BMP"),
    "dng": _raw,
}


def make_mutants(*, seed: int, count: int) -> Iterator[tuple[str, bytes]]:
    """So many damaged files, the same for a seed, each with the name of what it was."""
    rng = np.random.default_rng(seed)
    sound = {name: make() for name, make in SOUND.items()}
    names = list(sound)
    for turn in range(count):
        name = names[turn % len(names)]
        data = sound[name]
        match int(rng.integers(0, 6)):
            case 0 | 1:
                (changed,) = images.mutations(data, seed=int(rng.integers(1 << 31)), count=1)
            case 2:
                changed = data[: int(rng.integers(0, len(data)))]
            case 3:
                other = sound[names[int(rng.integers(len(names)))]]
                changed = data[: int(rng.integers(len(data)))]
                changed += other[int(rng.integers(len(other))) :]
            case 4:
                changed = _swap_stretches(data, rng)
            case _:
                changed = _write_extremes(data, rng)
        yield name, changed


def _swap_stretches(data: bytes, rng: np.random.Generator) -> bytes:
    """Two stretches change places, as segments or boxes in the wrong order."""
    a, b, c, d = sorted(int(value) for value in rng.integers(0, len(data), 4))
    return data[:a] + data[c:d] + data[b:c] + data[a:b] + data[d:]


def _write_extremes(data: bytes, rng: np.random.Generator) -> bytes:
    """Numbers that no length, count or size should be."""
    changed = bytearray(data)
    for _ in range(int(rng.integers(1, 5))):
        form = str(rng.choice(["B", ">H", "<H", ">I", "<I"]))
        size = struct.calcsize(form)
        reach = len(changed) if rng.random() < 0.3 else min(len(changed), 600)
        at = int(rng.integers(0, max(reach - size, 1)))
        value = EXTREMES[int(rng.integers(len(EXTREMES)))] & ((1 << 8 * size) - 1)
        changed[at : at + size] = struct.pack(form, value)
    return bytes(changed)
