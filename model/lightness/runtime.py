"""Runs the network `hyperp-mb` on a device: by ONNX Runtime on the CPU, by torch on CUDA."""

from pathlib import Path
from typing import Protocol

import onnxruntime
import torch
from onnxruntime.capi.onnxruntime_pybind11_state import (
    EPFail,
    Fail,
    InvalidArgument,
    RuntimeException,
)
from torch import Tensor
from torch.nn import functional

from model.device import PRECISIONS, Precision, resolve_device
from model.errors import InferenceError
from model.lightness.network import FusionNetwork, Padding
from model.manifest import GRAPH_NAME, VALID_GRAPH_NAME

CPU_TILE_PX = 192
"""Side of a core: 5 % slower than 512 and a sixth of its memory (see `bench/exactness.py`)."""

CUDA_TILE_PX = 256
CUDA_BATCH = 8


class Runtime(Protocol):
    """A network on a device.

    Attributes:
        device: Where its tensors live.
        halo_px: Margin that a window must read around its core.
        tile_px: Side of the cores that it runs well.
        precision: Precision of the feature maps.
        preferred_batch: Windows in one network call. A picture's result must not depend on what
            shares the call, so this number decides shapes and is not a mere hint.
    """

    device: torch.device
    halo_px: int
    tile_px: int
    precision: Precision
    preferred_batch: int

    def run(self, under_l: Tensor, over_l: Tensor, *, padding: Padding) -> Tensor:
        """Fuse lightness planes.

        Args:
            under_l: L* of the under exposure, 0..100. Shape (N, 1, H, W), float32.
            over_l: L* of the over exposure, same shape.
            padding: `reflect` keeps the size, `valid` loses the halo on each side.

        Returns:
            Fused L*, float32, on the runtime's device.

        Raises:
            InferenceError: The network call failed.
            torch.OutOfMemoryError: The device's memory does not hold this many windows.
        """
        ...


class OnnxRuntime:
    """The network on the CPU, from the two graphs beside its parameters.

    Windows are run one at a time: more at once are not faster on a CPU, cost memory, and let
    vector remainders fall on other pixels, so that a picture's last bit would depend on its
    company.

    Args:
        network: The network that the graphs were exported from.
        graphs_dir: Folder of the two graphs, already verified.
        threads: Threads of a network call; None leaves the choice to ONNX Runtime.
    """

    precision: Precision = "float32"
    preferred_batch = 1
    tile_px = CPU_TILE_PX

    def __init__(
        self, network: FusionNetwork, graphs_dir: Path, *, threads: int | None = None
    ) -> None:
        self.device = torch.device("cpu")
        self.halo_px = network.halo
        graphs: dict[Padding, str] = {"reflect": GRAPH_NAME, "valid": VALID_GRAPH_NAME}
        self._sessions = {
            padding: onnxruntime.InferenceSession(
                graphs_dir / name,
                _session_options(threads),
                providers=["CPUExecutionProvider"],
            )
            for padding, name in graphs.items()
        }

    def run(self, under_l: Tensor, over_l: Tensor, *, padding: Padding) -> Tensor:
        """See `Runtime.run`."""
        session = self._sessions[padding]
        try:
            fused = [
                session.run(None, {"under_l": under[None], "over_l": over[None]})[0]
                for under, over in zip(under_l.numpy(), over_l.numpy(), strict=True)
            ]
        except (Fail, InvalidArgument, RuntimeException, EPFail) as cause:
            raise InferenceError(
                f"ONNX Runtime failed on windows of shape {tuple(under_l.shape)}"
            ) from cause
        return torch.cat([torch.from_numpy(plane) for plane in fused])


class TorchRuntime:
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

    tile_px = CUDA_TILE_PX

    def __init__(
        self, network: FusionNetwork, *, device: torch.device, precision: Precision = "float32"
    ) -> None:
        self.device = device
        self.halo_px = network.halo
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
        """See `Runtime.run`."""
        count = under_l.shape[0]
        try:
            with torch.autocast(
                self.device.type, self._dtype, enabled=self._dtype != torch.float32
            ):
                fused = self._network(self._prepare(under_l), self._prepare(over_l), padding)
        except torch.OutOfMemoryError:
            self.preferred_batch = max(1, self.preferred_batch // 2)
            raise
        result: Tensor = fused[:count].to(torch.float32)
        return result

    def _prepare(self, planes: Tensor) -> Tensor:
        if self.device.type == "cuda":
            missing = max(0, self.preferred_batch - planes.shape[0])
            planes = functional.pad(planes, (0, 0, 0, 0, 0, 0, 0, missing))
        return planes.contiguous(memory_format=torch.channels_last)


def create_runtime(
    network: FusionNetwork,
    graphs_dir: Path,
    *,
    device: str,
    precision: Precision = "float32",
    threads: int | None = None,
) -> Runtime:
    """Put a network onto a device.

    Args:
        network: Network in evaluation mode, float32.
        graphs_dir: Folder of its two graphs, which the CPU runs; CUDA does not read it.
        device: `cpu` or `cuda:N`, see `resolve_device`.
        precision: Precision on CUDA; the CPU computes in float32.
        threads: Threads of the CPU's network calls; None leaves the choice to ONNX Runtime.

    Returns:
        The CPU's or the device's runtime.

    Raises:
        ValueError: The device is not there.
    """
    resolved = torch.device(resolve_device(device))
    if resolved.type == "cpu":
        return OnnxRuntime(network, graphs_dir, threads=threads)
    return TorchRuntime(network, device=resolved, precision=precision)


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
