"""Triangles for the sample scene: boxes, cloth, leaves and trees as textured meshes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Vector = tuple[float, float, float]
Points = NDArray[np.float64]

BOX_CORNERS = np.array([[x, y, z] for z in (-1, 1) for y in (-1, 1) for x in (-1, 1)]) / 2
BOX_FACES = ((0, 2, 3, 1), (4, 5, 7, 6), (0, 1, 5, 4), (2, 6, 7, 3), (0, 4, 6, 2), (1, 3, 7, 5))
"""Corners of each side of the box: bottom, top, front (-y), back, left (-x), right."""


@dataclass(frozen=True, slots=True)
class Mesh:
    """Triangles with a texture coordinate at every vertex.

    Attributes:
        points: Positions in metres, x right, y away from the camera, z up. Shape (V, 3).
        uv: Texture coordinates. Shape (V, 2).
        faces: Vertex numbers of each triangle. Shape (F, 3).
    """

    points: Points
    uv: Points
    faces: NDArray[np.int32]

    def write_ply(self, path: Path) -> None:
        """Write the mesh as binary PLY."""
        header = "\n".join(
            [
                "ply",
                "format binary_little_endian 1.0",
                f"element vertex {len(self.points)}",
                *(f"property float {name}" for name in "xyzuv"),
                f"element face {len(self.faces)}",
                "property list uchar int vertex_indices",
                "end_header",
                "",
            ]
        )
        rows = np.empty(len(self.faces), dtype=[("count", "u1"), ("corners", "<i4", 3)])
        rows["count"], rows["corners"] = 3, self.faces
        vertices = np.hstack([self.points, self.uv]).astype("<f4")
        path.write_bytes(header.encode("ascii") + vertices.tobytes() + rows.tobytes())


def join_meshes(meshes: Sequence[Mesh]) -> Mesh:
    """Join meshes to one."""
    offsets = np.cumsum([0, *(len(mesh.points) for mesh in meshes[:-1])])
    return Mesh(
        np.vstack([mesh.points for mesh in meshes]),
        np.vstack([mesh.uv for mesh in meshes]),
        np.vstack([mesh.faces + offset for mesh, offset in zip(meshes, offsets, strict=True)]),
    )


def make_quads(corners: Points, uv: Points) -> Mesh:
    """Make a mesh of separate quadrilaterals.

    Args:
        corners: Four corners of each, in order around it. Shape (Q, 4, 3).
        uv: Their texture coordinates. Shape (Q, 4, 2).
    """
    first = 4 * np.arange(len(corners), dtype=np.int32)[:, None]
    faces = np.concatenate([first + np.array(half) for half in ((0, 1, 2), (0, 2, 3))])
    return Mesh(corners.reshape(-1, 3), uv.reshape(-1, 2), faces.astype(np.int32))


def turn(points: Points, degrees: float) -> Points:
    """Turn points around the upright axis."""
    angle = np.radians(degrees)
    matrix = np.array(
        [[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]]
    )
    return np.asarray(points @ matrix.T)


def make_box(
    centre: Vector, size: Vector, *, tile_m: float | None = None, degrees: float = 0.0
) -> Mesh:
    """Make a box, turned around the upright axis.

    Args:
        centre: Its middle.
        size: Its edges along x, y and z before the turn.
        tile_m: Side of the texture on its faces; None stretches it over each face.
        degrees: The turn.
    """
    corners = (BOX_CORNERS * size)[np.array(BOX_FACES)]
    uv = np.empty((6, 4, 2))
    for face, axes in enumerate(((0, 1), (0, 1), (0, 2), (0, 2), (1, 2), (1, 2))):
        flat = corners[face][:, axes]
        if tile_m is None:
            uv[face] = flat / np.array(size)[list(axes)] + 0.5
        else:
            uv[face] = (flat + np.array(centre)[list(axes)]) / tile_m
    return make_quads(turn(corners, degrees) + np.array(centre), uv)


def make_gable_roof(centre: Vector, size: Vector, *, degrees: float = 0.0) -> Mesh:
    """Make a pitched roof, its ridge along x; the gable triangles belong to it."""
    width, depth, height = (edge / 2 for edge in size)
    ridge = np.array([[-width, 0, 2 * height], [width, 0, 2 * height]])
    front = np.array([[-width, -depth, 0], [width, -depth, 0]])
    back = front * [1, -1, 1]
    corners = np.array(
        [
            [front[0], front[1], ridge[1], ridge[0]],
            [back[1], back[0], ridge[0], ridge[1]],
            [front[0], ridge[0], ridge[0], back[0]],
            [front[1], back[1], ridge[1], ridge[1]],
        ]
    )
    uv = np.tile(np.array([[0, 0], [size[0] / 2, 0], [size[0] / 2, 1.5], [0, 1.5]]), (4, 1, 1))
    return make_quads(turn(corners, degrees) + np.array(centre), uv)


def make_cloth(left: Vector, size: tuple[float, float], *, folds: float, depth_m: float) -> Mesh:
    """Make a hanging cloth with folds, narrower at its tie a third above the hem.

    Args:
        left: Upper left corner.
        size: Width and drop.
        folds: Number of folds.
        depth_m: Amplitude of the folds.
    """
    columns, rows = 160, 40
    u, v = np.meshgrid(np.linspace(0, 1, columns), np.linspace(0, 1, rows))
    narrow = 1 - 0.35 * np.exp(-(((v - 0.62) / 0.22) ** 2))
    phase = 2 * np.pi * folds * u + 0.6 * np.sin(3 * v)
    x = left[0] + size[0] * (0.5 + (u - 0.5) * narrow)
    y = left[1] + depth_m * np.sin(phase) * (0.6 + 0.4 * v)
    z = left[2] - size[1] * v
    points = np.stack([x, y, z], axis=-1).reshape(-1, 3)
    uv = np.stack([u * size[0] * 4, v * size[1] * 2], axis=-1).reshape(-1, 2)
    corner = (np.arange(rows - 1)[:, None] * columns + np.arange(columns - 1)).reshape(-1, 1)
    faces = np.concatenate(
        [corner + np.array(half) for half in ((0, 1, columns + 1), (0, columns + 1, columns))]
    ).astype(np.int32)
    return Mesh(points, uv, faces)


def make_foliage(centre: Vector, radii: Vector, *, leaves: int, leaf_m: float, seed: int) -> Mesh:
    """Make a crown of leaves: quadrilaterals in clumps on an ellipsoid, shaded by their height.

    Args:
        centre: Middle of the crown.
        radii: Its half axes.
        leaves: Number of leaves.
        leaf_m: Length of a leaf.
        seed: Seed of their places.
    """
    rng = np.random.default_rng(seed)
    clumps = rng.normal(size=(28, 3))
    clumps *= (0.45 + 0.45 * rng.random((28, 1))) / np.linalg.norm(clumps, axis=1, keepdims=True)
    offset = rng.normal(size=(leaves, 3)) * 0.16
    middle = clumps[rng.integers(0, len(clumps), leaves)] + offset
    along = rng.normal(size=(leaves, 3))
    along *= leaf_m / np.linalg.norm(along, axis=1, keepdims=True)
    across = np.cross(along, rng.normal(size=(leaves, 3)))
    across *= 0.6 * leaf_m / np.linalg.norm(across, axis=1, keepdims=True)
    base = np.array(centre) + middle * np.array(radii)
    corners = np.stack([base - across, base + along, base + across, base - along], axis=1)
    shade = np.clip(0.5 + 0.35 * middle[:, 2] + 0.18 * rng.normal(size=leaves), 0.02, 0.98)
    uv = np.repeat(np.stack([shade, np.full(leaves, 0.5)], axis=1)[:, None], 4, axis=1)
    return make_quads(corners, uv)


def make_fronds(base: Vector, *, fronds: int, length_m: float, seed: int) -> Mesh:
    """Make a potted plant's arching leaves, each a strip that widens and bends over."""
    rng = np.random.default_rng(seed)
    steps = np.linspace(0, 1, 13)
    strips = []
    for _ in range(fronds):
        heading, rise = rng.uniform(0, 2 * np.pi), rng.uniform(0.45, 1.0)
        length = length_m * rng.uniform(0.6, 1.0)
        out = np.array([np.cos(heading), np.sin(heading), 0])
        side = np.array([-np.sin(heading), np.cos(heading), 0])
        reach = (1 - rise * 0.75) * steps + 0.35 * steps**2
        height = rise * steps - 0.55 * steps**3
        spine = np.array(base) + length * (
            reach[:, None] * out + height[:, None] * np.array([0, 0, 1.0])
        )
        width = 0.055 * length_m * np.sin(np.pi * np.clip(steps * 0.93 + 0.07, 0, 1))[:, None]
        left, right = spine - width * side, spine + width * side
        corners = np.stack([left[:-1], right[:-1], right[1:], left[1:]], axis=1)
        shade = rng.uniform(0.2, 0.8)
        strips.append(make_quads(corners, np.full((len(corners), 4, 2), (shade, 0.5))))
    return join_meshes(strips)
