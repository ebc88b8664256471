"""Encoded images of every odd kind, made here and now; most functions return a file's bytes."""

import io
import struct
import zlib

import cv2
import numpy as np
import tifffile
from PIL import Image

SRGB_PRIMARIES = ((0.64, 0.33), (0.30, 0.60), (0.15, 0.06))
DISPLAY_P3_PRIMARIES = ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060))
ADOBE_RGB_PRIMARIES = ((0.64, 0.33), (0.21, 0.71), (0.15, 0.06))
ADOBE_RGB_GAMMA = 2.19921875
D65 = (0.3127, 0.3290)
# Bradford adaptation of D65 to D50, ICC.1:2022 annex E.
_D65_TO_D50 = np.array(
    [
        [1.047886, 0.022919, -0.050216],
        [0.029582, 0.990484, -0.017079],
        [-0.009252, 0.015073, 0.751678],
    ]
)


def scene(height=48, width=64, *, dtype=np.uint8, gain=1.0):
    """A smooth colour picture with structure; `gain` below 1 is a darker exposure of it."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    waves = [np.sin(x / 5 + k) * np.cos(y / 7 - k) for k in range(3)]
    unit = 0.5 + 0.4 * np.stack(waves, axis=-1) * (0.5 + 0.5 * x / width)[..., None]
    return np.round(gain * unit * np.iinfo(dtype).max).astype(dtype)


def save(image, form, **options):
    """Write a Pillow image or a uint8 array with Pillow."""
    if isinstance(image, np.ndarray):
        image = Image.fromarray(image)
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def encoded(form="png", *, pixels=None, **options):
    """An 8-bit RGB picture in one of the four formats."""
    pixels = scene() if pixels is None else pixels
    return save(pixels, form.upper(), **options)


def png16(pixels=None):
    pixels = scene(dtype=np.uint16) if pixels is None else pixels
    order = {3: [2, 1, 0], 4: [2, 1, 0, 3]}
    swapped = pixels[..., order[pixels.shape[2]]] if pixels.ndim == 3 else pixels
    return cv2.imencode(".png", swapped)[1].tobytes()


def tiff16(pixels=None, **options):
    file = io.BytesIO()
    pixels = scene(dtype=np.uint16) if pixels is None else pixels
    tifffile.imwrite(file, pixels, photometric="rgb", **options)
    return file.getvalue()


def tiff_with_directory_at_end(pixels=None):
    """Pixels first, directory last, as streaming writers do it."""
    pixels = scene() if pixels is None else pixels
    height, width = pixels.shape[:2]
    data = pixels.tobytes()
    entries = [
        (256, 3, 1, width),
        (257, 3, 1, height),
        (258, 3, 3, 8 + len(data)),
        (259, 3, 1, 1),
        (262, 3, 1, 2),
        (273, 4, 1, 8),
        (277, 3, 1, 3),
        (278, 3, 1, height),
        (279, 4, 1, len(data)),
    ]
    directory = struct.pack("<H", len(entries))
    directory += b"".join(struct.pack("<HHII", *entry) for entry in entries)
    bits = struct.pack("<3H", 8, 8, 8)
    position = 8 + len(data) + len(bits)
    return struct.pack("<2sHI", b"II", 42, position) + data + bits + directory + bytes(4)


def big_tiff():
    file = io.BytesIO()
    tifffile.imwrite(file, scene(), photometric="rgb", bigtiff=True)
    return file.getvalue()


def tiff_float(*, nan=True):
    pixels = scene().astype(np.float32) / 255
    if nan:
        pixels[3, 4, 1] = np.nan
    file = io.BytesIO()
    tifffile.imwrite(file, pixels, photometric="rgb")
    return file.getvalue()


def tiff_multi_page():
    first = Image.fromarray(scene())
    return save(first, "TIFF", save_all=True, append_images=[first])


def tiff_with_thumbnail():
    """A second page that calls itself a reduced version of the first."""
    file = io.BytesIO()
    with tifffile.TiffWriter(file) as writer:
        writer.write(scene(), photometric="rgb")
        writer.write(scene(12, 16), photometric="rgb", subfiletype=1)
    return file.getvalue()


def webp_animated():
    frames = [Image.fromarray(scene(gain=gain)) for gain in (1.0, 0.5)]
    return save(frames[0], "WEBP", save_all=True, append_images=frames[1:], duration=50)


def png_animated():
    frames = [Image.fromarray(scene(gain=gain)) for gain in (1.0, 0.5)]
    return save(frames[0], "PNG", save_all=True, append_images=frames[1:], duration=50)


def jpeg_cmyk(pixels=None):
    pixels = scene() if pixels is None else pixels
    return save(Image.fromarray(pixels).convert("CMYK"), "JPEG", quality=95)


def jpeg_with_sampling(data, factors):
    """A baseline JPEG that claims other sampling factors; its picture is garbled, but sound."""
    changed = bytearray(data)
    frame = data.index(b"\xff\xc0")
    changed[frame + 11 : frame + 11 + 3 * len(factors) : 3] = bytes(factors)
    return bytes(changed)


def jpeg_grey():
    return save(scene()[..., 0].copy(), "JPEG", quality=95)


def png_grey():
    return save(scene()[..., 0].copy(), "PNG")


def png_grey_alpha():
    grey = scene()[..., 0]
    return save(np.dstack([grey, np.full_like(grey, 128)]), "PNG")


def png_rgba(*, alpha=128):
    pixels = scene()
    return save(np.dstack([pixels, np.full_like(pixels[..., 0], alpha)]), "PNG")


def png_palette():
    return save(Image.fromarray(scene()).quantize(32), "PNG")


def png_bilevel():
    return save(Image.fromarray(scene()[..., 0].copy()).convert("1"), "PNG")


def truncated(data, *, share=0.5):
    return data[: int(len(data) * share)]


def text_renamed():
    return b"This is a text, whatever its name says.\n" * 50


def one_pixel():
    return save(np.full((1, 1, 3), 200, np.uint8), "PNG")


def with_orientation(orientation, *, form="jpeg", pixels=None, **options):
    exif = Image.Exif()
    exif[0x0112] = orientation
    exif[0x010F] = "Maker"
    exif.get_ifd(0x8769)[0x829A] = 0.01
    return encoded(form, pixels=pixels, exif=exif, **options)


def exif_with_thumbnail(*, orientation=6):
    """An EXIF block whose second directory holds a JPEG thumbnail; returns it and the thumbnail."""
    thumbnail = save(scene(24, 32), "JPEG")
    first = struct.pack(">H", 2)
    first += struct.pack(">HHII", 0x010F, 2, 6, 38) + struct.pack(
        ">HHIHH", 0x112, 3, 1, orientation, 0
    )
    second_at = 44
    second = struct.pack(">H", 3)
    second += struct.pack(">HHIHH", 0x0103, 3, 1, 6, 0)
    second += struct.pack(">HHII", 0x0201, 4, 1, second_at + 2 + 36 + 4)
    second += struct.pack(">HHII", 0x0202, 4, 1, len(thumbnail)) + bytes(4)
    tiff = struct.pack(">2sHI", b"MM", 42, 8) + first + struct.pack(">I", second_at)
    tiff += b"Maker\0" + second + thumbnail
    return b"Exif\0\0" + tiff, thumbnail


def png_chunk(name, body):
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def png_bomb(side=20_000, rows=100):
    """A black RGB picture of 20,000 x 20,000: 1.2 GB of pixels in about 1.2 MB."""
    block_bytes = rows * (1 + 3 * side)
    writer = zlib.compressobj(9)
    first = writer.compress(bytes(block_bytes)) + writer.flush(zlib.Z_FULL_FLUSH)
    # After a full flush nothing refers back, so the same bytes stand for every further block.
    block = writer.compress(bytes(block_bytes)) + writer.flush(zlib.Z_FULL_FLUSH)
    adler = (block_bytes * (side // rows) % 65521) << 16 | 1
    data = first + block * (side // rows - 1) + b"\x03\x00" + struct.pack(">I", adler)
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    chunks = png_chunk(b"IHDR", header) + png_chunk(b"IDAT", data) + png_chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


def png_with_size(data, width, height):
    """The same PNG with another size in its header."""
    body = struct.pack(">II", width, height) + data[24:29]
    return data[:8] + png_chunk(b"IHDR", body) + data[33:]


def rgb_to_xyz_matrix(primaries):
    """Linear RGB to XYZ of the D65 white point, from chromaticities."""
    columns = np.array([[x / y, 1, (1 - x - y) / y] for x, y in primaries]).T
    white = np.array([D65[0] / D65[1], 1, (1 - sum(D65)) / D65[1]])
    return columns * np.linalg.solve(columns, white)


def srgb_to_linear(values):
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def linear_to_srgb(values):
    values = np.clip(values, 0, 1)
    return np.where(values <= 0.0031308, values * 12.92, 1.055 * values ** (1 / 2.4) - 0.055)


def icc_profile(primaries, *, gamma=None):
    """A matrix profile for RGB; the curve is that of sRGB, or a power."""
    matrix = _D65_TO_D50 @ rgb_to_xyz_matrix(primaries)

    def fixed(*values):
        return b"".join(struct.pack(">i", round(value * 65536)) for value in values)

    def xyz(values):
        return b"XYZ \0\0\0\0" + fixed(*values)

    def text(value):
        words = value.encode("utf-16-be")
        record = struct.pack(">II2s2sII", 1, 12, b"en", b"US", len(words), 28)
        return b"mluc\0\0\0\0" + record + words

    srgb_curve = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
    kind, numbers = (0, (gamma,)) if gamma else (3, srgb_curve)
    curve = b"para\0\0\0\0" + struct.pack(">HH", kind, 0) + fixed(*numbers)
    tags = {
        b"desc": text("test"),
        b"cprt": text("none"),
        b"wtpt": xyz((0.9642, 1.0, 0.8249)),
        b"rXYZ": xyz(matrix[:, 0]),
        b"gXYZ": xyz(matrix[:, 1]),
        b"bXYZ": xyz(matrix[:, 2]),
        b"rTRC": curve,
        b"gTRC": curve,
        b"bTRC": curve,
    }
    table, bodies = struct.pack(">I", len(tags)), b""
    start = 128 + 4 + 12 * len(tags)
    for name, body in tags.items():
        table += struct.pack(">4sII", name, start + len(bodies), len(body))
        bodies += body + bytes(-len(body) % 4)
    header = struct.pack(
        ">I4sI4s4s4s12s4s4sI4s4sQI12sI16s28s",
        start + len(bodies), b"\0" * 4, 0x04000000, b"mntr", b"RGB ", b"XYZ ", bytes(12), b"acsp",
        bytes(4), 0, bytes(4), bytes(4), 0, 0, fixed(0.9642, 1.0, 0.8249), 0, bytes(16), bytes(28),
    )  # fmt: skip
    return header + table + bodies


def with_icc(profile, *, form="png", pixels=None, **options):
    return encoded(form, pixels=pixels, icc_profile=profile, **options)


def png16_with_chunks(pixels, *, icc=None, exif=None):
    """A 16-bit PNG with a profile and EXIF, which no other writer at hand puts together."""
    data = png16(pixels)
    chunks = b""
    if icc is not None:
        chunks += png_chunk(b"iCCP", b"test\0\0" + zlib.compress(icc))
    if exif is not None:
        chunks += png_chunk(b"eXIf", exif)
    return data[:33] + chunks + data[33:]


def mutations(data, *, seed, count):
    """Seeded damage: bytes changed, cut out, doubled, cut off; mostly near the header."""
    rng = np.random.default_rng(seed)
    for _ in range(count):
        changed = bytearray(data)
        for _ in range(int(rng.integers(1, 6))):
            reach = len(changed) if rng.random() < 0.3 else min(len(changed), 400)
            position = int(rng.integers(0, max(reach, 1)))
            match int(rng.integers(0, 4)):
                case 0:
                    changed[position : position + 1] = bytes([int(rng.integers(0, 256))])
                case 1:
                    changed[position : position + 4] = bytes([0xFF]) * 4
                case 2:
                    del changed[position : position + int(rng.integers(1, 40))]
                case _:
                    changed[position:position] = changed[position : position + 20]
        if rng.random() < 0.2:
            del changed[int(rng.integers(0, len(changed) + 1)) :]
        yield bytes(changed)
