"""Computes the passes of `pyramid-blend` on the CPU, a small window on each core at a time."""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from model.blend.definition import TERMS, weigh_contrast
from model.blend.kernels import (
    Planes,
    add_band,
    blend_pixels,
    halve_maps,
    reduce_lumas,
    reduce_pixels,
    reduce_planes,
)
from model.blend.levels import Levels, plan_levels, size_at
from model.blend.look import Look, LookMaps, to_lumas
from model.blend.single_thread import hold_single_thread
from model.blend.source import Source
from model.errors import InferenceError
from model.exposure import Pixels
from model.landing import Landed
from model.manifest import Parameters, PyramidBlendConfig
from model.side_by_side import OtherThreads, map_with
from model.tiling import Rect, Window
from model.warp import warp_pixels

Item = TypeVar("Item")
Result = TypeVar("Result")

CPU_TILE_PX = 512
"""Side of a core: larger ones leave the cache, smaller ones read more margin."""

WINDOWS_PER_THREAD = 4
"""Windows of a micro-batch for each thread, so that none waits long for the last."""


class CpuEngine:
    """The passes on the CPU.

    Results do not depend on the number of threads: a window is computed by one.

    Args:
        config: Shape of the network.
        parameters: Its parameters.
        threads: Windows computed at a time; None takes every core.
    """

    tile_px = CPU_TILE_PX

    def __init__(
        self, config: PyramidBlendConfig, parameters: Parameters, *, threads: int | None = None
    ) -> None:
        self.config = config
        self.look = Look(config, parameters)
        self.threads = threads or len(os.sched_getaffinity(0))
        self.preferred_batch = WINDOWS_PER_THREAD * self.threads
        self._others = OtherThreads(self.threads - 1) if self.threads > 1 else None
        self.saliency: list[float] = parameters["saliency"].tolist() if config.saliency else []

    def start(self, levels: Levels, source: Source) -> "CpuCanvas":
        """See `Engine.start`."""
        return CpuCanvas(self, levels, source)

    def map(self, work: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
        """See `Engine.map`."""
        with hold_single_thread(), _named_errors():
            return map_with(self._others, work, items)

    def warp(self, moving: Pixels, to_moving: NDArray[np.float64], target: Rect) -> Pixels:
        """See `Engine.warp`."""
        return warp_pixels(moving, to_moving, target)

    def fuse_lumas(self, planes: Planes) -> Planes:
        """The fused luma of a whole picture that is not made of pixels.

        Args:
            planes: The exposures. Shape (K, 3, H, W), 0..1.

        Returns:
            Shape (H, W), 0..1.
        """
        height, width = planes.shape[-2:]
        levels = plan_levels(height, width, network_side_px=self.config.network_side_px)
        stacks = [planes]
        for _ in range(levels.network):
            stacks.append(reduce_planes(stacks[-1]))
        maps = self.look.predict(stacks[-1], self.map)
        fused = self.fuse_coarse(to_lumas(stacks[-1]), maps, levels)
        return self.descend(
            fused,
            [to_lumas(stack) for stack in stacks],
            maps.planes,
            levels,
            Rect(0, 0, height, width),
            finest=0,
        )

    def fuse_coarse(self, lumas: Planes, maps: LookMaps, levels: Levels) -> Planes:
        """Blend a picture from the base down to the network's level.

        Args:
            lumas: Of the exposures at the network's level. Shape (K, h, w).
            maps: What the network said of them.
            levels: Levels of the picture.

        Returns:
            The fused luma at the network's level. Shape (h, w).
        """
        pyramid = [lumas]
        for _ in range(levels.base - levels.network):
            pyramid.append(reduce_planes(pyramid[-1]))
        # the base: exposures weighted by their own lumas
        above = levels.base - levels.network
        base, group = pyramid[-1], levels.group_of(levels.base)
        coefficients = halve_maps(maps.planes[group], above)[:-1]
        c0, c1, c2, c3 = (coefficients[term::TERMS] for term in range(TERMS))
        x = base - np.float32(0.5)
        logits = c0 + x * (c1 + c2 * x + c3 * x.mean(axis=0))
        weights = np.exp(logits - logits.max(axis=0))
        fused: Planes = (weights * base).sum(axis=0) / weights.sum(axis=0)
        # the collapse; above the network's level its maps are averaged
        for times in reversed(range(above)):
            fine = pyramid[times]
            group = levels.group_of(levels.network + times)
            fused = add_band(
                fused,
                fine,
                pyramid[times + 1],
                halve_maps(maps.planes[group], times),
                times=0,
                place=Rect(0, 0, *fine.shape[1:]),
                saliency=weigh_contrast(self.saliency, len(lumas), group),
            )
        return fused

    def descend(
        self,
        fused: Planes,
        lumas: Sequence[Planes],
        maps: Planes,
        levels: Levels,
        source: Rect,
        *,
        finest: int,
    ) -> Planes:
        """Collapse the levels of a window below the network's level.

        Args:
            fused: The fused luma at the coarsest level of the lumas.
            lumas: Of the exposures, from the level `finest` up.
            maps: Planes of `LookMaps`.
            levels: Levels of the picture.
            source: The window, in pixels of the picture.
            finest: Level at which to stop.

        Returns:
            The fused luma at the level `finest`.
        """
        for index in reversed(range(len(lumas) - 1)):
            level = finest + index
            group = levels.group_of(level)
            fused = add_band(
                fused,
                lumas[index],
                lumas[index + 1],
                maps[group],
                times=levels.network - level,
                place=source.reduced(level),
                saliency=weigh_contrast(self.saliency, len(lumas[0]), group),
            )
        return fused


class CpuCanvas:
    """What a run keeps between its passes: two small pictures and the network's maps."""

    def __init__(self, engine: CpuEngine, levels: Levels, source: Source) -> None:
        self._engine = engine
        self._levels = levels
        self._source = source
        exposures, height, width = len(source.stack), source.stack.height, source.stack.width
        self._whole = Rect(0, 0, height, width)
        size = size_at(height, width, levels.reduction)
        self._reduced: Planes = np.empty((exposures, 3, *size), np.float32)
        self._lumas: Planes = np.empty(0, np.float32)
        self._fused: Planes = np.empty(0, np.float32)
        self._maps: Planes = np.empty(0, np.float32)

    def reduce(self, window: Window) -> None:
        """See `Canvas.reduce`."""
        exposures, level = self._source.prepare(window), self._levels.reduction
        target = window.core.reduced(level)
        rows, columns = target.relative_to(window.source.reduced(level)).slices
        for exposure, pixels in enumerate(exposures):
            planes = reduce_pixels(pixels)
            for _ in range(level - 1):
                planes = reduce_planes(planes)
            self._reduced[exposure, :, *target.slices] = planes[:, rows, columns]

    def predict(self) -> None:
        """See `Canvas.predict`."""
        levels, engine = self._levels, self._engine
        with hold_single_thread(), _named_errors():
            # the exposures at the levels from the reduced one to the network's
            stacks = [self._reduced]
            for _ in range(levels.network - levels.reduction):
                stacks.append(reduce_planes(stacks[-1]))
            # the network's look at the whole picture, and the collapse from the base to its level
            maps = engine.look.predict(stacks[-1], engine.map)
            lumas = [to_lumas(stack) for stack in stacks]
            fused = engine.fuse_coarse(lumas[-1], maps, levels)
            # and from there to the reduced level, where windows take over
            self._maps = maps.planes
            self._lumas = lumas[0]
            self._fused = engine.descend(
                fused, lumas, self._maps, levels, self._whole, finest=levels.reduction
            )

    def blend(self, window: Window) -> Landed:
        """See `Canvas.blend`."""
        exposures = self._source.read_prepared(window.source)
        reduction = self._levels.reduction
        # lumas of the window at its finest levels, but for the pixels' own
        lumas = [reduce_lumas(exposures)]
        for _ in range(reduction - 2):
            lumas.append(reduce_planes(lumas[-1]))
        # at the reduced level both they and what is fused come from the whole picture
        rows, columns = window.source.reduced(reduction).slices
        lumas.append(self._lumas[..., rows, columns])
        fused = self._engine.descend(
            self._fused[rows, columns], lumas, self._maps, self._levels, window.source, finest=1
        )
        # the last step, and colour, of the core alone
        group = self._levels.group_of(0)
        core = blend_pixels(
            exposures,
            fused,
            lumas[0],
            self._maps[group],
            times=self._levels.network,
            place=window.source,
            core=window.core,
            saliency=weigh_contrast(self._engine.saliency, len(exposures), group),
        )
        return Landed(core)


@contextmanager
def _named_errors() -> Iterator[None]:
    """What OpenCV says of its failures, in our words."""
    try:
        yield
    except cv2.error as cause:
        if cause.code == cv2.Error.StsNoMem:
            raise MemoryError("expected memory for a window, OpenCV found none") from cause
        raise InferenceError("OpenCV failed on a window") from cause
