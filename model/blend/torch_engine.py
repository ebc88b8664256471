"""Computes the passes of `pyramid-blend` by torch's own operations: the reference of the others."""

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model.blend.levels import Levels, size_at
from model.blend.source import Source
from model.blend.torch_colour import mix_colour, to_luma
from model.blend.torch_network import BlendMaps, BlendNetwork, bring_maps, build_pyramid
from model.exposure import Pixels
from model.landing import Landed
from model.tiling import Rect, Window
from model.torch_colour import FULL_SCALE, to_pixels
from model.torch_convolutions import EXACT_CONVOLUTIONS
from model.torch_warp import warp_pixels

TILE_PX = 1024

Item = TypeVar("Item")
Result = TypeVar("Result")


class TorchEngine:
    """The passes in torch, float32, window by window, as the formulas say them.

    `FusedEngine` is what serves on CUDA; this one says what it must give, on any device.

    Args:
        network: Network in evaluation mode, float32.
        device: Where to compute.
    """

    tile_px = TILE_PX
    preferred_batch = 1

    def __init__(self, network: BlendNetwork, *, device: torch.device) -> None:
        self.device = device
        self.network = BlendNetwork(network.config).eval().requires_grad_(False)
        self.network.load_state_dict(network.state_dict())
        self.network.to(device)
        self.config = network.config

    def start(self, levels: Levels, source: Source) -> "TorchCanvas":
        """See `Engine.start`."""
        return TorchCanvas(self, levels, source)

    def map(self, work: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
        """See `Engine.map`."""
        return [work(item) for item in items]

    def warp(self, moving: Pixels, to_moving: NDArray[np.float64], target: Rect) -> Pixels:
        """See `Engine.warp`."""
        return warp_pixels(moving, to_moving, target, device=self.device)


class TorchCanvas:
    """What a run keeps on the device between its passes."""

    def __init__(self, engine: TorchEngine, levels: Levels, source: Source) -> None:
        self._engine = engine
        self._levels = levels
        self._source = source
        stack = source.stack
        size = size_at(stack.height, stack.width, levels.reduction)
        self._reduced = torch.empty((1, len(stack), 3, *size), device=engine.device)
        self._lumas: Tensor | None = None
        self._fused: Tensor | None = None
        self._maps: BlendMaps | None = None

    @torch.inference_mode()
    def reduce(self, window: Window) -> None:
        """See `Canvas.reduce`."""
        exposures, level = self._source.prepare(window), self._levels.reduction
        target = window.core.reduced(level)
        reduced = build_pyramid(self._load(exposures), level)[-1]
        rows, columns = target.relative_to(window.source.reduced(level)).slices
        self._reduced[..., target.slices[0], target.slices[1]] = reduced[..., rows, columns]

    @torch.inference_mode()
    def predict(self) -> None:
        """See `Canvas.predict`."""
        levels, network = self._levels, self._engine.network
        with EXACT_CONVOLUTIONS.hold():
            seen = build_pyramid(self._reduced, levels.network - levels.reduction)[-1]
            maps = network.predict(seen)
            self._lumas = to_luma(self._reduced)
            pyramid = build_pyramid(self._lumas, levels.base - levels.reduction)
            self._fused = network.blend(pyramid, maps, levels, finest=levels.reduction)
        self._maps = maps

    @torch.inference_mode()
    def blend(self, window: Window) -> Landed:
        """See `Canvas.blend`."""
        levels, network = self._levels, self._engine.network
        exposures = self._source.read_prepared(window.source)
        assert self._lumas is not None
        assert self._fused is not None
        assert self._maps is not None
        rows, columns = window.source.reduced(levels.reduction).slices
        # lumas of the window; at the reduced level those of the whole picture
        planes = self._load(exposures)
        pyramid = build_pyramid(to_luma(planes), levels.reduction - 1)
        pyramid.append(self._lumas[..., rows, columns])
        # the collapse from there down to pixels, of which the core is kept and coloured
        fused = self._fused[..., rows, columns]
        for level in reversed(range(levels.reduction)):
            maps = bring_maps(self._maps, levels, level, window.source.reduced(level))
            group = levels.group_of(level)
            fused = network.add_band(fused, pyramid[level], pyramid[level + 1], maps, group)
        rows, columns = window.core.relative_to(window.source).slices
        coloured = mix_colour(planes[..., rows, columns], fused[..., rows, columns])
        return Landed(to_pixels(coloured[0], exposures[0]))

    def _load(self, exposures: Sequence[Pixels]) -> Tensor:
        """The exposures' windows on the device. Shape (1, K, 3, H, W), float32."""
        return torch.stack([self._load_one(pixels) for pixels in exposures], dim=1)

    def _load_one(self, pixels: Pixels) -> Tensor:
        values = torch.from_numpy(np.array(pixels)).to(self._engine.device)
        full = FULL_SCALE[values.dtype]
        return values.permute(2, 0, 1).unsqueeze(0).to(torch.float32) / full
