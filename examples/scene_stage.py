"""What the sample scene is handed to the renderer with: materials, shapes and lights.

Metres; x to the right, y away from the camera, z up.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import ModuleType

import numpy as np

from examples.scene_geometry import Mesh, Vector
from examples.scene_textures import Texture, mix

Colour = tuple[float, float, float]

WHITE: Colour = (0.72, 0.70, 0.66)
DARK_WOOD: Colour = (0.12, 0.055, 0.028)
LIGHT_WOOD: Colour = (0.40, 0.24, 0.12)
BRASS: Colour = (0.55, 0.38, 0.12)


def make_palette(dark: Colour, light: Colour) -> Texture:
    """A ramp of one row from one colour to another, which leaves look their shade up in."""
    share = np.linspace(0, 1, 64, dtype=np.float32)[None]
    return np.repeat(mix(dark, light, share), 4, axis=0)


class Stage:
    """Collects the objects of a scene for the renderer.

    Args:
        renderer: The renderer's module, its variant set.
        folder: Where meshes are written for the renderer to read.
    """

    def __init__(self, renderer: ModuleType, folder: Path) -> None:
        self._renderer = renderer
        self._folder = folder
        self.objects: dict[str, object] = {"type": "scene"}

    def _add(self, item: Mapping[str, object]) -> None:
        self.objects[f"object{len(self.objects):04d}"] = dict(item)

    def _material(self, look: Colour | Texture, gloss: float | None) -> dict[str, object]:
        reflectance: dict[str, object]
        if isinstance(look, tuple):
            reflectance = {"type": "rgb", "value": list(look)}
        else:
            bitmap = self._renderer.Bitmap(np.ascontiguousarray(look[::-1], np.float32))
            reflectance = {"type": "bitmap", "bitmap": bitmap, "raw": True}
        if gloss is None:
            matt = {"type": "diffuse", "reflectance": reflectance}
            return {"type": "twosided", "material": matt}
        return {"type": "roughplastic", "diffuse_reflectance": reflectance, "alpha": gloss}

    def add_mesh(
        self, mesh: Mesh, look: Colour | Texture, *, gloss: float | None = None, flat: bool = True
    ) -> None:
        """Add a mesh; gloss is the roughness of a lacquer, None means matt."""
        path = self._folder / f"mesh{len(self.objects):04d}.ply"
        mesh.write_ply(path)
        material = self._material(look, gloss)
        item = {"type": "ply", "filename": str(path), "face_normals": flat, "bsdf": material}
        self._add(item)

    def add_sphere(
        self, centre: Vector, radius_m: float, look: Colour | Texture, *, gloss: float | None = None
    ) -> None:
        """Add a sphere."""
        place = self._renderer.ScalarTransform4f().translate(list(centre)).scale(radius_m)
        self._add({"type": "sphere", "to_world": place, "bsdf": self._material(look, gloss)})

    def add_rod(self, start: Vector, end: Vector, radius_m: float, look: Colour | Texture) -> None:
        """Add a cylinder without caps."""
        line = {"p0": list(start), "p1": list(end), "radius": radius_m}
        self._add({"type": "cylinder", **line, "bsdf": self._material(look, None)})

    def add_panel_light(self, centre: Vector, towards: Vector, size: Vector, power: Colour) -> None:
        """Add a shining rectangle, seen from the side it faces."""
        place = self._renderer.ScalarTransform4f().look_at(
            origin=list(centre), target=list(towards), up=[0, 0, 1]
        )
        emitter = {"type": "area", "radiance": {"type": "rgb", "value": list(power)}}
        self._add({"type": "rectangle", "to_world": place.scale(list(size)), "light": emitter})

    def add_sky(self, sky: Texture, sun: Colour, sun_towards: Vector) -> None:
        """Add a sky of the given radiance and a sun whose light travels in a direction."""
        upright = self._renderer.ScalarTransform4f().rotate([1, 0, 0], 90)
        bitmap = self._renderer.Bitmap(np.ascontiguousarray(sky, np.float32))
        self._add({"type": "envmap", "bitmap": bitmap, "to_world": upright})
        irradiance = {"type": "rgb", "value": list(sun)}
        beam = {"direction": list(sun_towards), "irradiance": irradiance}
        self._add({"type": "directional", **beam})
