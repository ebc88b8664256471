"""Computes `hyperp-mb` on the CPU: the network in ONNX Runtime, all else on arrays."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from onnxruntime.capi.onnxruntime_pybind11_state import (
    EPFail,
    Fail,
    InvalidArgument,
    RuntimeException,
)

from model.colour import (
    Planes,
    lab_to_linear,
    linear_to_lab,
    linear_to_srgb,
    pixels_to_linear,
    srgb_to_linear,
    to_pixels,
)
from model.device import Precision
from model.errors import InferenceError
from model.exposure import Pixels
from model.landing import Landed
from model.lightness.chroma import fuse_chroma
from model.lightness.definition import HALO_PX, ChromaRule, Padding
from model.manifest import GRAPH_NAME, VALID_GRAPH_NAME
from model.tiling import Rect
from model.warp import warp_pixels, warp_planes

CPU_TILE_PX = 192
"""Side of a core: 5 % slower than 512 and a sixth of its memory (see `bench/exactness.py`)."""


class OnnxNetwork:
    """The network on the CPU, from the two graphs beside its parameters.

    Args:
        graphs_dir: Folder of the two graphs, already verified.
        threads: Threads of a network call; None leaves the choice to ONNX Runtime.
    """

    def __init__(self, graphs_dir: Path, *, threads: int | None = None) -> None:
        graphs: dict[Padding, str] = {"reflect": GRAPH_NAME, "valid": VALID_GRAPH_NAME}
        self._sessions = {
            padding: onnxruntime.InferenceSession(
                graphs_dir / name,
                _session_options(threads),
                providers=["CPUExecutionProvider"],
            )
            for padding, name in graphs.items()
        }

    def run(self, under_l: Planes, over_l: Planes, *, padding: Padding) -> Planes:
        """Fuse lightness planes.

        Args:
            under_l: L* of the under exposure, 0..100. Shape (H, W).
            over_l: L* of the over exposure, same shape.
            padding: `reflect` keeps the size, `valid` loses the halo on each side.

        Returns:
            Fused L*. Shape (H, W).

        Raises:
            InferenceError: The network call failed.
        """
        given = {"under_l": under_l[None, None], "over_l": over_l[None, None]}
        try:
            fused: Planes = self._sessions[padding].run(None, given)[0][0, 0]
        except (Fail, InvalidArgument, RuntimeException, EPFail) as cause:
            raise InferenceError(
                f"ONNX Runtime failed on a window of shape {under_l.shape}"
            ) from cause
        return fused


class CpuEngine:
    """See `Engine`.

    Windows are computed one at a time: more at once are not faster on a CPU, cost memory, and let
    vector remainders fall on other pixels, so that a picture's last bit would depend on its
    company.

    Args:
        network: The network.
    """

    precision: Precision = "float32"
    preferred_batch = 1
    tile_px = CPU_TILE_PX
    halo_px = HALO_PX

    def __init__(self, network: OnnxNetwork) -> None:
        self.network = network

    def read(self, pixels: Pixels) -> Planes:
        """See `Engine.read`."""
        return pixels_to_linear(pixels)

    def read_warped(self, moving: Pixels, to_moving: NDArray[np.float64], target: Rect) -> Planes:
        """See `Engine.read_warped`."""
        return srgb_to_linear(warp_planes(moving, to_moving, target))

    def warp(self, moving: Pixels, to_moving: NDArray[np.float64], target: Rect) -> Pixels:
        """See `Engine.warp`."""
        return warp_pixels(moving, to_moving, target)

    def fuse(
        self,
        pairs: Sequence[tuple[Planes, Planes]],
        *,
        rule: ChromaRule,
        padding: Padding,
        covered: Rect,
    ) -> list[Planes]:
        """See `Engine.fuse`."""
        return [self._fuse(*pair, rule, padding, covered) for pair in pairs]

    def to_pixels(self, srgb: Planes, like: Pixels, part: Rect) -> Landed:
        """See `Engine.to_pixels`."""
        return Landed(to_pixels(srgb[:, *part.slices], like))

    def _fuse(
        self, under: Planes, over: Planes, rule: ChromaRule, padding: Padding, covered: Rect
    ) -> Planes:
        labs = [linear_to_lab(under), linear_to_lab(over)]
        lightness = self.network.run(labs[0][0], labs[1][0], padding=padding)
        if lightness.shape != (covered.height, covered.width):
            raise InferenceError(
                f"expected a network result of shape {(covered.height, covered.width)}, "
                f"got {lightness.shape}"
            )
        # chroma by the rule, where the network gave lightness
        place = (slice(None), *covered.slices)
        a, b = fuse_chroma(
            [lab[1:][place] for lab in labs],
            rule=rule,
            linear=[under[place], over[place]],
            lightness=lightness,
        )
        return linear_to_srgb(lab_to_linear(lightness, a, b))


def _session_options(threads: int | None) -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.intra_op_num_threads = threads or 0
    options.inter_op_num_threads = 1
    # A pattern is kept for every shape seen; without it the arena holds one window's buffers.
    options.enable_mem_pattern = False
    options.add_session_config_entry("session.set_denormal_as_zero", "1")
    # A spinning thread holds a core that the decoders want, and the network gains nothing by it.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return options
