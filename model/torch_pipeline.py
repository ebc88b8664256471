"""Puts weights onto a device of torch; the one door from the CPU's code to torch."""

from typing import TYPE_CHECKING, Literal

import torch

from model.blend.cpu_engine import CpuEngine as BlendCpuEngine
from model.blend.pipeline import BlendPipeline, Engine
from model.blend.torch_engine import TorchEngine as BlendTorchEngine
from model.blend.torch_fused import FusedEngine
from model.blend.torch_network import BlendNetwork
from model.device import Precision
from model.lightness.definition import ChromaRule
from model.lightness.pipeline import LightnessPipeline
from model.lightness.torch_engine import TorchEngine as LightnessTorchEngine
from model.lightness.torch_engine import TorchNetwork
from model.release.torch_networks import build_loaded, to_parameters
from model.release.verify import verify_torch
from model.release.weights import LoadedWeights
from model.torch_kernels import open_kernels

if TYPE_CHECKING:
    from model.pipeline import FusionPipeline


def create_torch_pipeline(
    weights: LoadedWeights,
    *,
    device: str,
    precision: Precision,
    rule: ChromaRule | Literal["blend"],
) -> "FusionPipeline":
    """See `model.pipeline.create_pipeline`.

    Args:
        weights: Verified weights.
        device: `cuda:N`, or `cpu` to compare with.
        precision: Precision of the feature maps of `hyperp-mb`.
        rule: Rule that fuses a* and b*, `blend` where the network does.

    Returns:
        The pipeline.

    Raises:
        DeviceError: The kernels cannot be compiled for the device.
        WeightsError: The network in torch does not answer the golden pair as the manifest says.
    """
    verify_torch(weights)
    network, where = build_loaded(weights), torch.device(device)
    if isinstance(network, BlendNetwork):
        return BlendPipeline(_create_blend_engine(network, where))
    assert rule != "blend"
    engine = LightnessTorchEngine(
        TorchNetwork(network, device=where, precision=precision),
        launcher=open_kernels(where) if where.type == "cuda" else None,
    )
    return LightnessPipeline(engine, chroma=rule)


def create_blend_engine(
    network: BlendNetwork, *, device: str, threads: int | None = None
) -> Engine:
    """What computes a network's passes as the product does, while its parameters still change.

    Args:
        network: The network; its parameters are copied.
        device: `cpu` or `cuda:N`.
        threads: Threads of the CPU's computation; None takes every core.
    """
    if device == "cpu":
        return BlendCpuEngine(network.config, to_parameters(network), threads=threads)
    return _create_blend_engine(network, torch.device(device))


def _create_blend_engine(network: BlendNetwork, device: torch.device) -> Engine:
    """Fused kernels on a GPU, torch's own operations elsewhere."""
    if device.type == "cuda":
        return FusedEngine(network, launcher=open_kernels(device), device=device)
    return BlendTorchEngine(network, device=device)
