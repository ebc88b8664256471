"""Computes the passes of `pyramid-blend` on a GPU by fused kernels: each walks pixels once.

Where the device's memory suffices, the exposures stay there from the first pass to the last: their
windows are only how they come and go. A byte of them is then read twice by what computes, once
reduced and once blended, beside the margins of tiles, and a byte of the picture is written once.
Where it does not suffice, windows are sent in both passes, with the margins that they need.
"""

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model.blend.colour import RULE
from model.blend.definition import sharpen, weigh_contrast
from model.blend.levels import BANDS, Levels, size_at
from model.blend.source import Source
from model.blend.torch_colour import to_luma
from model.blend.torch_network import BlendMaps, BlendNetwork, bring_maps, find_clipped
from model.blend.torch_pyramid import repeat_halving
from model.exposure import Pixels
from model.kernels.grids import CHANNELS, Launcher
from model.landing import Landing
from model.tiling import Rect, Window
from model.torch_colour import PIXEL_TYPES
from model.torch_convolutions import EXACT_CONVOLUTIONS
from model.torch_graphs import MOST_GRAPHS, Graphs, Tensors
from model.torch_passes import (
    Level,
    Moving,
    add_band,
    blend_pixels,
    half_of,
    reduce_pixels,
    reduce_planes,
    warp_pixels,
)
from model.torch_staging import Staging
from model.torch_warp import KernelWarping

logger = logging.getLogger(__name__)

TILE_PX = 2048
"""Side of a core: large, for a launch costs the same whatever its window, and yet several make a
picture, so that one is on its way while another is computed."""

WINDOWS_ON_THE_WAY = 4
"""Windows of a micro-batch. The host waits for their pixels once, after it gave all of them out."""

SHARE_OF_MEMORY = 0.25
"""Of the device's free memory: exposures that take more do not stay there."""

Item = TypeVar("Item")
Result = TypeVar("Result")


class FusedEngine:
    """The passes by the kernels of `fusion.cu`, the network by torch, float32.

    A picture's bits depend neither on its company nor on its windows: each value is computed by the
    same operations wherever its pixel lies.

    Args:
        network: Network in evaluation mode, float32.
        launcher: What computes the kernels.
        device: Where to compute, on a stream of its own; that of the launcher.
        keep_bytes: Bytes of exposures that may stay on the device; None takes a share of what is
            free there.
        most_graphs: CUDA graphs that are kept; 0 starts all kernels one by one.
    """

    tile_px = TILE_PX
    preferred_batch = WINDOWS_ON_THE_WAY

    def __init__(
        self,
        network: BlendNetwork,
        *,
        launcher: Launcher,
        device: torch.device,
        keep_bytes: int | None = None,
        most_graphs: int = MOST_GRAPHS,
    ) -> None:
        self.device = device
        self.launcher = launcher
        self.network = BlendNetwork(network.config).eval().requires_grad_(False)
        self.network.load_state_dict(network.state_dict())
        self.network.to(device)
        self.config = network.config
        self.saliency: list[float] = network.saliency.tolist() if self.config.saliency else []
        self.staging = Staging(device)
        self.graphs = Graphs(device, most=most_graphs)
        self._keep_bytes = keep_bytes
        self._warping = KernelWarping(launcher, self.staging)

    def start(self, levels: Levels, source: Source) -> "FusedCanvas":
        """See `Engine.start`."""
        return FusedCanvas(self, levels, source)

    def map(self, work: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
        """See `Engine.map`; the device computes on while the next work is given out."""
        return [work(item) for item in items]

    @torch.inference_mode()
    def warp(self, moving: Pixels, to_moving: NDArray[np.float64], target: Rect) -> Pixels:
        """See `Engine.warp`."""
        with self.graphs.computing():
            return self._warping.pixels(moving, to_moving, target)

    def can_keep(self, n_bytes: int) -> bool:
        """Whether so much may stay on the device while a picture is fused."""
        if self._keep_bytes is not None:
            return n_bytes <= self._keep_bytes
        if self.device.type != "cuda":
            return True
        free, _ = torch.cuda.mem_get_info(self.device)
        cached = torch.cuda.memory_reserved(self.device) - torch.cuda.memory_allocated(self.device)
        return n_bytes <= SHARE_OF_MEMORY * (free + cached)

    def look(self, reduced: Tensor, levels: Levels) -> "Coarse":
        """Everything at and above the reduced level, by a graph where there is one.

        Args:
            reduced: R, G and B of the exposures at the reduced level. Shape (3 K, h, w).
            levels: Levels of the picture.
        """
        key = tuple(reduced.shape), levels
        with EXACT_CONVOLUTIONS.hold():
            found = self.graphs.run(key, partial(self._look, levels), reduced)
        lumas, fused, *maps = found
        return Coarse(lumas, fused, dict(zip(_groups_below(levels), maps, strict=True)))

    def level_of(
        self, level: int, levels: Levels, maps: dict[int, Tensor], place: Rect, exposures: int
    ) -> Level:
        """A level below the network's, as the kernels take it."""
        group = levels.group_of(level)
        contrast = weigh_contrast(self.saliency, exposures, group)
        return Level(maps[group], levels.network - level, place, contrast)

    def _look(self, levels: Levels, reduced: Tensor) -> Tensors:
        count = len(reduced) // CHANNELS
        # the exposures at the network's level, and what it says of them
        planes = reduced
        for _ in range(levels.network - levels.reduction):
            planes = reduce_planes(self.launcher, planes)
        seen = planes.reshape(1, count, CHANNELS, *planes.shape[1:])
        maps = self._predict(seen)
        groups = range(levels.group_of(levels.base) + 1)
        by_group = {group: _maps_of_group(maps, group, count) for group in groups}
        # lumas from the reduced level up
        pyramid = [to_luma(reduced.reshape(count, CHANNELS, *reduced.shape[1:]))]
        for _ in range(levels.base - levels.reduction):
            pyramid.append(reduce_planes(self.launcher, pyramid[-1]))
        # the base: exposures weighted by their own lumas
        top, group = pyramid[-1], levels.group_of(levels.base)
        frame = Rect(0, 0, *top.shape[1:])
        coefficients, _ = bring_maps(maps, levels, levels.base, frame)
        weights = self.network.weigh(top[None], None, coefficients, group)
        fused = (weights[0] * top).sum(0)
        # the collapse; above the network's level its maps are averaged
        for level in range(levels.base - 1, levels.reduction - 1, -1):
            fine, coarse = pyramid[level - levels.reduction : level - levels.reduction + 2]
            group, above = levels.group_of(level), max(level - levels.network, 0)
            averaged = repeat_halving(by_group[group][None], above)[0].contiguous()
            place = Rect(0, 0, *fine.shape[1:])
            contrast = weigh_contrast(self.saliency, count, group)
            at_level = Level(averaged, max(levels.network - level, 0), place, contrast)
            fused = add_band(self.launcher, fused, fine, coarse, at_level)
        return pyramid[0], fused, *(by_group[group] for group in _groups_below(levels))

    def _predict(self, seen: Tensor) -> BlendMaps:
        """See `BlendNetwork.predict`; all exposures of a picture, (1, K, 3, h, w), in one batch."""
        lumas = to_luma(seen)[0]
        both = torch.stack((lumas, lumas.mean(0).expand_as(lumas)), dim=1)
        planes = torch.cat((both, find_clipped(seen[0])), dim=1) * 2 - 1
        features: Tensor = self.network.encoder(planes)
        return self.network.decide(torch.split(features, 1), seen)


@dataclass(frozen=True, slots=True, eq=False)
class Coarse:
    """What is known of a picture at and above its reduced level.

    Attributes:
        lumas: Of the exposures at the reduced level. Shape (K, h, w).
        fused: The fused luma there. Shape (h, w).
        maps: The network's maps of each group of the levels below its own. Shape (4 K + 1, ...).
    """

    lumas: Tensor
    fused: Tensor
    maps: dict[int, Tensor]


@dataclass(slots=True, eq=False)
class _Kept:
    """Exposures that stay on the device, and what is made of them there.

    Attributes:
        stack: At the reference's pixels. Shape (K, H, W, 3).
        moving: Those that are still to be warped into the stack, as they were given.
        lumas: Of the stack at half its size; complete with `fused`.
        fused: The fused luma at half its size.
    """

    stack: Tensor
    moving: dict[int, Tensor]
    lumas: Tensor | None = None
    fused: Tensor | None = None


class FusedCanvas:
    """What a run keeps on the device between its passes."""

    def __init__(self, engine: FusedEngine, levels: Levels, source: Source) -> None:
        self._engine = engine
        self._levels = levels
        self._source = source
        height, width = source.stack.height, source.stack.width
        self._whole = Rect(0, 0, height, width)
        self._reduced: Tensor = torch.empty(0)
        self._kept: _Kept | None = None
        self._unreduced: dict[Rect, Window] = {}
        self._coarse: Coarse | None = None

    @torch.inference_mode()
    def reduce(self, window: Window) -> None:
        """See `Canvas.reduce`."""
        with self._engine.graphs.computing():
            if not len(self._reduced):
                self._begin()
            if self._kept is None:
                self._reduce_window(window)
            elif self._coarse is None:
                self._keep_window(self._kept, window)
                self._unreduced[window.core] = window

    @torch.inference_mode()
    def predict(self) -> None:
        """See `Canvas.predict`; where memory is too small for what stays, windows are sent."""
        computing = self._engine.graphs.computing
        if self._kept is not None:
            try:
                with computing():
                    self._predict_of_kept(self._kept)
                return
            except torch.OutOfMemoryError as error:
                logger.warning("no memory for what stays, windows are sent: %s", error)
                self._kept = None
        with computing():
            while self._unreduced:
                core, window = next(iter(self._unreduced.items()))
                self._reduce_window(window)
                del self._unreduced[core]
            self._coarse = self._engine.look(self._reduced, self._levels)

    def _predict_of_kept(self, kept: _Kept) -> None:
        self._reduce_kept(kept)
        assert kept.lumas is not None
        self._coarse = self._engine.look(self._reduced, self._levels)
        kept.fused = self._descend(self._coarse, kept.lumas, self._whole)
        self._unreduced.clear()

    @torch.inference_mode()
    def blend(self, window: Window) -> Landing:
        """See `Canvas.blend`."""
        engine, kept, coarse = self._engine, self._kept, self._coarse
        assert coarse is not None
        with engine.graphs.computing():
            if kept is not None and kept.lumas is not None and kept.fused is not None:
                pixels, lumas, fused, place = kept.stack, kept.lumas, kept.fused, self._whole
            else:
                place = window.source
                pixels = self._send(self._source.read_prepared(place))
                lumas = self._make_planes(len(pixels), *half_of(place.height, place.width))
                reduce_pixels(engine.launcher, pixels, planes=None, lumas=lumas)
                fused = self._descend(coarse, lumas, place)
            level = engine.level_of(0, self._levels, coarse.maps, place, len(pixels))
            core = blend_pixels(
                engine.launcher, pixels, fused, lumas, level, core=window.core, rule=RULE
            )
            return engine.staging.fetch(core)

    def _begin(self) -> None:
        """Decide whether the exposures stay, once there is something to do."""
        stack, engine = self._source.stack, self._engine
        count, height, width = len(stack), stack.height, stack.width
        has_ghosts = self._source.has_ghosts
        warped = [
            index
            for index, motion in enumerate(self._source.motions)
            if motion is not None and not has_ghosts
        ]
        # pixels as they are, and at half their size R, G and B once, lumas and what is fused
        samples = (count + len(warped)) * CHANNELS * height * width
        planes = (CHANNELS * count + count + 1) * height * width // 4
        if engine.can_keep(samples * stack.darkest.itemsize + 4 * planes):
            try:
                dtype, shape = PIXEL_TYPES[stack.darkest.dtype], (height, width, CHANNELS)
                kept = engine.staging.reserve((count, *shape), dtype)
                moving = {index: engine.staging.reserve(shape, dtype) for index in warped}
                self._kept = _Kept(kept, moving)
            except torch.OutOfMemoryError:
                self._kept = None
        size = size_at(height, width, self._levels.reduction)
        self._reduced = self._make_planes(CHANNELS * count, *size)

    def _keep_window(self, kept: _Kept, window: Window) -> None:
        """Send the core of a window of every exposure; they are reduced together."""
        core, source = window.core, self._source
        # What moved is replaced on the host, which needs the warped exposures there.
        exposures = (
            source.read(core)
            if source.has_ghosts
            else [pixels[core.slices] for pixels in source.stack.exposures]
        )
        for index, pixels in enumerate(exposures):
            there = kept.moving.get(index, kept.stack[index])
            self._engine.staging.send_into(pixels, there[core.slices])

    def _reduce_kept(self, kept: _Kept) -> None:
        launcher, whole = self._engine.launcher, self._whole
        for index, pixels in kept.moving.items():
            motion = self._source.motions[index]
            assert motion is not None
            moving = Moving(pixels, whole, whole.height, whole.width)
            warp_pixels(launcher, moving, motion, whole, kept.stack[index])
        half = half_of(whole.height, whole.width)
        planes = self._make_planes(CHANNELS * len(kept.stack), *half)
        kept.lumas = self._make_planes(len(kept.stack), *half)
        reduce_pixels(launcher, kept.stack, planes=planes, lumas=kept.lumas)
        self._reduce_further(planes, self._reduced)
        kept.moving.clear()

    def _reduce_window(self, window: Window) -> None:
        """Send a window of every exposure and bring its core to the reduced level."""
        level = self._levels.reduction
        pixels = self._send(self._source.prepare(window))
        half = half_of(window.source.height, window.source.width)
        planes = self._make_planes(CHANNELS * len(pixels), *half)
        reduce_pixels(self._engine.launcher, pixels, planes=planes, lumas=None)
        reduced = self._reduce_further(planes, None)
        target = window.core.reduced(level)
        rows, columns = target.relative_to(window.source.reduced(level)).slices
        self._reduced[:, *target.slices] = reduced[:, rows, columns]

    def _reduce_further(self, planes: Tensor, into: Tensor | None) -> Tensor:
        """Bring planes from half the size to the reduced level."""
        for _ in range(self._levels.reduction - 2):
            planes = reduce_planes(self._engine.launcher, planes)
        return reduce_planes(self._engine.launcher, planes, into)

    def _descend(self, coarse: Coarse, lumas: Tensor, place: Rect) -> Tensor:
        """Collapse a part of the picture from the reduced level to half the size.

        Args:
            coarse: What lies above.
            lumas: Of the exposures at half the size. Shape (K, h, w).
            place: The part, in pixels of the picture.

        Returns:
            The fused luma at half the size. Shape (h, w).
        """
        engine, levels = self._engine, self._levels
        pyramid = [lumas]
        for _ in range(levels.reduction - 2):
            pyramid.append(reduce_planes(engine.launcher, pyramid[-1]))
        # at the reduced level both they and what is fused come from the whole picture
        rows, columns = place.reduced(levels.reduction).slices
        pyramid.append(coarse.lumas[:, rows, columns])
        fused = coarse.fused[rows, columns]
        for level in range(levels.reduction - 1, 0, -1):
            at_level = engine.level_of(level, levels, coarse.maps, place.reduced(level), len(lumas))
            fine, above = pyramid[level - 1], pyramid[level]
            fused = add_band(engine.launcher, fused, fine, above, at_level)
        return fused

    def _send(self, exposures: Sequence[Pixels]) -> Tensor:
        """Windows of every exposure on the device. Shape (K, H, W, 3)."""
        staging, first = self._engine.staging, exposures[0]
        pixels = staging.reserve((len(exposures), *first.shape), PIXEL_TYPES[first.dtype])
        for exposure, there in zip(exposures, pixels, strict=True):
            staging.send_into(exposure, there)
        return pixels

    def _make_planes(self, *shape: int) -> Tensor:
        return torch.empty(shape, dtype=torch.float32, device=self._engine.device)


def _groups_below(levels: Levels) -> list[int]:
    """Groups of the levels below the network's."""
    return sorted({levels.group_of(level) for level in range(levels.network)})


def _maps_of_group(maps: BlendMaps, group: int, exposures: int) -> Tensor:
    """What `add_band` needs of the network's maps for one group. Shape (4 K + 1, h, w)."""
    band = min(group, BANDS - 1)
    coefficients = sharpen(exposures) * maps.coefficients[0, :, group].flatten(0, 1)
    return torch.cat((coefficients, maps.gains[0, band : band + 1]))
