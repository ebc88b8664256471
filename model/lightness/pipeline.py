"""Runs `hyperp-mb` window by window: warp -> CIELAB -> network -> chroma -> RGB."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from model.colour import (
    ChromaRule,
    fuse_chroma,
    lab_to_linear,
    linear_to_lab,
    linear_to_srgb,
    pixels_to_linear,
    srgb_to_linear,
    to_pixels,
)
from model.device import Precision
from model.errors import InferenceError
from model.exposure import AlignmentReport, ExposurePair, Pixels
from model.lightness.network import Padding
from model.lightness.runtime import Runtime
from model.run import FusionRun, check_batch, fuse_run, prepare_output, prepare_warp
from model.tiling import Rect, Window, plan_windows
from model.warp import warp_window


class LightnessPipeline:
    """Fuse exposure pairs window by window: lightness by a network, a* and b* by a rule.

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

    @property
    def precision(self) -> Precision:
        """See `FusionPipeline`."""
        return self.runtime.precision

    @property
    def preferred_batch(self) -> int:
        """See `FusionPipeline`; it shrinks when the device's memory turns out too small."""
        return self.runtime.preferred_batch

    def begin(
        self, pair: ExposurePair, report: AlignmentReport | None, out: Pixels | None = None
    ) -> FusionRun:
        """See `FusionPipeline.begin`."""
        output = prepare_output(pair, out)
        windows = plan_windows(pair.height, pair.width, halo_px=self.halo_px, tile_px=self.tile_px)
        return FusionRun(pair, (windows,), output, *prepare_warp(pair, report))

    def fuse_windows(self, batch: Sequence[tuple[FusionRun, Window]]) -> None:
        """See `FusionPipeline.fuse_windows`."""
        check_batch(batch)
        size = self.runtime.preferred_batch
        with torch.inference_mode():
            for start in range(0, len(batch), size):
                self._fuse_chunk(batch[start : start + size])

    def fuse(self, pair: ExposurePair, report: AlignmentReport | None = None) -> Pixels:
        """See `FusionPipeline.fuse`."""
        run = self.begin(pair, report)
        return fuse_run(run, self.fuse_windows, batch_size=self.preferred_batch)

    def _fuse_chunk(self, chunk: Sequence[tuple[FusionRun, Window]]) -> None:
        window = chunk[0][1]
        # both exposures of the windows in CIELAB
        under, over = (
            linear_to_lab(torch.cat([self._linear(run, window, name) for run, window in chunk]))
            for name in ("under", "over")
        )
        # lightness by the network
        lightness = self.runtime.run(under[:, :1], over[:, :1], padding=_padding(window))
        covered = self._covered(window)
        expected = (len(chunk), 1, covered.height, covered.width)
        if tuple(lightness.shape) != expected:
            raise InferenceError(
                f"expected a network result of shape {expected}, got {tuple(lightness.shape)}"
            )
        # chroma by the rule, where the network gave lightness
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
            cores.append(to_pixels(planes[:, rows, columns], run.output))
        for (run, window), pixels in zip(chunk, cores, strict=True):
            run.output[window.core.slices] = pixels


def _padding(window: Window) -> Padding:
    return "valid" if window.kind == "interior" else "reflect"
