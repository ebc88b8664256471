"""A step's loss: MaskBuilder's three tasks (paper, 3.4, Eq. 6-9), and the terms beside them."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from trainer.config import LossConfig
from trainer.losses.chroma import foreign_hue, lost_colour
from trainer.losses.detail import excursion, lost_detail, tone_shift, variation
from trainer.losses.local_moments import DATA_RANGE, Pyramid
from trainer.losses.masks import Exposure, build_mask
from trainer.losses.mef_ssim import infidelity
from trainer.losses.ms_ssim import authors_ms_ssim, dissimilarity, ms_ssim
from trainer.losses.planes import Views, view
from trainer.losses.qabf import lost_edges
from trainer.losses.tones import disorder, haze, rims
from trainer.losses.tuner import tune_weights
from trainer.losses.viff import lost_information


@dataclass(frozen=True, slots=True)
class Losses:
    """What a step's loss is made of; means over the batch. What has no weight is 0.

    Attributes:
        total: tasks * (lambda1 * under + lambda2 * over + correct), and each of the terms from
            `infidelity` on times its weight (`trainer.config.LossConfig`).
        under: Loss of the under task.
        over: Loss of the over task.
        correct: Loss of the co-target.
        square_error: Sum of the three tasks' square errors, means or norms.
        dissimilarity: Sum of the three tasks' 1 - MS-SSIM.
        infidelity: 1 - MEF-SSIM against the exposures.
        lost_detail: Shortfall of gradients, `trainer.losses.detail.lost_detail`.
        excursion: Square of tones out of bounds, `trainer.losses.detail.excursion`.
        tone_shift: Square of coarse tones' distance from the mean,
            `trainer.losses.detail.tone_shift`.
        unlikeness: 1 - the mean of MS-SSIM with both exposures.
        lost_edges: 1 - Qabf, `trainer.losses.qabf.lost_edges`.
        lost_information: 1 - VIFF, `trainer.losses.viff.lost_information`.
        haze: Highlights brighter than well exposed, `trainer.losses.tones.haze`.
        disorder: Reversed order of coarse tones, `trainer.losses.tones.disorder`.
        rims: Turning back beside strong edges, `trainer.losses.tones.rims`.
        lost_colour: Shortfall of chroma, `trainer.losses.chroma.lost_colour`.
        foreign_hue: Chroma that no mix of the exposures has, `trainer.losses.chroma.foreign_hue`.
        variation: Total variation, `trainer.losses.detail.variation`.
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
    unlikeness: Tensor
    lost_edges: Tensor
    lost_information: Tensor
    haze: Tensor
    disorder: Tensor
    rims: Tensor
    lost_colour: Tensor
    foreign_hue: Tensor
    variation: Tensor
    under_weight: Tensor
    over_weight: Tensor


def compute_losses(output: Tensor, triple: Tensor, config: LossConfig, *, step: int = 0) -> Losses:
    """Losses of one batch.

    Args:
        output: Fused L*, 0..100, shape (N, 1, H, W); or sRGB-coded RGB, 0..1, (N, 3, H, W).
        triple: The same of the under, correct and over exposure. Shape (N, 3, C, H, W).
        config: Which tasks, masks, terms and weights; what has the weight 0 is not computed.
        step: Step of the run, from 0; some terms may join late.

    Returns:
        The losses; only `total` is meant for the backward pass.
    """
    views = view(output, triple, is_clamped=config.bounds > 0)
    parts = {name: torch.zeros_like(views.fused[:, 0, 0, 0]) for name in _PARTS}
    total = parts["total"]
    if config.tasks:
        parts |= _compute_tasks(views, config)
        both = parts["under_weight"] * parts["under"] + parts["over_weight"] * parts["over"]
        total = total + config.tasks * (both + parts["correct"])
    for name, (weight, term) in _choose_terms(views, config, step).items():
        if weight:
            parts[name] = term()
            total = total + weight * parts[name]
    means = {name: part.mean() for name, part in (parts | {"total": total}).items()}
    return Losses(**means)


_PARTS = tuple(Losses.__dataclass_fields__)


def _choose_terms(
    views: Views, config: LossConfig, step: int
) -> dict[str, tuple[float, Callable[[], Tensor]]]:
    """Weight and computation of each term in this step; several share the pyramid's moments."""
    fused, shown, under, over = views.fused, views.shown, views.under, views.over
    pyramid = Pyramid(shown, under, over)
    fidelity = config.fidelity if step >= config.fidelity_from_step else 0.0
    tone = config.tone if step >= config.tone_from_step else 0.0
    gain, scales = config.detail_gain, config.detail_scales
    return {
        "excursion": (config.bounds, lambda: excursion(fused, under, over)),
        "infidelity": (fidelity, lambda: infidelity(pyramid)),
        "lost_detail": (
            config.detail,
            lambda: lost_detail(shown, under, over, gain=gain, scales=scales),
        ),
        "tone_shift": (tone, lambda: tone_shift(fused, under, over)),
        "unlikeness": (config.similarity, lambda: dissimilarity(pyramid)),
        "lost_edges": (config.edges, lambda: lost_edges(shown, under, over)),
        "lost_information": (config.information, lambda: lost_information(shown, under, over)),
        "haze": (config.haze, lambda: haze(fused, under, over)),
        "disorder": (config.order, lambda: disorder(fused, under, over)),
        "rims": (config.halo, lambda: rims(fused, under, over)),
        "lost_colour": (config.colour, lambda: lost_colour(*_take_colours(views))),
        "foreign_hue": (config.hue, lambda: foreign_hue(*_take_colours(views))),
        "variation": (config.variation, lambda: variation(shown)),
    }


def _take_colours(views: Views) -> tuple[Tensor, Tensor, Tensor]:
    """The fused picture and the exposures, (N, 3, H, W) each, 0..255."""
    if views.colours is None:
        raise ValueError("expected RGB where loss.colour or loss.hue has a weight, got one plane")
    return views.colours.fused, views.colours.under, views.colours.over


def _compute_tasks(views: Views, config: LossConfig) -> dict[str, Tensor]:
    """The paper's three tasks and their weights, each of shape (N,)."""
    fused, under, correct, over = views.fused, views.under, views.correct, views.over
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
    return error, ms_ssim(output, target)


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
