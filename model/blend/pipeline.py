"""Runs `pyramid-blend`: reduces the picture, looks at it once, and blends its windows.

1. `reduce` windows bring both exposures to a coarse level and write it into the run's canvas; an
   exposure that must be warped is warped here, once, and kept as pixels.
2. One `coarse` window, the whole picture at that level: the network's maps, and everything that is
   fused from there up.
3. `blend` windows add the finer bands, and write pixels.

Beside the exposures and the picture, memory is taken by the windows in work and by what a run keeps
between its passes: the canvas, both exposures at a sixty-fourth of a large picture's pixels, and
the whole moving exposure where it is warped. A GPU whose memory suffices keeps the exposures.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from model.blend.levels import Levels, blend_halo, plan_levels, reduce_halo
from model.blend.source import Source
from model.device import Precision
from model.exposure import ExposureStack, Pixels
from model.landing import Landing, land
from model.manifest import PyramidBlendConfig
from model.registration import AS_THEY_ARE, Registration
from model.run import (
    FusionRun,
    check_batch,
    fuse_run,
    prepare_ghosts,
    prepare_motions,
    prepare_output,
)
from model.tiling import Rect, Window, WindowKind, plan_grid_windows

PASSES: tuple[WindowKind, ...] = ("reduce", "coarse", "blend")

Item = TypeVar("Item")
Result = TypeVar("Result")


class Canvas(Protocol):
    """What a run keeps between its passes, on the device that computes it."""

    def reduce(self, window: Window) -> None:
        """Read a window of every exposure, and bring its core to the reduced level."""
        ...

    def predict(self) -> None:
        """Run the network and fuse what lies above the reduced level."""
        ...

    def blend(self, window: Window) -> Landing:
        """The core of a window as pixels of the exposures' type. Shape (H, W, 3)."""
        ...


class Engine(Protocol):
    """What computes the passes of a blend.

    Attributes:
        config: Shape of the network whose parameters decide the blend.
        tile_px: Side of the cores that it runs well.
        preferred_batch: Windows that are best computed at a time.
    """

    config: PyramidBlendConfig
    tile_px: int
    preferred_batch: int

    def start(self, levels: Levels, source: Source) -> Canvas:
        """An empty canvas for a picture; computes nothing."""
        ...

    def map(self, work: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
        """Do independent work, as many at a time as there are threads.

        Raises:
            InferenceError: A computation failed.
        """
        ...

    def warp(self, moving: Pixels, to_moving: NDArray[np.float64], target: Rect) -> Pixels:
        """A window of an exposure as the reference sees it, see `model.warp`."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class BlendRun(FusionRun):
    """A run with its canvas.

    Attributes:
        source: What reads the exposures.
        canvas: What is kept between the passes.
        done: Windows of each pass that were fused.
    """

    source: Source
    canvas: Canvas
    done: tuple[set[Window], ...]


class BlendPipeline:
    """Fuse stacks of exposures in three passes.

    Args:
        engine: What computes them.
        tile_px: Largest side of a window's core; None takes the engine's.
        halo_px: Margin read around a core of the last pass; None takes what the picture's levels
            need, and nothing less is right.
    """

    precision: Precision = "float32"

    def __init__(
        self, engine: Engine, *, tile_px: int | None = None, halo_px: int | None = None
    ) -> None:
        self.engine = engine
        self.tile_px = engine.tile_px if tile_px is None else tile_px
        self.preferred_batch = engine.preferred_batch
        self.halo_px = halo_px

    def begin(
        self,
        stack: ExposureStack,
        registration: Registration = AS_THEY_ARE,
        out: Pixels | None = None,
    ) -> BlendRun:
        """See `FusionPipeline.begin`."""
        output = prepare_output(stack, out)
        motions = prepare_motions(stack, registration.alignment)
        ghosts = prepare_ghosts(stack, registration)
        height, width = stack.height, stack.width
        side_px = self.engine.config.network_side_px
        levels = plan_levels(height, width, network_side_px=side_px)
        whole = Rect(0, 0, height, width)
        halo_px = blend_halo(levels.reduction) if self.halo_px is None else self.halo_px
        passes = (
            self._plan("reduce", whole, levels, reduce_halo(levels.reduction)),
            (Window("coarse", whole, whole),),
            self._plan("blend", whole, levels, halo_px),
        )
        given = (stack, passes, output, motions, ghosts, registration.reference)
        source = Source(FusionRun(*given), self.engine.warp)
        canvas = self.engine.start(levels, source)
        return BlendRun(*given, source, canvas, tuple(set() for _ in PASSES))

    def fuse_windows(self, batch: Sequence[tuple[FusionRun, Window]]) -> None:
        """See `FusionPipeline.fuse_windows`."""
        check_batch(batch)
        turns = [_take_turn(run, window) for run, window in batch]
        for start in range(0, len(turns), self.preferred_batch):
            chunk = turns[start : start + self.preferred_batch]
            if chunk[0][1].kind == "coarse":
                # The engine shares one prediction among its threads.
                for run, _ in chunk:
                    run.canvas.predict()
            else:
                landings = self.engine.map(self._fuse_window, chunk)
                land(
                    [
                        (landing, run.output[window.core.slices])
                        for (run, window), landing in zip(chunk, landings, strict=True)
                        if landing is not None
                    ]
                )
            for run, window in chunk:
                run.done[PASSES.index(window.kind)].add(window)

    def fuse(self, stack: ExposureStack, registration: Registration = AS_THEY_ARE) -> Pixels:
        """See `FusionPipeline.fuse`."""
        run = self.begin(stack, registration)
        return fuse_run(run, self.fuse_windows, batch_size=self.preferred_batch)

    def _plan(
        self, kind: WindowKind, whole: Rect, levels: Levels, halo_px: int
    ) -> tuple[Window, ...]:
        grid_px = 2**levels.reduction
        tile_px = max(self.tile_px, grid_px)
        return plan_grid_windows(
            kind, whole.height, whole.width, grid_px=grid_px, halo_px=halo_px, tile_px=tile_px
        )

    @staticmethod
    def _fuse_window(turn: tuple[BlendRun, Window]) -> Landing | None:
        run, window = turn
        if window.kind == "reduce":
            run.canvas.reduce(window)
            return None
        return run.canvas.blend(window)


def _take_turn(run: FusionRun, window: Window) -> tuple[BlendRun, Window]:
    """Check that the pass before a window's is complete."""
    if not isinstance(run, BlendRun) or window.kind not in PASSES:
        raise ValueError("expected a run and a window that this pipeline began")
    number = PASSES.index(window.kind)
    if number > 0:
        before, done = run.passes[number - 1], run.done[number - 1]
        if len(done) < len(before):
            raise ValueError(
                f"expected {len(before)} windows of the pass '{PASSES[number - 1]}' fused before "
                f"one of '{window.kind}', got {len(done)}"
            )
    return run, window
