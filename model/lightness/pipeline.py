"""Runs `hyperp-mb` window by window: warp -> CIELAB -> network -> chroma -> RGB."""

from collections.abc import Sequence
from typing import Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from model.device import Precision
from model.errors import InferenceError
from model.exposure import ExposureStack, Pixels
from model.landing import Landing, land
from model.lightness.definition import ChromaRule, Padding
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

Planes = TypeVar("Planes")
"""What an engine computes on: arrays or tensors, R, G and B of a window."""

DARKEST, BRIGHTEST = 0, -1
"""The network is for pairs: of a stack it takes these two."""


class Engine(Protocol[Planes]):
    """What computes the windows of a pair.

    Attributes:
        halo_px: Margin that a window must read around its core.
        tile_px: Side of the cores that it runs well.
        precision: Precision of the feature maps.
    """

    halo_px: int
    tile_px: int

    @property
    def precision(self) -> Precision:
        """Precision of the feature maps."""
        ...

    @property
    def preferred_batch(self) -> int:
        """Windows in one network call.

        A picture's result must not depend on what shares the call, so this number decides shapes
        and is not a mere hint.
        """
        ...

    def read(self, pixels: Pixels) -> Planes:
        """Linear sRGB of a window's pixels, (H, W, 3)."""
        ...

    def read_warped(self, moving: Pixels, to_moving: NDArray[np.float64], target: Rect) -> Planes:
        """Linear sRGB of a window of an exposure as the reference sees it, not rounded."""
        ...

    def warp(self, moving: Pixels, to_moving: NDArray[np.float64], target: Rect) -> Pixels:
        """A window of an exposure as the reference sees it, see `model.warp`."""
        ...

    def fuse(
        self,
        pairs: Sequence[tuple[Planes, Planes]],
        *,
        rule: ChromaRule,
        padding: Padding,
        covered: Rect,
    ) -> list[Planes]:
        """Fuse windows of one size.

        Args:
            pairs: Of each window the under and the over exposure.
            rule: Rule that fuses a* and b*.
            padding: `reflect` keeps the size, `valid` loses the halo on each side.
            covered: What is left of a window, counted from its first pixel.

        Returns:
            Of each window what is covered, as encoded sRGB.

        Raises:
            InferenceError: The network call failed or gave another size.
        """
        ...

    def to_pixels(self, srgb: Planes, like: Pixels, part: Rect) -> Landing:
        """Round a part of planes to pixels of a type. Shape (H, W, 3) of the part."""
        ...


class LightnessPipeline(Generic[Planes]):
    """Fuse exposure pairs window by window: lightness by a network, a* and b* by a rule.

    Args:
        engine: What computes them.
        chroma: Rule that fuses a* and b*.
        tile_px: Largest side of a window's core; None takes the engine's.
        halo_px: Margin read around a core; None takes the engine's, and nothing else is right.
    """

    def __init__(
        self,
        engine: Engine[Planes],
        *,
        chroma: ChromaRule,
        tile_px: int | None = None,
        halo_px: int | None = None,
    ) -> None:
        self.engine = engine
        self.chroma: ChromaRule = chroma
        self.tile_px = engine.tile_px if tile_px is None else tile_px
        self.halo_px = engine.halo_px if halo_px is None else halo_px

    @property
    def precision(self) -> Precision:
        """See `FusionPipeline`."""
        return self.engine.precision

    @property
    def preferred_batch(self) -> int:
        """See `FusionPipeline`; it shrinks when the device's memory turns out too small."""
        return self.engine.preferred_batch

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
        size = self.preferred_batch
        for start in range(0, len(batch), size):
            self._fuse_chunk(batch[start : start + size])

    def fuse(self, stack: ExposureStack, registration: Registration = AS_THEY_ARE) -> Pixels:
        """See `FusionPipeline.fuse`."""
        run = self.begin(stack, registration)
        return fuse_run(run, self.fuse_windows, batch_size=self.preferred_batch)

    def _fuse_chunk(self, chunk: Sequence[tuple[FusionRun, Window]]) -> None:
        window = chunk[0][1]
        pairs = [self._read(run, one) for run, one in chunk]
        covered = self._covered(window).relative_to(window.source)
        fused = self.engine.fuse(pairs, rule=self.chroma, padding=_padding(window), covered=covered)
        self._write(chunk, fused)

    def _read(self, run: FusionRun, window: Window) -> tuple[Planes, Planes]:
        """The darkest and the brightest exposure's window as linear sRGB.

        A window that is only warped stays unrounded.
        """
        if any(ghost is not None for ghost in run.ghosts):
            exposures = prepare_window(run, window.source, warp=self.engine.warp)
            return self.engine.read(exposures[DARKEST]), self.engine.read(exposures[BRIGHTEST])
        return self._warp(run, window, DARKEST), self._warp(run, window, BRIGHTEST)

    def _warp(self, run: FusionRun, window: Window, index: int) -> Planes:
        pixels, motion = run.stack.exposures[index], run.motions[index]
        if motion is None:
            return self.engine.read(pixels[window.source.slices])
        return self.engine.read_warped(pixels, motion, window.source)

    def _covered(self, window: Window) -> Rect:
        """The pixels for which the network gives a result: without padding the halo is lost."""
        if _padding(window) == "reflect":
            return window.source
        return window.source.shrunk(self.engine.halo_px)

    def _write(self, chunk: Sequence[tuple[FusionRun, Window]], fused: Sequence[Planes]) -> None:
        """Round every core to pixels, and write them once all of them are there."""
        landings: list[tuple[Landing, Pixels]] = []
        for (run, window), planes in zip(chunk, fused, strict=True):
            covered = self._covered(window)
            if not covered.contains(window.core):
                raise InferenceError(
                    f"expected a result that covers {window.core}, got one that covers {covered}"
                )
            part = window.core.relative_to(covered)
            landing = self.engine.to_pixels(planes, run.output, part)
            landings.append((landing, run.output[window.core.slices]))
        land(landings)


def _padding(window: Window) -> Padding:
    return "valid" if window.kind == "interior" else "reflect"
