"""The room of the sample scene: its shell with the window, and what stands in it."""

from __future__ import annotations

import numpy as np

from examples import scene_textures as textures
from examples.scene_geometry import (
    Mesh,
    Vector,
    join_meshes,
    make_box,
    make_cloth,
    make_foliage,
    make_fronds,
    turn,
)
from examples.scene_stage import BRASS, DARK_WOOD, LIGHT_WOOD, WHITE, Stage, make_palette

ROOM_WIDTH, ROOM_DEPTH, ROOM_HEIGHT = 5.2, 6.0, 2.8
WINDOW_LEFT, WINDOW_RIGHT, WINDOW_SILL, WINDOW_TOP = -1.0, 1.75, 0.7, 2.45
FACADE = 3.0
"""The y of the window wall's inner face."""


def add_shell(stage: Stage) -> None:
    """Floor, ceiling, walls, and the wall with its window opening."""
    half, deep, high = ROOM_WIDTH / 2, ROOM_DEPTH / 2, ROOM_HEIGHT
    floor = make_box((0, 0, -0.05), (ROOM_WIDTH, ROOM_DEPTH, 0.1), tile_m=2.0)
    stage.add_mesh(floor, textures.make_floor(1), gloss=0.22)
    plaster = textures.make_plaster(2, (0.62, 0.60, 0.56))
    ceiling = make_box((0, 0, high + 0.05), (ROOM_WIDTH, ROOM_DEPTH, 0.1), tile_m=3.0)
    behind = make_box((0, -deep - 0.05, high / 2), (ROOM_WIDTH, 0.1, high), tile_m=3.0)
    sides = [
        make_box((side * (half + 0.05), 0, high / 2), (0.1, ROOM_DEPTH, high), tile_m=3.0)
        for side in (-1, 1)
    ]
    stage.add_mesh(join_meshes([ceiling, behind, sides[0]]), plaster)
    stage.add_mesh(sides[1], textures.make_plaster(3, (0.50, 0.34, 0.24)))

    middle = (WINDOW_LEFT + WINDOW_RIGHT) / 2
    thick, y = 0.3, FACADE + 0.15
    pieces = [
        (-half, WINDOW_LEFT, 0.0, high),
        (WINDOW_RIGHT, half, 0.0, high),
        (WINDOW_LEFT, WINDOW_RIGHT, 0.0, WINDOW_SILL),
        (WINDOW_LEFT, WINDOW_RIGHT, WINDOW_TOP, high),
    ]
    wall = [
        make_box(
            ((left + right) / 2, y, (low + top) / 2), (right - left, thick, top - low), tile_m=1.3
        )
        for left, right, low, top in pieces
    ]
    stage.add_mesh(join_meshes(wall), textures.make_wallpaper(4))
    sill = make_box(
        (middle, FACADE - 0.02, WINDOW_SILL), (WINDOW_RIGHT - WINDOW_LEFT + 0.2, 0.34, 0.05)
    )
    skirting = [
        make_box((0, FACADE - 0.01, 0.06), (ROOM_WIDTH, 0.03, 0.12)),
        make_box((half - 0.01, 0, 0.06), (0.03, ROOM_DEPTH, 0.12)),
        make_box((-half + 0.01, 0, 0.06), (0.03, ROOM_DEPTH, 0.12)),
    ]
    stage.add_mesh(join_meshes([sill, *skirting, *_window_bars()]), WHITE)


def _window_bars() -> list[Mesh]:
    y, high = FACADE + 0.12, WINDOW_TOP - WINDOW_SILL
    width, middle = WINDOW_RIGHT - WINDOW_LEFT, (WINDOW_LEFT + WINDOW_RIGHT) / 2
    centre = (WINDOW_SILL + WINDOW_TOP) / 2
    upright = [
        make_box((WINDOW_LEFT + share * width, y, centre), (0.07, 0.06, high))
        for share in (0.01, 1 / 3, 2 / 3, 0.99)
    ]
    level = [
        make_box((middle, y, WINDOW_SILL + share * high), (width, 0.06, 0.06))
        for share in (0.03, 0.70, 0.98)
    ]
    return upright + level


def add_curtains(stage: Stage) -> None:
    """Two tied curtains on a brass rod."""
    cloth = textures.make_fabric(5, (0.46, 0.20, 0.07))
    for left in (WINDOW_LEFT - 0.42, WINDOW_RIGHT - 0.18):
        corner = (left, FACADE - 0.12, 2.58)
        stage.add_mesh(make_cloth(corner, (0.6, 2.5), folds=6, depth_m=0.04), cloth, flat=False)
    rod = FACADE - 0.12
    stage.add_rod((WINDOW_LEFT - 0.5, rod, 2.6), (WINDOW_RIGHT + 0.5, rod, 2.6), 0.018, BRASS)
    for x in (WINDOW_LEFT - 0.5, WINDOW_RIGHT + 0.5):
        stage.add_sphere((x, rod, 2.6), 0.04, BRASS, gloss=0.1)


def add_bookshelf(stage: Stage) -> None:
    """A shelf full of books, left of the window."""
    left, right, front, back, high = -2.55, -1.5, 2.66, 2.98, 2.2
    middle, deep = (left + right) / 2, back - front
    boards = [
        make_box((middle, (front + back) / 2, z), (right - left, deep, 0.03))
        for z in np.linspace(0.08, high, 6)
    ]
    sides = [make_box((x, (front + back) / 2, high / 2), (0.03, deep, high)) for x in (left, right)]
    panel = make_box((middle, back, high / 2), (right - left, 0.02, high))
    stage.add_mesh(join_meshes([*boards, *sides, panel]), DARK_WOOD)

    rng = np.random.default_rng(6)
    spines = 24
    books = []
    for shelf in np.linspace(0.08, high, 6)[:-1]:
        x = left + 0.03
        while x < right - 0.09:
            thick, tall = rng.uniform(0.025, 0.06), rng.uniform(0.24, 0.37)
            if rng.random() < 0.05:
                x += rng.uniform(0.05, 0.14)
                continue
            centre = (x + thick / 2, front + 0.14, shelf + 0.015 + tall / 2)
            book = make_box(centre, (thick * 0.94, 0.2, tall))
            u = (book.uv[:, :1] * 0.9 + 0.05 + rng.integers(spines)) / spines
            books.append(Mesh(book.points, np.hstack([u, book.uv[:, 1:]]), book.faces))
            x += thick
    atlas = np.concatenate([textures.make_spine(100 + number) for number in range(spines)], axis=1)
    stage.add_mesh(join_meshes(books), atlas)


def add_right_side(stage: Stage) -> None:
    """A picture above a sideboard with a lamp, a vase and a globe, along the right wall."""
    wall = ROOM_WIDTH / 2
    picture = make_box((wall - 0.03, 0.95, 1.75), (0.02, 1.16, 0.84), degrees=0)
    frame = make_box((wall - 0.02, 0.95, 1.75), (0.03, 1.32, 1.0))
    stage.add_mesh(frame, BRASS)
    # The right wall is seen from -x, where the box's left face runs along +y; mirrored in u so
    # that the picture reads from left to right.
    mirrored = Mesh(picture.points, picture.uv * [-1, 1] + [1, 0], picture.faces)
    stage.add_mesh(mirrored, textures.make_painting(7))

    body = make_box((wall - 0.23, 0.9, 0.48), (0.44, 1.7, 0.72))
    doors = [make_box((wall - 0.455, 0.9 + y, 0.48), (0.02, 0.5, 0.62)) for y in (-0.55, 0, 0.55)]
    legs = [
        make_box((wall - x, 0.9 + y, 0.06), (0.05, 0.05, 0.12))
        for x in (0.07, 0.4)
        for y in (-0.8, 0.8)
    ]
    stage.add_mesh(join_meshes([body, *legs]), DARK_WOOD, gloss=0.2)
    stage.add_mesh(join_meshes(doors), LIGHT_WOOD, gloss=0.25)
    for y in (-0.36, 0.19, 0.74):
        stage.add_sphere((wall - 0.48, 0.9 + y, 0.52), 0.018, BRASS, gloss=0.1)

    top = 0.84
    stage.add_sphere((wall - 0.22, 0.3, top + 0.13), 0.13, textures.make_grass(8), gloss=0.1)
    stage.add_rod((wall - 0.22, 1.45, top), (wall - 0.22, 1.45, top + 0.3), 0.02, BRASS)
    shade = textures.make_fabric(9, (0.62, 0.52, 0.36))
    stage.add_rod((wall - 0.22, 1.45, top + 0.24), (wall - 0.22, 1.45, top + 0.48), 0.14, shade)
    stage.add_sphere((wall - 0.24, 0.85, top + 0.09), 0.09, (0.05, 0.18, 0.22), gloss=0.05)
    flowers = make_foliage(
        (wall - 0.24, 0.85, top + 0.3), (0.16, 0.16, 0.14), leaves=180, leaf_m=0.03, seed=10
    )
    stage.add_mesh(flowers, make_palette((0.10, 0.18, 0.04), (0.75, 0.30, 0.25)))


def add_table(stage: Stage) -> None:
    """A table with a runner, a bowl of fruit and cups, two chairs, and a lamp above."""
    x, y, high = 0.75, 1.35, 0.75
    top = make_box((x, y, high - 0.02), (1.5, 0.85, 0.04), degrees=8)
    legs = [
        make_box((x + dx, y + dy, high / 2 - 0.02), (0.06, 0.06, high - 0.04))
        for dx in (-0.62, 0.62)
        for dy in (-0.32, 0.32)
    ]
    stage.add_mesh(join_meshes([top, *legs]), LIGHT_WOOD, gloss=0.15)
    runner = make_box((x, y, high + 0.002), (1.52, 0.34, 0.005), degrees=8)
    stage.add_mesh(runner, textures.make_rug(11))
    stage.add_sphere((x - 0.05, y, high + 0.03), 0.13, (0.10, 0.16, 0.30), gloss=0.05)
    fruit = (
        ((0, 0), (0.65, 0.25, 0.03)),
        ((0.08, 0.06), (0.60, 0.08, 0.04)),
        ((-0.09, 0.03), (0.35, 0.45, 0.06)),
        ((0.0, -0.08), (0.68, 0.42, 0.05)),
    )
    for (dx, dy), colour in fruit:
        stage.add_sphere((x - 0.05 + dx, y + dy, high + 0.15), 0.055, colour, gloss=0.15)
    for dx, dy in ((-0.5, -0.18), (0.48, 0.2)):
        place = (x + dx, y + dy, high)
        stage.add_rod(place, (place[0], place[1], high + 0.09), 0.042, WHITE)
    for cx, cy, degrees in ((x - 0.35, y - 0.75, 12.0), (x + 0.6, y + 0.72, 190.0)):
        stage.add_mesh(_make_chair((cx, cy, 0), degrees), DARK_WOOD, gloss=0.2)
    lamp = (x + 0.1, y, 2.05)
    stage.add_rod(lamp, (lamp[0], lamp[1], ROOM_HEIGHT), 0.006, (0.02, 0.02, 0.02))
    stage.add_sphere(lamp, 0.17, textures.make_fabric(12, (0.60, 0.55, 0.45)))


def _make_chair(place: Vector, degrees: float) -> Mesh:
    parts: list[tuple[Vector, Vector]] = [
        ((0, 0, 0.45), (0.42, 0.42, 0.04)),
        ((0, -0.2, 0.92), (0.42, 0.03, 0.08)),
    ]
    parts += [((dx, dy, 0.22), (0.04, 0.04, 0.45)) for dx in (-0.19, 0.19) for dy in (-0.19, 0.19)]
    parts += [((dx, -0.2, 0.70), (0.04, 0.03, 0.5)) for dx in (-0.19, 0.19)]
    parts += [((dx, -0.2, 0.68), (0.03, 0.02, 0.45)) for dx in (-0.07, 0.07)]
    boxes = [make_box(centre, size) for centre, size in parts]
    joined = join_meshes(boxes)
    return Mesh(turn(joined.points, degrees) + np.array(place), joined.uv, joined.faces)


def add_seat_and_rug(stage: Stage) -> None:
    """A rug, an armchair with a cushion, a pouf and a plant."""
    stage.add_mesh(make_box((0.1, 0.15, 0.006), (2.7, 1.8, 0.012)), textures.make_rug(13))
    cloth = textures.make_fabric(14, (0.10, 0.24, 0.26))
    place = np.array((1.75, -0.55, 0.0))
    parts = [
        ((0, 0, 0.28), (0.8, 0.8, 0.26)),
        ((0, 0.36, 0.62), (0.8, 0.2, 0.66)),
        ((-0.38, 0, 0.44), (0.16, 0.8, 0.38)),
        ((0.38, 0, 0.44), (0.16, 0.8, 0.38)),
    ]
    boxes = join_meshes([make_box(centre, size, tile_m=0.25) for centre, size in parts])
    stage.add_mesh(Mesh(turn(boxes.points, -62.0) + place, boxes.uv, boxes.faces), cloth)
    stage.add_sphere((1.72, -0.62, 0.55), 0.17, textures.make_rug(15))
    stage.add_sphere((-1.0, 0.15, 0.2), 0.24, textures.make_fabric(16, (0.50, 0.36, 0.10)))
    stage.add_rod((2.2, 2.5, 0), (2.2, 2.5, 0.4), 0.19, textures.make_bricks(17))
    fronds = make_fronds((2.2, 2.5, 0.4), fronds=36, length_m=1.15, seed=18)
    stage.add_mesh(fronds, make_palette((0.03, 0.10, 0.02), (0.16, 0.30, 0.06)))
