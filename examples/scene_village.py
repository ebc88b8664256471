"""What the sample scene's window looks out on, and the light of the day."""

from __future__ import annotations

import numpy as np

from examples import scene_textures as textures
from examples.scene_geometry import join_meshes, make_box, make_foliage, make_gable_roof
from examples.scene_stage import DARK_WOOD, WHITE, Stage, make_palette

GROUND = -1.0
"""The z of the village's ground; the room is half a storey up."""


def add_village(stage: Stage) -> None:
    """Meadow, fence, trees, houses, a church and hills."""
    meadow = make_box((10, 64, GROUND - 0.05), (140, 121, 0.1))
    stage.add_mesh(meadow, textures.make_grass(19))
    pickets = [make_box((0.5 + 0.28 * n, 15.0, GROUND + 0.5), (0.12, 0.03, 1.0)) for n in range(36)]
    rails = [make_box((5.5, 15.03, GROUND + z), (10.5, 0.03, 0.08)) for z in (0.3, 0.75)]
    stage.add_mesh(join_meshes([*pickets, *rails]), WHITE)

    bricks, tiles = textures.make_bricks(20), textures.make_roof(21)
    cream = np.array((0.52, 0.46, 0.34), np.float32)
    plaster = textures.make_bricks(22) * 0.35 + cream * 0.8
    houses = (
        ((9.0, 34.0), (6.5, 5.0, 3.3), 24.0, bricks),
        ((19.0, 39.0), (7.0, 5.5, 3.8), -28.0, plaster),
        ((4.6, 47.0), (6.0, 6.0, 3.6), 40.0, plaster),
        ((25.0, 50.0), (8.0, 6.0, 5.0), 10.0, bricks),
    )
    for (x, y), (width, depth, high), degrees, wall in houses:
        body = make_box((x, y, GROUND + high / 2), (width, depth, high), degrees=degrees)
        stage.add_mesh(body, wall)
        eaves = (x, y, GROUND + high)
        roof = make_gable_roof(eaves, (width + 0.7, depth + 0.8, 2.2), degrees=degrees)
        stage.add_mesh(roof, tiles)
    tower = make_box((17.5, 60.0, GROUND + 4.5), (3.0, 3.0, 9.0), tile_m=4.0, degrees=30)
    stage.add_mesh(tower, plaster)
    spire = make_gable_roof((17.5, 60.0, GROUND + 9.0), (3.4, 3.4, 3.0), degrees=30)
    stage.add_mesh(spire, tiles)

    leaves = make_palette((0.05, 0.11, 0.02), (0.30, 0.38, 0.08))
    trees = (
        (2.5, 21.0, 3.8),
        (14.6, 25.5, 4.2),
        (13.4, 44.0, 4.4),
        (20.5, 32.0, 4.6),
        (2.2, 38.0, 6.0),
        (28.0, 42.0, 7.0),
        (21.0, 60.0, 8.0),
        (8.0, 62.0, 8.0),
    )
    for number, (x, y, high) in enumerate(trees):
        stage.add_rod((x, y, GROUND), (x, y, GROUND + 0.6 * high), 0.05 * high, DARK_WOOD)
        crown = make_foliage(
            (x, y, GROUND + 0.66 * high),
            (0.40 * high, 0.40 * high, 0.44 * high),
            leaves=2600,
            leaf_m=0.05 * high,
            seed=30 + number,
        )
        stage.add_mesh(crown, leaves)
    hill = textures.make_grass(40)[..., ::1] * np.array([0.5, 0.7, 0.9], np.float32)
    for x, y, radius in ((10, 175, 62), (70, 190, 74), (-40, 190, 70)):
        stage.add_sphere((x, y, GROUND - radius + 0.16 * radius), radius, hill)


def add_light(stage: Stage) -> None:
    """The sky, the sun from the right, and what a door behind the camera lets in."""
    stage.add_sky(textures.make_sky(50), (11.0, 9.8, 8.0), (-0.72, -0.36, -0.58))
    stage.add_panel_light((0.4, -2.95, 1.5), (0.4, 0, 1.4), (1.4, 1.1, 1), (0.42, 0.38, 0.33))
