"""A batch's loss: the weighted sum of the paper's three tasks and of the terms beside them."""

from typing import get_args

import torch
from torch import Tensor

from trainer.losses.config import LossConfig
from trainer.losses.pairs import Pairs
from trainer.losses.planes import Planes, scale_planes
from trainer.losses.registry import TERMS
from trainer.losses.tasks import TASK_NAMES, WEIGHT_NAMES, compute_tasks
from trainer.losses.term import Compared

LOSS_NAMES = ("total", *TASK_NAMES, *(term.name for term in TERMS), *WEIGHT_NAMES)
"""What a step's losses are called, in the order of the curves."""


def compute_losses(
    output: Tensor,
    triple: Tensor,
    config: LossConfig,
    *,
    step: int = 0,
    pairs: Pairs | None = None,
    truth: Tensor | None = None,
) -> dict[str, Tensor]:
    r"""Losses of one batch.

    .. math::
        L = w_{tasks} (\lambda_1 L_{under} + \lambda_2 L_{over} + L_{co}) + \sum_t w_t L_t

    Args:
        output: Fused L*, 0..100, shape (N, 1, H, W); or sRGB-coded RGB, 0..1, (N, 3, H, W).
        triple: The same of the darkest, the correct and the brightest exposure. Shape
            (N, 3, C, H, W).
        config: Which tasks, masks, terms and weights; what has the weight 0 is not computed.
        step: Step of the run, from 0; some terms may join late.
        pairs: What terms compare with of more than two exposures; of two the triple's are it.
        truth: The scene through a tone curve, zeros where it has none. Shape (N, C, H, W).

    Returns:
        A mean over the batch for each of `LOSS_NAMES`, without its weight; what has no weight is
        0. Only `total` is meant for the backward pass.
    """
    weights = {term.key: config.weigh(term, step) for term in TERMS}
    is_clamped = any(weights[term.key] for term in TERMS if term.is_shown_clamped)
    ends = scale_planes(output, triple, is_clamped=is_clamped, truth=truth)

    def scale(pair: Tensor) -> Planes:
        both = torch.stack((pair[:, 0], triple[:, 1], pair[:, 1]), dim=1)
        return scale_planes(output, both, is_clamped=is_clamped, truth=truth)

    compared: dict[Compared, tuple[Planes, ...]] = dict.fromkeys(get_args(Compared), (ends,))
    if pairs is not None:
        compared["telling"], compared["drawn"] = (scale(pairs.telling),), (scale(pairs.drawn),)
        compared["apart"] = tuple(scale(pair) for pair in pairs.apart)
    parts = {name: torch.zeros_like(ends.fused[:, 0, 0, 0]) for name in LOSS_NAMES}
    total = parts["total"]
    if config.tasks:
        parts |= compute_tasks(ends, config)
        both = parts["under_weight"] * parts["under"] + parts["over_weight"] * parts["over"]
        total = total + config.tasks * (both + parts["correct"])
    for term in TERMS:
        weight = weights[term.key]
        if weight:
            options = config.read_options(term)
            parts[term.name] = torch.stack(
                [term.compute(planes, options) for planes in compared[term.compares]]
            ).sum(0)
            total = total + weight * parts[term.name]
    return {name: part.mean() for name, part in (parts | {"total": total}).items()}
