"""Runs `hyperp-mb` window by window: warp -> CIELAB -> network -> chroma -> RGB."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from model.colour import (
    lab_to_linear,
    linear_to_lab,
    linear_to_srgb,
    pixels_to_linear,
    srgb_to_linear,
    to_pixels,
)
from model.device import Precision
from model.errors import InferenceError
from model.exposure import ExposureStack, Pixels
from model.lightness.chroma import ChromaRule, fuse_chroma
from model.lightness.network import Padding
from model.lightness.runtime import Runtime
from model.registration import AS_THEY_ARE, Registration
from model.run import (
    FusionRun,
    check_batch,
    fuse_run,
    prepare_ghosts,
    prepare_motions,
    prepare_output,
    prepare_window,
)
from model.tiling import Rect, Window, plan_windows
from model.warp import warp_window

DARKEST, BRIGHTEST = 0, -1
"""The network is for pairs: of a stack it takes these two."""


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
        self,
        stack: ExposureStack,
        registration: Registration = AS_THEY_ARE,
        out: Pixels | None = None,
    ) -> FusionRun:
        """See `FusionPipeline.begin`; of a stack the darkest and the brightest are fused."""
        output = prepare_output(stack, out)
        windows = plan_windows(
            stack.height, stack.width, halo_px=self.halo_px, tile_px=self.tile_px
        )
        return FusionRun(
            stack,
            (windows,),
            output,
            prepare_motions(stack, registration.alignment),
            prepare_ghosts(stack, registration),
            registration.reference,
        )

    def fuse_windows(self, batch: Sequence[tuple[FusionRun, Window]]) -> None:
        """See `FusionPipeline.fuse_windows`."""
        check_batch(batch)
        size = self.runtime.preferred_batch
        with torch.inference_mode():
            for start in range(0, len(batch), size):
                self._fuse_chunk(batch[start : start + size])

    def fuse(self, stack: ExposureStack, registration: Registration = AS_THEY_ARE) -> Pixels:
        """See `FusionPipeline.fuse`."""
        run = self.begin(stack, registration)
        return fuse_run(run, self.fuse_windows, batch_size=self.preferred_batch)

    def _fuse_chunk(self, chunk: Sequence[tuple[FusionRun, Window]]) -> None:
        window = chunk[0][1]
        # both exposures of the windows, linear and in CIELAB
        read = (self._read(run, window) for run, window in chunk)
        exposures = [torch.cat(planes) for planes in zip(*read, strict=True)]
        under, over = (linear_to_lab(planes) for planes in exposures)
        lightness = self.runtime.run(under[:, :1], over[:, :1], padding=_padding(window))
        covered = self._covered(window)
        expected = (len(chunk), 1, covered.height, covered.width)
        if tuple(lightness.shape) != expected:
            raise InferenceError(
                f"expected a network result of shape {expected}, got {tuple(lightness.shape)}"
            )
        # chroma by the rule, where the network gave lightness
        rows, columns = covered.relative_to(window.source).slices
        chroma = torch.stack((under[:, 1:, rows, columns], over[:, 1:, rows, columns]), dim=1)
        linear = torch.stack([planes[:, :, rows, columns] for planes in exposures], dim=1)
        fused = fuse_chroma(chroma, rule=self.chroma, linear=linear, lightness=lightness[:, 0])
        picture = lab_to_linear(lightness[:, 0], fused[:, 0], fused[:, 1])
        self._write(chunk, linear_to_srgb(picture))

    def _read(self, run: FusionRun, window: Window) -> tuple[Tensor, Tensor]:
        """The darkest and the brightest exposure's window as linear sRGB on the device.

        A window that is only warped stays unrounded. Shape (1, 3, H, W) each, float32.
        """
        if any(ghost is not None for ghost in run.ghosts):
            exposures = prepare_window(run, window.source, device=self.runtime.device)
            return self._to_linear(exposures[DARKEST]), self._to_linear(exposures[BRIGHTEST])
        return self._warp(run, window, DARKEST), self._warp(run, window, BRIGHTEST)

    def _warp(self, run: FusionRun, window: Window, index: int) -> Tensor:
        pixels, motion = run.stack.exposures[index], run.motions[index]
        if motion is None:
            return self._to_linear(pixels[window.source.slices])
        return srgb_to_linear(
            warp_window(pixels, motion, window.source, device=self.runtime.device)
        )

    def _to_linear(self, pixels: Pixels) -> Tensor:
        values = torch.from_numpy(np.array(pixels)).to(self.runtime.device)
        return pixels_to_linear(values.permute(2, 0, 1).unsqueeze(0))

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
