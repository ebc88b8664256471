"""Says how the exposures of a stack go together; needs neither torch nor a network."""

from dataclasses import dataclass

import numpy as np

from model.exposure import StackAlignment
from model.ghosts.ghost_map import GhostMap


@dataclass(frozen=True, slots=True)
class Registration:
    """How the exposures of a stack go together.

    Attributes:
        reference: Which exposure the others lie on, from 0, dark to bright.
        alignment: How they lie on it; None warps nothing.
        ghosts: Of each exposure what moved in it; None replaces nothing.
    """

    reference: int = 0
    alignment: StackAlignment | None = None
    ghosts: tuple[GhostMap | None, ...] | None = None

    @property
    def replaced_share(self) -> float:
        """Share of the picture in which an exposure is replaced by what others show, 0..1."""
        masks = [ghost.mask for ghost in self.ghosts or () if ghost is not None]
        if not masks:
            return 0.0
        return float(np.maximum.reduce(masks).mean(dtype=np.float64)) / 255.0


AS_THEY_ARE = Registration()
"""Exposures that are fused as they lie and as they are."""
