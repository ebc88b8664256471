"""Turns weights of either architecture into a pipeline that fuses stacks of exposures.

Fusing one picture is a run. A run has passes, and a pass has windows. The pipeline of `hyperp-mb`
decides each pixel by its neighbours, so it has one pass. The pipeline of `pyramid-blend` looks at
the whole picture first, so it has three, see `model.blend.pipeline`. Callers do not need to know
which architecture is running.
"""

from collections.abc import Sequence
from typing import Protocol

from model.blend.cpu_engine import CpuEngine as BlendCpuEngine
from model.blend.pipeline import BlendPipeline
from model.device import Precision, resolve_device
from model.exposure import ExposureStack, Pixels
from model.lightness.definition import ChromaRule
from model.lightness.pipeline import LightnessPipeline
from model.manifest import PyramidBlendConfig
from model.registration import Registration
from model.release.weights import LoadedWeights
from model.run import FusionRun
from model.tiling import Window

__all__ = ["FusionPipeline", "FusionRun", "create_pipeline"]


class FusionPipeline(Protocol):
    """Weights on a device, ready to fuse stacks of exposures window by window.

    Attributes:
        tile_px: Largest side of a window's core.
    """

    tile_px: int

    @property
    def precision(self) -> Precision:
        """Precision of the network's feature maps."""
        ...

    @property
    def preferred_batch(self) -> int:
        """Windows that are best fused at a time; it may shrink when memory is too small."""
        ...

    def begin(
        self,
        stack: ExposureStack,
        registration: Registration = ...,
        out: Pixels | None = None,
    ) -> FusionRun:
        """Plan the fusion of one stack; computes nothing.

        Args:
            stack: The exposures.
            registration: How they go together; as they are when not given.
            out: Array for the result, shape and dtype of the exposures; None allocates one.

        Returns:
            The run, ready for `fuse_windows`.

        Raises:
            ValueError: `out` does not fit, or the homography cannot warp the picture.
        """
        ...

    def fuse_windows(self, batch: Sequence[tuple[FusionRun, Window]]) -> None:
        """Fuse one micro-batch and write the cores of the last pass to the runs' outputs.

        Nothing is written unless the whole micro-batch (or, where it is larger than
        `preferred_batch`, that part of it) succeeded. A window's result does not depend on the
        others in its micro-batch, and a window may be fused again.

        Args:
            batch: Windows of one or more runs with equal `batch_key`, at least one.

        Raises:
            ValueError: The batch is empty or mixes batch keys, a run is another pipeline's, or a
                window's turn has not come: the pass before it is not complete.
            InferenceError: The computation failed or returned something else than asked for.
            torch.OutOfMemoryError: The device's memory does not hold the micro-batch.
        """
        ...

    def fuse(self, stack: ExposureStack, registration: Registration = ...) -> Pixels:
        """Fuse one stack.

        Args:
            stack: The exposures.
            registration: How they go together; as they are when not given.

        Returns:
            The picture. Shape (H, W, 3), dtype of the stack.
        """
        ...


def create_pipeline(
    weights: LoadedWeights,
    *,
    device: str,
    precision: Precision = "float32",
    threads: int | None = None,
    chroma: ChromaRule | None = None,
) -> FusionPipeline:
    """Put weights onto a device.

    Args:
        weights: Verified weights of either architecture.
        device: `cpu` or `cuda:N`, see `resolve_device`.
        precision: Precision of the feature maps of `hyperp-mb` on CUDA; whatever else there is,
            is computed in float32.
        threads: Threads of the CPU's computation; None takes every core.
        chroma: Rule that fuses a* and b* instead of the manifest's; `pyramid-blend` has none.

    Returns:
        The pipeline of the weights' architecture.

    Raises:
        DeviceError: The device is not there, or torch is not installed for it.
        ValueError: A rule is given to weights that take none.
        WeightsError: The network in torch does not answer the golden pair as the manifest says.
    """
    config, rule = weights.manifest.network, chroma or weights.manifest.chroma
    if isinstance(config, PyramidBlendConfig) and chroma is not None:
        raise ValueError(f"expected no chroma rule for pyramid-blend, got '{chroma}'")
    resolved = resolve_device(device)
    if resolved != "cpu":
        # Nothing before this line has imported torch, which a CPU's installation lacks.
        from model.torch_pipeline import create_torch_pipeline

        return create_torch_pipeline(weights, device=resolved, precision=precision, rule=rule)
    if isinstance(config, PyramidBlendConfig):
        return BlendPipeline(BlendCpuEngine(config, weights.parameters, threads=threads))
    # The manifest's own check; it tells the type checker which rules remain.
    assert rule != "blend"
    # ONNX Runtime, which the other network does without, costs memory and a start's time.
    from model.lightness.cpu_engine import CpuEngine as LightnessCpuEngine
    from model.lightness.cpu_engine import OnnxNetwork

    network = OnnxNetwork(weights.directory, threads=threads)
    return LightnessPipeline(LightnessCpuEngine(network), chroma=rule)
