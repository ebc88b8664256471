"""Computes `hyperp-mb` in torch: on CUDA, in validation, and as the CPU's reference."""

from collections.abc import Sequence
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from model.device import Precision
from model.errors import InferenceError
from model.exposure import Pixels
from model.kernels.grids import Launcher
from model.landing import Landing
from model.lightness.definition import HALO_PX, ChromaRule, Padding
from model.lightness.torch_chroma import fuse_chroma
from model.lightness.torch_network import FusionNetwork
from model.tiling import Rect
from model.torch_colour import (
    PIXEL_TYPES,
    lab_to_linear,
    linear_to_lab,
    linear_to_srgb,
    pixels_to_linear,
    quantise,
    srgb_to_linear,
)
from model.torch_convolutions import EXACT_CONVOLUTIONS
from model.torch_graphs import MOST_GRAPHS, Graphs
from model.torch_staging import Staging
from model.torch_warp import KernelWarping, TorchWarping, Warping

CUDA_TILE_PX = 256
CUDA_BATCH = 8

PRECISIONS: dict[Precision, torch.dtype] = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}


class TorchNetwork:
    """The network in torch, in channels-last layout and one precision.

    On CUDA a call is padded to `preferred_batch` windows: kernels are chosen by shape, so a
    picture's bits would otherwise depend on how many windows share its calls. After an
    out-of-memory error that number is halved for good, so that the caller's smaller micro-batch
    is smaller on the device too.

    Args:
        network: Network in evaluation mode, float32.
        device: Where to run it.
        precision: Type of its feature maps; planes, parameters and the last layer are float32.
    """

    def __init__(
        self, network: FusionNetwork, *, device: torch.device, precision: Precision = "float32"
    ) -> None:
        self.device = device
        self.preferred_batch = CUDA_BATCH if device.type == "cuda" else 1
        self.precision: Precision = precision
        self._dtype = PRECISIONS[precision]
        self._network = FusionNetwork(network.config).eval().requires_grad_(False)
        self._network.load_state_dict(network.state_dict())
        self._network.to(device)
        for parameter in self._network.parameters():
            if parameter.dim() == 4:
                parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)

    def run(self, under_l: Tensor, over_l: Tensor, *, padding: Padding) -> Tensor:
        """Fuse lightness planes.

        Args:
            under_l: L* of the under exposure, 0..100. Shape (N, 1, H, W), float32.
            over_l: L* of the over exposure, same shape.
            padding: `reflect` keeps the size, `valid` loses the halo on each side.

        Returns:
            Fused L*, float32, on the network's device.

        Raises:
            torch.OutOfMemoryError: The device's memory does not hold this many windows.
        """
        count = under_l.shape[0]
        try:
            with (
                EXACT_CONVOLUTIONS.hold(),
                torch.autocast(self.device.type, self._dtype, enabled=self._dtype != torch.float32),
            ):
                fused = self._network(self._prepare(under_l), self._prepare(over_l), padding)
        except torch.OutOfMemoryError:
            self.preferred_batch = max(1, self.preferred_batch // 2)
            raise
        result: Tensor = fused[:count].to(torch.float32)
        return result

    def _prepare(self, planes: Tensor) -> Tensor:
        return fill_batch(planes, self).contiguous(memory_format=torch.channels_last)


def fill_batch(planes: Tensor, network: TorchNetwork) -> Tensor:
    """Planes, (N, C, H, W), and on CUDA empty windows behind them up to the network's batch."""
    missing = network.preferred_batch - len(planes) if network.device.type == "cuda" else 0
    return functional.pad(planes, (0, 0, 0, 0, 0, 0, 0, missing)) if missing > 0 else planes


class TorchEngine:
    """See `Engine`; planes are tensors of shape (1, 3, H, W) on the network's device.

    On CUDA all of it is given to one stream, beside copies that have theirs, and windows of a shape
    that was seen before are computed by a graph, `model.torch_graphs`.

    Args:
        network: The network.
        launcher: What computes the GPU's kernels; None warps by torch's own operations.
        most_graphs: CUDA graphs that are kept; 0 starts all kernels one by one.
    """

    tile_px = CUDA_TILE_PX
    halo_px = HALO_PX

    def __init__(
        self,
        network: TorchNetwork,
        *,
        launcher: Launcher | None = None,
        most_graphs: int = MOST_GRAPHS,
    ) -> None:
        self.network = network
        self.precision = network.precision
        self.graphs = Graphs(network.device, most=most_graphs)
        self._staging = Staging(network.device)
        self._warping: Warping = (
            TorchWarping(network.device)
            if launcher is None
            else KernelWarping(launcher, self._staging)
        )

    @property
    def preferred_batch(self) -> int:
        """Windows in one network call; it shrinks when the device's memory is too small."""
        return self.network.preferred_batch

    @torch.inference_mode()
    def read(self, pixels: Pixels) -> Tensor:
        """See `Engine.read`."""
        with self.graphs.computing():
            values = self._staging.send(pixels)
            return pixels_to_linear(values.permute(2, 0, 1).unsqueeze(0))

    @torch.inference_mode()
    def read_warped(self, moving: Pixels, to_moving: NDArray[np.float64], target: Rect) -> Tensor:
        """See `Engine.read_warped`."""
        with self.graphs.computing():
            return srgb_to_linear(self._warping.planes(moving, to_moving, target))

    @torch.inference_mode()
    def warp(self, moving: Pixels, to_moving: NDArray[np.float64], target: Rect) -> Pixels:
        """See `Engine.warp`."""
        with self.graphs.computing():
            return self._warping.pixels(moving, to_moving, target)

    @torch.inference_mode()
    def fuse(
        self,
        pairs: Sequence[tuple[Tensor, Tensor]],
        *,
        rule: ChromaRule,
        padding: Padding,
        covered: Rect,
    ) -> list[Tensor]:
        """See `Engine.fuse`."""
        with self.graphs.computing():
            under, over = (
                fill_batch(torch.cat(planes), self.network) for planes in zip(*pairs, strict=True)
            )
            key = tuple(under.shape), rule, padding, covered
            (fused,) = self.graphs.run(
                key, partial(self._fuse, rule, padding, covered), under, over
            )
            return list(fused[: len(pairs)])

    @torch.inference_mode()
    def to_pixels(self, srgb: Tensor, like: Pixels, part: Rect) -> Landing:
        """See `Engine.to_pixels`."""
        with self.graphs.computing():
            planes = srgb[:, *part.slices]
            pixels = quantise(planes, PIXEL_TYPES[like.dtype]).permute(1, 2, 0).contiguous()
            return self._staging.fetch(pixels)

    def _fuse(
        self, rule: ChromaRule, padding: Padding, covered: Rect, under: Tensor, over: Tensor
    ) -> tuple[Tensor]:
        """Encoded sRGB of what is covered of windows of linear sRGB, (N, 3, H, W) each."""
        exposures = (under, over)
        labs = [linear_to_lab(planes) for planes in exposures]
        lightness = self.network.run(labs[0][:, :1], labs[1][:, :1], padding=padding)
        expected = (len(under), 1, covered.height, covered.width)
        if tuple(lightness.shape) != expected:
            raise InferenceError(
                f"expected a network result of shape {expected}, got {tuple(lightness.shape)}"
            )
        # chroma by the rule, where the network gave lightness
        rows, columns = covered.slices
        chroma = torch.stack([lab[:, 1:, rows, columns] for lab in labs], dim=1)
        linear = torch.stack([planes[:, :, rows, columns] for planes in exposures], dim=1)
        fused = fuse_chroma(chroma, rule=rule, linear=linear, lightness=lightness[:, 0])
        picture = lab_to_linear(lightness[:, 0], fused[:, 0], fused[:, 1])
        return (linear_to_srgb(picture),)
