"""The one place that orders warp -> CIELAB -> network -> chroma -> RGB, window by window."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model.colour import (
    ChromaRule,
    fuse_chroma,
    lab_to_linear,
    linear_to_lab,
    linear_to_srgb,
    pixels_to_linear,
    quantise,
    srgb_to_linear,
)
from model.errors import InferenceError
from model.exposure import AlignmentReport, ExposurePair, Pixels
from model.network import Padding
from model.runtime import Runtime
from model.tiling import Rect, Window, plan_windows
from model.warp import reference_to_moving, warp_window

PIXEL_TYPES = {np.dtype(np.uint8): torch.uint8, np.dtype(np.uint16): torch.uint16}


@dataclass(frozen=True, slots=True, eq=False)
class FusionRun:
    """One picture on its way: views of its exposures, its passes, and where the result goes.

    Attributes:
        pair: The exposures, not copied.
        passes: The windows of the picture, pass by pass, none of them empty. All windows of a pass
            must be fused, in any order, before one of the next pass is.
        output: The picture. Shape (H, W, 3), dtype of the pair; complete once the last pass was
            fused.
        to_moving: Reference pixel -> moving-exposure pixel, None where nothing is warped.
        is_under_moving: The under exposure is the one that is warped.
    """

    pair: ExposurePair
    passes: tuple[tuple[Window, ...], ...]
    output: Pixels
    to_moving: NDArray[np.float64] | None
    is_under_moving: bool


class FusionPipeline:
    """Fuse exposure pairs window by window.

    Args:
        runtime: The network on its device.
        chroma: Rule that fuses a* and b*.
        tile_px: Largest side of a window's core; None takes the runtime's.
        halo_px: Margin read around a core; None takes the runtime's, and nothing else is right.
    """

    def __init__(
        self,
        runtime: Runtime,
        *,
        chroma: ChromaRule,
        tile_px: int | None = None,
        halo_px: int | None = None,
    ) -> None:
        self.runtime = runtime
        self.chroma: ChromaRule = chroma
        self.tile_px = runtime.tile_px if tile_px is None else tile_px
        self.halo_px = runtime.halo_px if halo_px is None else halo_px

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
        shape, dtype = pair.under.shape, pair.under.dtype
        output = np.empty(shape, dtype) if out is None else out
        if output.shape != shape or output.dtype != dtype or not output.flags.writeable:
            raise ValueError(
                f"expected a writeable output of shape {shape} and {dtype}, "
                f"got {output.shape} and {output.dtype}"
            )
        windows = plan_windows(pair.height, pair.width, halo_px=self.halo_px, tile_px=self.tile_px)
        if report is None or report.model == "identity":
            return FusionRun(pair, (windows,), output, None, is_under_moving=False)
        to_moving = reference_to_moving(report.homography, pair.height, pair.width)
        return FusionRun(
            pair, (windows,), output, to_moving, is_under_moving=report.reference == "over"
        )

    def fuse_windows(self, batch: Sequence[tuple[FusionRun, Window]]) -> None:
        """Fuse one micro-batch and write the cores to the runs' outputs.

        Nothing is written unless the whole network call succeeded, and a window's result does
        not depend on the others in its micro-batch.

        Args:
            batch: Windows of one or more runs with equal `batch_key`, at least one.

        Raises:
            ValueError: The batch is empty or mixes batch keys.
            InferenceError: The network failed or returned something else than asked for.
            torch.OutOfMemoryError: The device's memory does not hold the micro-batch.
        """
        keys = {window.batch_key for _, window in batch}
        if len(keys) != 1:
            raise ValueError(f"expected windows of one batch key, got {len(keys)} keys")
        size = self.runtime.preferred_batch
        with torch.inference_mode():
            for start in range(0, len(batch), size):
                self._fuse_chunk(batch[start : start + size])

    def fuse(self, pair: ExposurePair, report: AlignmentReport | None = None) -> Pixels:
        """Fuse one pair.

        Args:
            pair: The exposures.
            report: How they lie on each other; None warps nothing.

        Returns:
            The picture. Shape (H, W, 3), dtype of the pair.
        """
        run = self.begin(pair, report)
        for windows in run.passes:
            for batch in _batches(run, windows, self.runtime.preferred_batch):
                self.fuse_windows(batch)
        return run.output

    def _fuse_chunk(self, chunk: Sequence[tuple[FusionRun, Window]]) -> None:
        window = chunk[0][1]
        under, over = (
            linear_to_lab(torch.cat([self._linear(run, window, name) for run, window in chunk]))
            for name in ("under", "over")
        )
        lightness = self.runtime.run(under[:, :1], over[:, :1], padding=_padding(window))
        covered = self._covered(window)
        expected = (len(chunk), 1, covered.height, covered.width)
        if tuple(lightness.shape) != expected:
            raise InferenceError(
                f"expected a network result of shape {expected}, got {tuple(lightness.shape)}"
            )
        rows, columns = covered.relative_to(window.source).slices
        chroma = torch.stack((under[:, 1:, rows, columns], over[:, 1:, rows, columns]), dim=2)
        a, b = (fuse_chroma(channel, rule=self.chroma) for channel in chroma.unbind(1))
        self._write(chunk, linear_to_srgb(lab_to_linear(lightness[:, 0], a, b)))

    def _linear(self, run: FusionRun, window: Window, exposure: str) -> Tensor:
        """One exposure's window as linear sRGB on the device. Shape (1, 3, H, W), float32."""
        is_under = exposure == "under"
        pixels = run.pair.under if is_under else run.pair.over
        if run.to_moving is not None and is_under == run.is_under_moving:
            return srgb_to_linear(
                warp_window(pixels, run.to_moving, window.source, device=self.runtime.device)
            )
        source = torch.from_numpy(np.array(pixels[window.source.slices]))
        return pixels_to_linear(source.to(self.runtime.device).permute(2, 0, 1).unsqueeze(0))

    def _covered(self, window: Window) -> Rect:
        """The pixels for which the network gives a result: without padding the halo is lost."""
        if _padding(window) == "reflect":
            return window.source
        return window.source.shrunk(self.runtime.halo_px)

    def _write(self, chunk: Sequence[tuple[FusionRun, Window]], srgb: Tensor) -> None:
        """Round every core to pixels, and only then write them all."""
        cores: list[Pixels] = []
        for (run, window), planes in zip(chunk, srgb, strict=True):
            covered = self._covered(window)
            if not covered.contains(window.core):
                raise InferenceError(
                    f"expected a result that covers {window.core}, got one that covers {covered}"
                )
            rows, columns = window.core.relative_to(covered).slices
            core = quantise(planes[:, rows, columns], PIXEL_TYPES[run.output.dtype])
            cores.append(core.permute(1, 2, 0).cpu().numpy())
        for (run, window), pixels in zip(chunk, cores, strict=True):
            run.output[window.core.slices] = pixels


def _padding(window: Window) -> Padding:
    return "valid" if window.kind == "interior" else "reflect"


def _batches(
    run: FusionRun, windows: Sequence[Window], size: int
) -> Iterator[list[tuple[FusionRun, Window]]]:
    """One pass of a run in micro-batches of one batch key and at most `size` windows."""
    ordered = sorted(windows, key=lambda window: window.batch_key)
    for _, group in groupby(ordered, key=lambda window: window.batch_key):
        alike = list(group)
        for start in range(0, len(alike), size):
            yield [(run, window) for window in alike[start : start + size]]
