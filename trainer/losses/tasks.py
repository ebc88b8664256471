"""The paper's three tasks: co-target, under and over, the latter two masked (3.4, Eq. 6-9)."""

import torch
from torch import Tensor

from trainer.losses.config import TaskConfig
from trainer.losses.local_moments import DATA_RANGE
from trainer.losses.masks import Exposure, build_mask
from trainer.losses.ms_ssim import authors_ms_ssim, ms_ssim
from trainer.losses.planes import Planes
from trainer.losses.tuner import tune_weights

TASK_NAMES = ("under", "over", "correct", "square_error", "dissimilarity")
"""Losses of the three tasks; the sum of their square errors, and that of their 1 - MS-SSIM."""

WEIGHT_NAMES = ("under_weight", "over_weight")
"""lambda1 and lambda2."""


def compute_tasks(planes: Planes, config: TaskConfig) -> dict[str, Tensor]:
    """The paper's three tasks and their weights.

    Args:
        planes: The output and its triple.
        config: Which tasks, masks and weights.

    Returns:
        A value for each of `TASK_NAMES` and `WEIGHT_NAMES`, each of shape (N,).
    """
    fused, under, correct, over = planes.fused, planes.under, planes.correct, planes.over
    outputs, targets = [fused], [correct]
    if config.use_masks:
        masked_outputs, masked_targets = _mask_tasks(fused, under, over, config)
        outputs += masked_outputs
        targets += masked_targets
    # One call for all tasks: small kernels are bound by their launch, not by arithmetic.
    error, similarity = _compare(torch.cat(outputs), torch.cat(targets), config)
    batch = len(fused)
    difference = 1 - similarity
    tasks = torch.split(error + config.alpha * difference, batch)
    if not config.use_masks:
        zero = torch.zeros_like(tasks[0])
        tasks = (tasks[0], zero, zero)
    first, second = _weights(under, correct, over, config)
    return {
        "under": tasks[1],
        "over": tasks[2],
        "correct": tasks[0],
        "square_error": error.view(-1, batch).sum(dim=0),
        "dissimilarity": difference.view(-1, batch).sum(dim=0),
        "under_weight": first,
        "over_weight": second,
    }


def _mask_tasks(
    fused: Tensor, under: Tensor, over: Tensor, config: TaskConfig
) -> tuple[list[Tensor], list[Tensor]]:
    outputs, targets = [], []
    has_one_mask = (
        config.source_sigma_px == config.output_sigma_px
        and config.source_kernel_sigmas == config.output_kernel_sigmas
        and not config.source_blur_is_8_bit
    )
    tasks: tuple[tuple[Tensor, Exposure], ...] = ((under, "under"), (over, "over"))
    for source, exposure in tasks:
        mask = build_mask(
            source,
            exposure,
            sigma_px=config.source_sigma_px,
            kernel_sigmas=config.source_kernel_sigmas,
            is_8_bit=config.source_blur_is_8_bit,
        )
        output_mask = mask
        if not has_one_mask:
            output_mask = build_mask(
                source,
                exposure,
                sigma_px=config.output_sigma_px,
                kernel_sigmas=config.output_kernel_sigmas,
            )
        outputs.append(output_mask * fused)
        targets.append(mask * source)
    return outputs, targets


def _compare(output: Tensor, target: Tensor, config: TaskConfig) -> tuple[Tensor, Tensor]:
    error = _square_error(output - target, config)
    if config.ms_ssim == "authors":
        return error, authors_ms_ssim(output, target)
    return error, ms_ssim(output, target)


def _square_error(difference: Tensor, config: TaskConfig) -> Tensor:
    if config.square_error == "norm":  # its gradient at zero is zero, that of a root is not
        norm: Tensor = torch.linalg.vector_norm(difference, dim=(1, 2, 3))
        return norm
    return difference.square().mean(dim=(1, 2, 3))


def _weights(
    under: Tensor, correct: Tensor, over: Tensor, config: TaskConfig
) -> tuple[Tensor, Tensor]:
    if config.use_tuner:
        planes = (plane / DATA_RANGE for plane in (under, correct, over))
        return tune_weights(*planes, beta=config.beta, tau=config.tau)
    even = torch.full((len(under),), config.beta / 2, dtype=under.dtype, device=under.device)
    return even, even
