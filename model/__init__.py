"""Numerics of multi-exposure image fusion: arrays and tensors in, arrays and tensors out.

Names are imported on first use, so that a process that only needs the error tree or the exposure
types (the service's event loop) loads neither torch nor OpenCV.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from model.alignment.stack import align_stack
    from model.blend.torch_network import BlendNetwork
    from model.device import resolve_device
    from model.errors import (
        AlignmentError,
        ExposureError,
        FusionError,
        InferenceError,
        WeightsError,
    )
    from model.exposure import AlignmentReport, ExposureStack
    from model.lightness.pipeline import LightnessPipeline
    from model.lightness.torch_network import FusionNetwork
    from model.manifest import Manifest, NetworkConfig, PyramidBlendConfig, read_manifest
    from model.pipeline import FusionPipeline, create_pipeline
    from model.release.torch_networks import build_network
    from model.release.weights import LoadedWeights, load_weights

_HOME = {
    "AlignmentError": "model.errors",
    "AlignmentReport": "model.exposure",
    "BlendNetwork": "model.blend.torch_network",
    "ExposureError": "model.errors",
    "ExposureStack": "model.exposure",
    "FusionError": "model.errors",
    "FusionNetwork": "model.lightness.torch_network",
    "FusionPipeline": "model.pipeline",
    "InferenceError": "model.errors",
    "LightnessPipeline": "model.lightness.pipeline",
    "LoadedWeights": "model.release.weights",
    "Manifest": "model.manifest",
    "NetworkConfig": "model.manifest",
    "PyramidBlendConfig": "model.manifest",
    "WeightsError": "model.errors",
    "align_stack": "model.alignment.stack",
    "build_network": "model.release.torch_networks",
    "create_pipeline": "model.pipeline",
    "load_weights": "model.release.weights",
    "read_manifest": "model.manifest",
    "resolve_device": "model.device",
}

__all__ = [
    "AlignmentError",
    "AlignmentReport",
    "BlendNetwork",
    "ExposureError",
    "ExposureStack",
    "FusionError",
    "FusionNetwork",
    "FusionPipeline",
    "InferenceError",
    "LightnessPipeline",
    "LoadedWeights",
    "Manifest",
    "NetworkConfig",
    "PyramidBlendConfig",
    "WeightsError",
    "align_stack",
    "build_network",
    "create_pipeline",
    "load_weights",
    "read_manifest",
    "resolve_device",
]


def __getattr__(name: str) -> object:
    """Import a public name from its module on first use (PEP 562)."""
    if name not in _HOME:
        raise AttributeError(f"module 'model' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)
