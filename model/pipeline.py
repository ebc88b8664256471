"""The way from an exposure pair to a picture, whatever the architecture of the weights.

A picture is a run, a run has passes, a pass has windows. `hyperp-mb` decides each pixel by its
neighbours: one pass. `pyramid-blend` looks at the whole picture first: three passes, see
`model.blend.passes`. Who drives a pipeline needs to know neither.
"""

from collections.abc import Sequence
from typing import Protocol

from model.blend.network import BlendNetwork
from model.blend.passes import BlendPipeline, create_engine
from model.exposure import AlignmentReport, ExposurePair, Pixels
from model.lightness.passes import LightnessPipeline
from model.lightness.runtime import Precision, place_weights, resolve_device
from model.release.weights import LoadedWeights
from model.run import FusionRun
from model.tiling import Window

__all__ = ["FusionPipeline", "FusionRun", "create_pipeline"]


class FusionPipeline(Protocol):
    """Weights on a device, ready to fuse exposure pairs window by window.

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
        self, pair: ExposurePair, report: AlignmentReport | None, out: Pixels | None = None
    ) -> FusionRun:
        """Plan the fusion of one pair; computes nothing.

        Args:
            pair: The exposures.
            report: How they lie on each other; None and the model `identity` warp nothing.
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

    def fuse(self, pair: ExposurePair, report: AlignmentReport | None = None) -> Pixels:
        """Fuse one pair.

        Args:
            pair: The exposures.
            report: How they lie on each other; None warps nothing.

        Returns:
            The picture. Shape (H, W, 3), dtype of the pair.
        """
        ...


def create_pipeline(
    weights: LoadedWeights,
    *,
    device: str,
    precision: Precision = "float32",
    threads: int | None = None,
) -> FusionPipeline:
    """Put weights onto a device.

    Args:
        weights: Verified weights of either architecture.
        device: `cpu` or `cuda:N`, see `resolve_device`.
        precision: Precision of the feature maps of `hyperp-mb` on CUDA; whatever else there is,
            is computed in float32.
        threads: Threads of the CPU's computation; None takes every core.

    Returns:
        The pipeline of the weights' architecture.

    Raises:
        ValueError: The device is not there.
    """
    if isinstance(weights.network, BlendNetwork):
        engine = create_engine(weights.network, device=resolve_device(device), threads=threads)
        return BlendPipeline(engine)
    chroma = weights.manifest.chroma
    # The manifest's own check; it tells the type checker which rules remain.
    assert chroma != "blend"
    runtime = place_weights(weights, device=device, precision=precision, threads=threads)
    return LightnessPipeline(runtime, chroma=chroma)
