"""Reads the exposures of a run: warped onto the reference and freed of ghosts, once."""

import numpy as np

from model.exposure import ExposureStack, Pixels
from model.run import FusionRun, Matrix, Warp, prepare_window
from model.tiling import Rect, Window


class Source:
    """The exposures of a run at the reference's pixels.

    Args:
        run: The run.
        warp: Samples an exposure where a homography leads, see `model.warp.warp_pixels`.

    Attributes:
        prepared: What `prepare` made of each exposure that is warped or freed of ghosts; None for
            the others.
    """

    def __init__(self, run: FusionRun, warp: Warp) -> None:
        self._run = run
        self._warp = warp
        self.prepared: tuple[Pixels | None, ...] = tuple(
            None if motion is None and ghost is None else np.empty_like(run.output)
            for motion, ghost in zip(run.motions, run.ghosts, strict=True)
        )

    @property
    def stack(self) -> ExposureStack:
        """The exposures as they were given."""
        return self._run.stack

    @property
    def motions(self) -> tuple[Matrix | None, ...]:
        """Of each exposure, reference pixel -> its pixel; None where it is not warped."""
        return self._run.motions

    @property
    def has_ghosts(self) -> bool:
        """Something moved in at least one exposure."""
        return any(ghost is not None for ghost in self._run.ghosts)

    def read(self, place: Rect) -> list[Pixels]:
        """A part of every exposure, warped and freed of ghosts. Shape (H, W, 3) each."""
        return prepare_window(self._run, place, warp=self._warp)

    def prepare(self, window: Window) -> list[Pixels]:
        """Read a window of every exposure, and keep its core for `read_prepared`."""
        exposures = self.read(window.source)
        inside = window.core.relative_to(window.source).slices
        for exposure, prepared in zip(exposures, self.prepared, strict=True):
            if prepared is not None:
                prepared[window.core.slices] = exposure[inside]
        return exposures

    def read_prepared(self, place: Rect) -> list[Pixels]:
        """The same as `read`, once every window was prepared; views."""
        return [
            (given if prepared is None else prepared)[place.slices]
            for given, prepared in zip(self.stack.exposures, self.prepared, strict=True)
        ]
