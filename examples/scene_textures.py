"""Textures of the sample scene, computed from noise and arithmetic alone.

Every texture is linear RGB reflectance (the sky: radiance) of shape (H, W, 3), float32, row 0 at
the top, and depends on nothing but its seed.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Texture = NDArray[np.float32]


def make_noise(
    shape: tuple[int, int], cells: tuple[int, int], seed: int, *, octaves: int = 4
) -> NDArray[np.float32]:
    """Sum octaves of smooth value noise.

    Args:
        shape: Rows and columns of the result.
        cells: Noise cells down and across in the coarsest octave.
        seed: Seed of the lattice values.
        octaves: Number of octaves; each has twice the cells and half the strength.

    Returns:
        Noise stretched to 0..1. Shape `shape`, float32.
    """
    rng = np.random.default_rng(seed)
    total = np.zeros(shape, np.float32)
    for octave in range(octaves):
        rows, columns = (
            min(count * 2**octave, limit) for count, limit in zip(cells, shape, strict=True)
        )
        lattice = rng.random((rows + 1, columns + 1), dtype=np.float32)
        total += cv2.resize(lattice, shape[::-1], interpolation=cv2.INTER_CUBIC) / 2**octave
    return np.asarray((total - total.min()) / np.ptp(total), np.float32)


def mix(first: object, second: object, share: NDArray[np.generic]) -> Texture:
    """Blend two colours or textures by a share of shape (H, W)."""
    weight = np.asarray(share, np.float32)[..., None]
    blend = np.asarray(first, np.float32) * (1 - weight) + np.asarray(second, np.float32) * weight
    return np.asarray(blend, np.float32)


def make_floor(seed: int) -> Texture:
    """Oak boards with staggered joints, grain and gaps."""
    size, boards = 1024, 14
    rng = np.random.default_rng(seed)
    grain = make_noise((size, size), (160, 6), seed + 1)
    rings = 0.5 + 0.5 * np.sin(40 * make_noise((size, size), (24, 2), seed + 2, octaves=2))
    shares = 0.45 * grain + 0.25 * rings
    y, x = np.mgrid[0:size, 0:size]
    board = y * boards // size
    joint = (x + rng.integers(0, size, boards)[board]) % size
    piece = board * 2 + (joint > size // 2)
    shares = shares + 0.45 * rng.random(2 * boards)[piece]
    wood = mix((0.36, 0.20, 0.10), (0.14, 0.065, 0.03), np.clip(shares, 0, 1))
    within = (y * boards) % size / size
    is_gap = (within < 0.035) | (joint % (size // 2) < 3)
    wood[is_gap] *= 0.25
    return wood


def make_rug(seed: int) -> Texture:
    """A woven rug: border bands, lozenges and stars in red, blue and cream."""
    height, width = 512, 768
    red, blue, cream = (0.33, 0.045, 0.04), (0.04, 0.07, 0.20), (0.55, 0.45, 0.30)
    y, x = np.mgrid[0:height, 0:width]
    edge = np.minimum(np.minimum(x, width - 1 - x), np.minimum(y, height - 1 - y))
    u, v = np.abs(x % 128 - 64) / 64, np.abs((y + 0) % 128 - 64) / 64
    lozenge = u + v
    rug = mix(red, blue, lozenge < 0.75)
    rug = mix(rug, cream, np.abs(lozenge - 0.75) < 0.05)
    rug = mix(rug, cream, (np.maximum(u, v) < 0.22) | (lozenge < 0.30))
    rug = mix(rug, red, lozenge < 0.16)
    rug = mix(rug, blue, edge < 60)
    zigzag = np.abs((x + y) % 48 - 24) + np.abs((x - y) % 48 - 24)
    rug = mix(rug, cream, (edge < 60) & (edge > 12) & (zigzag < 16))
    rug = mix(rug, red, edge < 12)
    weave = 0.8 + 0.4 * make_noise((height, width), (256, 384), seed, octaves=1)
    return np.asarray(rug * weave[..., None], np.float32)


def make_plaster(seed: int, colour: tuple[float, float, float]) -> Texture:
    """Wall paint with a faint roughness and stains."""
    fine = make_noise((768, 768), (200, 200), seed, octaves=2)
    coarse = make_noise((768, 768), (4, 4), seed + 1)
    shade = 0.86 + 0.12 * fine + 0.10 * coarse
    return np.asarray(np.asarray(colour, np.float32) * shade[..., None], np.float32)


def make_wallpaper(seed: int) -> Texture:
    """A wallpaper of vertical stripes and stylised leaves."""
    size = 1024
    y, x = np.mgrid[0:size, 0:size].astype(np.float32)
    base = make_plaster(seed, (0.46, 0.50, 0.40))
    base = np.asarray(cv2.resize(base, (size, size)), np.float32)
    stripe = (x % 128) < 64
    paper = base * np.where(stripe, 1.0, 0.86)[..., None]
    for shift, lean in ((0.0, 0.6), (64.0, -0.6)):
        u, v = (x + shift) % 128 - 96, (y + shift) % 128 - 64
        leaf = np.abs(u - lean * v * 0.5) / 14 + np.abs(v) / 40
        paper = mix(paper, (0.20, 0.27, 0.16), leaf < 1)
        paper = mix(paper, (0.46, 0.50, 0.40), (leaf < 1) & (np.abs(u - lean * v * 0.5) < 1.5))
    return np.asarray(paper, np.float32)


def make_painting(seed: int) -> Texture:
    """A picture for the wall: a bay with sails under an evening sun."""
    height, width = 384, 512
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    noise = make_noise((height, width), (6, 8), seed)
    strokes = make_noise((height, width), (30, 90), seed + 1, octaves=2)
    sky = mix((0.70, 0.33, 0.12), (0.16, 0.22, 0.42), np.clip(1 - y / 210 + 0.4 * noise, 0, 1))
    sky = mix(sky, (0.9, 0.75, 0.35), (x - 360) ** 2 + (y - 150) ** 2 < 34**2)
    hills = y > 190 - 46 * np.sin(x / 70) * noise - 10 * np.sin(x / 17)
    picture = mix(sky, (0.10, 0.09, 0.17), hills)
    glitter = 0.5 + 0.5 * np.sin(y / 2.2 + 12 * noise)
    sea = mix((0.04, 0.11, 0.17), (0.55, 0.36, 0.16), glitter * np.exp(-(((x - 360) / 90) ** 2)))
    picture = np.where((y > 225)[..., None], sea, picture)
    for left, base, size in ((90, 290, 70), (190, 265, 45), (300, 330, 95)):
        up = (base - y) / size
        sail = (up > 0) & (up < 1) & (x > left) & (x < left + size * 0.55 * (1 - up))
        hull = (y >= base) & (y < base + 9) & (np.abs(x - left - 8) < size * 0.4)
        picture = mix(mix(picture, (0.75, 0.70, 0.60), sail), (0.16, 0.05, 0.03), hull)
    return np.asarray(picture * (0.75 + 0.4 * strokes)[..., None], np.float32)


def make_bricks(seed: int) -> Texture:
    """A brick facade with rows of windows."""
    size = 512
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:size, 0:size]
    row = y // 8
    column = (x + 8 * (row % 2)) // 16
    shade = rng.random((size // 8, size // 16 + 1))[row, column]
    wall = mix((0.42, 0.16, 0.10), (0.28, 0.10, 0.07), shade)
    wall = mix(wall, (0.50, 0.47, 0.42), (y % 8 < 1) | ((x + 8 * (row % 2)) % 16 < 1))
    u, v = x % 128 - 64, y % 170 - 85
    wall = mix(wall, (0.80, 0.78, 0.72), (np.abs(u) < 30) & (np.abs(v) < 46))
    wall = mix(wall, (0.05, 0.07, 0.10), (np.abs(u) < 25) & (np.abs(v) < 41))
    cross = (np.abs(u) < 25) & (np.abs(v) < 41) & ((np.abs(u) < 2) | (np.abs(v + 12) < 2))
    return mix(wall, (0.80, 0.78, 0.72), cross)


def make_roof(seed: int) -> Texture:
    """Courses of clay tiles."""
    size = 256
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:size, 0:size]
    shade = rng.random((size // 8, size // 8))[y // 8, x // 8]
    tiles = mix((0.38, 0.12, 0.06), (0.20, 0.07, 0.05), shade)
    return np.asarray(tiles * np.where(y % 8 < 2, 0.4, 1.0)[..., None], np.float32)


def make_grass(seed: int) -> Texture:
    """A meadow with mown stripes and a sandy path towards the viewer."""
    size = 1024
    y, x = np.mgrid[0:size, 0:size].astype(np.float32)
    blades = make_noise((size, size), (256, 256), seed, octaves=3)
    patches = make_noise((size, size), (10, 10), seed + 1)
    grass = mix((0.10, 0.20, 0.035), (0.24, 0.30, 0.07), 0.6 * blades + 0.4 * patches)
    centre = size * 0.55 + 60 * np.sin(y / 110)
    path = np.abs(x - centre) < 13 + 4 * patches
    return mix(grass, (0.50, 0.42, 0.29), path)


def make_sky(seed: int) -> Texture:
    """Radiance of a blue sky with cumulus clouds, equirectangular, dark below the horizon."""
    height, width = 1024, 2048
    y = np.mgrid[0:height, 0:width][0] / height
    elevation = np.clip(1 - 2 * y, 0, 1)
    sky = mix((0.80, 0.92, 1.10), (0.14, 0.32, 0.85), elevation**0.4)
    billows = make_noise((height, width), (48, 36), seed, octaves=5)
    cover = np.clip((billows - 0.45) * 6, 0, 1) * np.clip(elevation * 30, 0, 1)
    thick = np.clip((billows - 0.55) * 4, 0, 1)
    clouds = mix((1.9, 1.85, 1.8), (1.1, 1.12, 1.18), thick)
    return mix(mix(sky, clouds, cover), (0.10, 0.11, 0.08), y > 0.5)


def make_fabric(seed: int, colour: tuple[float, float, float]) -> Texture:
    """A coarse woven cloth."""
    size = 256
    y, x = np.mgrid[0:size, 0:size]
    weave = 0.75 + 0.25 * np.sin(x * np.pi / 4) * np.sin(y * np.pi / 4)
    shade = weave * (0.7 + 0.6 * make_noise((size, size), (64, 64), seed, octaves=2))
    return np.asarray(np.asarray(colour, np.float32) * shade[..., None], np.float32)


def make_spine(seed: int) -> Texture:
    """The back of a book: cloth in a random hue with bands and a title block."""
    rng = np.random.default_rng(seed)
    height, width = 128, 32
    cloths = (
        (0.30, 0.03, 0.03),
        (0.04, 0.09, 0.22),
        (0.03, 0.14, 0.08),
        (0.22, 0.11, 0.04),
        (0.50, 0.42, 0.30),
        (0.05, 0.05, 0.06),
        (0.42, 0.20, 0.04),
        (0.18, 0.05, 0.14),
    )
    colour = np.array(cloths[rng.integers(len(cloths))]) * rng.uniform(0.7, 1.3)
    spine = np.tile(colour.astype(np.float32), (height, width, 1))
    gold = (0.55, 0.42, 0.16) if rng.random() < 0.6 else (0.7, 0.68, 0.62)
    y, x = np.mgrid[0:height, 0:width]
    band = rng.integers(6, 16)
    spine = mix(spine, gold, (y % (height - 2 * band) < 4) & (y > band // 2))
    top, length = rng.integers(20, 36), rng.integers(30, 60)
    letters = rng.random((16, 2)) < 0.6
    block = (y > top) & (y < top + length) & (x > 9) & (x < 23)
    return mix(spine, gold, block & letters[(y - top) // 4 % 16, (x > 16).astype(int)])
