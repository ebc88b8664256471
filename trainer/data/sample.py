"""What a training step learns from: exposures of its scenes, and what they should become."""

import math
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from trainer.losses.pairs import Pairs, find_telling

DRAWN_STREAM = 2
"""Stream of random numbers for the exposures that a step draws."""


class Sample(NamedTuple):
    """Exposures of one batch.

    Attributes:
        triple: The darkest, the correct and the brightest exposure. Shape (N, 3, C, S, S).
        exposures: What is fused, dark to bright. Shape (N, C, S, S) each.
        truth: The scene through a tone curve, zeros where it has none; None where none was asked
            for. Shape (N, C, S, S).
    """

    triple: Tensor
    exposures: tuple[Tensor, ...]
    truth: Tensor | None

    def choose_pairs(self, seed: int, step: int) -> Pairs | None:
        """The exposures that a step compares with; None where there are just two."""
        count = len(self.exposures)
        if count == 2:
            return None
        rng = np.random.default_rng((seed, step, DRAWN_STREAM))
        drawn = sorted(int(one) for one in rng.choice(count, 2, replace=False))
        together = torch.stack(self.exposures, dim=1)
        distance = math.ceil((count - 1) / 3)
        apart = tuple(
            together[:, [darker, darker + distance]] for darker in range(count - distance)
        )
        return Pairs(find_telling(together), together[:, drawn], apart)


def split_sample(planes: Tensor, *, has_truth: bool) -> Sample:
    """Tell the planes of a batch apart, see `TripleDataset`.

    Args:
        planes: Shape (N, M, C, S, S).
        has_truth: The last ones are the scene through a tone curve.
    """
    shown, truth = (planes[:, :-1], planes[:, -1]) if has_truth else (planes, None)
    darkest, _, brightest, *others = shown.unbind(1)
    return Sample(shown[:, :3], (darkest, *others, brightest), truth)
