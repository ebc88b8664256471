"""The three tasks of MaskBuilder, joined by ParamTuner's weights (paper, 3.4, Eq. 6-9)."""

from dataclasses import dataclass

import torch
from pytorch_msssim import ms_ssim
from torch import Tensor
from torch.nn import functional

from model.network import LIGHTNESS_MAX
from trainer.config import LossConfig
from trainer.detail import excursion, lost_detail, tone_shift
from trainer.fidelity import DATA_RANGE, mef_dissimilarity, ssim_window
from trainer.masks import Exposure, average_windows, build_mask
from trainer.tuner import tune_weights

SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
SSIM_C1 = (0.01 * DATA_RANGE) ** 2
SSIM_C2 = (0.03 * DATA_RANGE) ** 2


@dataclass(frozen=True, slots=True)
class Losses:
    """What a step's loss is made of; means over the batch.

    Attributes:
        total: lambda1 * under + lambda2 * over + correct + fidelity * infidelity
            + detail * lost_detail + bounds * excursion + tone * tone_shift.
        under: Loss of the under task.
        over: Loss of the over task.
        correct: Loss of the co-target.
        square_error: Sum of the three tasks' square errors, means or norms.
        dissimilarity: Sum of the three tasks' 1 - MS-SSIM.
        infidelity: 1 - MEF-SSIM against the exposures; 0 where it is not asked for, like the
            next three.
        lost_detail: Shortfall of gradients, `trainer.detail.lost_detail`.
        excursion: Square of tones out of bounds, `trainer.detail.excursion`.
        tone_shift: Square of coarse tones' distance from the mean, `trainer.detail.tone_shift`.
        under_weight: lambda1.
        over_weight: lambda2.
    """

    total: Tensor
    under: Tensor
    over: Tensor
    correct: Tensor
    square_error: Tensor
    dissimilarity: Tensor
    infidelity: Tensor
    lost_detail: Tensor
    excursion: Tensor
    tone_shift: Tensor
    under_weight: Tensor
    over_weight: Tensor


def compute_losses(output: Tensor, triple: Tensor, config: LossConfig, *, step: int = 0) -> Losses:
    """Losses of one batch.

    Args:
        output: Fused L*, 0..100. Shape (N, 1, H, W).
        triple: L* of the under, correct and over exposure. Shape (N, 3, 1, H, W).
        config: Which tasks, masks and weights.
        step: Step of the run, from 0; the fidelity term may join late.

    Returns:
        The losses; only `total` is meant for the backward pass.
    """
    scale = DATA_RANGE / LIGHTNESS_MAX
    fused = output * scale
    under, correct, over = (plane * scale for plane in triple.unbind(dim=1))
    outputs, targets = [fused], [correct]
    if config.use_masks:
        masked_outputs, masked_targets = _mask_tasks(fused, under, over, config)
        outputs += masked_outputs
        targets += masked_targets
    # One call for all tasks: small kernels are bound by their launch, not by arithmetic.
    error, similarity = _compare(torch.cat(outputs), torch.cat(targets), config)
    batch = len(output)
    dissimilarity = 1 - similarity
    tasks = torch.split(error + config.alpha * dissimilarity, batch)
    if not config.use_masks:
        zero = torch.zeros_like(tasks[0])
        tasks = (tasks[0], zero, zero)
    first, second = _weights(under, correct, over, config)
    total = first * tasks[1] + second * tasks[2] + tasks[0]
    infidelity, detail, strays, shift = (torch.zeros_like(total) for _ in range(4))
    shown = fused
    if config.bounds:
        strays = excursion(fused, under, over)
        total = total + config.bounds * strays
        shown = fused.clamp(0, DATA_RANGE)
    if config.fidelity and step >= config.fidelity_from_step:
        infidelity = mef_dissimilarity(shown, under, over)
        total = total + config.fidelity * infidelity
    if config.detail:
        detail = lost_detail(
            shown, under, over, gain=config.detail_gain, scales=config.detail_scales
        )
        total = total + config.detail * detail
    if config.tone and step >= config.tone_from_step:
        shift = tone_shift(fused, under, over)
        total = total + config.tone * shift
    return Losses(
        total=total.mean(),
        under=tasks[1].mean(),
        over=tasks[2].mean(),
        correct=tasks[0].mean(),
        square_error=error.sum() / batch,
        dissimilarity=dissimilarity.sum() / batch,
        infidelity=infidelity.mean(),
        lost_detail=detail.mean(),
        excursion=strays.mean(),
        tone_shift=shift.mean(),
        under_weight=first.mean(),
        over_weight=second.mean(),
    )


def authors_ms_ssim(output: Tensor, target: Tensor) -> Tensor:
    r"""MS-SSIM as the authors' programme computes it.

    Five scales with a valid 11-tap window; each scale's mean value is mapped from -1..1 to 0..1,
    and the last scale's value enters once for each of the four scales before it:

    .. math::
        \prod_{i=1}^{4} c_i^{w_i} \, s_5^{w_5}, \qquad x \mapsto (x + 1) / 2

    Args:
        output: 0..255. Shape (N, 1, H, W), both sides at least 176.
        target: Same shape.

    Returns:
        Similarity of each pair, at most 1. Shape (N,).

    Reference:
        Wang, Simoncelli, Bovik, Asilomar 2003, with the departures of the programme published
        with Im et al. 2023.
    """
    window = ssim_window().to(output)
    product = torch.ones(len(output), dtype=output.dtype, device=output.device)
    last = len(SCALE_WEIGHTS) - 1
    for scale, weight in enumerate(SCALE_WEIGHTS):
        structure, similarity = _ssim_terms(output, target, window)
        if scale == last:
            product = product * ((similarity + 1) / 2) ** (weight * last)
        else:
            product = product * ((structure + 1) / 2) ** weight
            output, target = (functional.avg_pool2d(image, 2) for image in (output, target))
    return product


def _mask_tasks(
    fused: Tensor, under: Tensor, over: Tensor, config: LossConfig
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


def _compare(output: Tensor, target: Tensor, config: LossConfig) -> tuple[Tensor, Tensor]:
    error = _square_error(output - target, config)
    if config.ms_ssim == "authors":
        return error, authors_ms_ssim(output, target)
    similarity: Tensor = ms_ssim(output, target, data_range=DATA_RANGE, size_average=False)
    return error, similarity


def _square_error(difference: Tensor, config: LossConfig) -> Tensor:
    if config.square_error == "norm":  # its gradient at zero is zero, that of a root is not
        norm: Tensor = torch.linalg.vector_norm(difference, dim=(1, 2, 3))
        return norm
    return difference.square().mean(dim=(1, 2, 3))


def _weights(
    under: Tensor, correct: Tensor, over: Tensor, config: LossConfig
) -> tuple[Tensor, Tensor]:
    if config.use_tuner:
        planes = (plane / DATA_RANGE for plane in (under, correct, over))
        return tune_weights(*planes, beta=config.beta, tau=config.tau)
    even = torch.full((len(under),), config.beta / 2, dtype=under.dtype, device=under.device)
    return even, even


def _ssim_terms(output: Tensor, target: Tensor, window: Tensor) -> tuple[Tensor, Tensor]:
    """Mean contrast-structure and mean SSIM of each pair, valid windows."""
    mean_o, mean_t = (average_windows(image, window) for image in (output, target))
    variance_o = average_windows(output * output, window) - mean_o * mean_o
    variance_t = average_windows(target * target, window) - mean_t * mean_t
    covariance = average_windows(output * target, window) - mean_o * mean_t
    structure = (2 * covariance + SSIM_C2) / (variance_o + variance_t + SSIM_C2)
    luminance = (2 * mean_o * mean_t + SSIM_C1) / (mean_o * mean_o + mean_t * mean_t + SSIM_C1)
    return structure.mean(dim=(1, 2, 3)), (structure * luminance).mean(dim=(1, 2, 3))
