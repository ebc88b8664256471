import numpy as np
import pytest
import torch

from trainer.config import LossConfig
from trainer.losses.masks import build_mask
from trainer.losses.ms_ssim import authors_ms_ssim
from trainer.losses.tuner import tune_weights
from trainer.losses.weighted_sum import compute_losses
from trainer.metrics import ms_ssim


def random_triple(seed: int = 0, side: int = 256, batch: int = 1) -> torch.Tensor:
    """Smooth random lightness, three exposures of it. Shape (batch, 3, 1, side, side)."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(batch, 1, side // 8, side // 8, generator=generator, dtype=torch.float64)
    scene = torch.nn.functional.interpolate(coarse, size=(side, side), mode="bilinear")
    return torch.stack([(scene * gain).clamp(0, 1) * 100 for gain in (0.4, 1.0, 1.8)], dim=1)


def test_losses_are_the_tasks_weighted_by_the_tuner():
    triple = random_triple()
    output = triple[:, 1] * 0.9 + 3
    losses = compute_losses(output, triple, LossConfig())
    under, correct, over = (triple[:, index] * 2.55 for index in range(3))
    first, second = tune_weights(under / 255, correct / 255, over / 255)
    assert losses["under_weight"].item() == pytest.approx(first.item())
    expected = first * losses["under"] + second * losses["over"] + losses["correct"]
    assert losses["total"].item() == pytest.approx(expected.item(), rel=1e-12)


def test_co_task_is_square_error_plus_alpha_times_dissimilarity_on_0_to_255():
    triple = random_triple()
    output = triple[:, 1] * 0.9 + 3
    losses = compute_losses(output, triple, LossConfig(use_masks=False))
    fused, target = (output * 2.55)[0, 0].numpy(), (triple[:, 1] * 2.55)[0, 0].numpy()
    # The evaluation's MS-SSIM is written apart from the training's; 256 divides by 16.
    similarity = ms_ssim([target, target], fused)
    expected = np.mean((fused - target) ** 2) + 1000 * (1 - similarity)
    assert losses["correct"].item() == pytest.approx(expected, rel=1e-4)
    assert losses["under"].item() == losses["over"].item() == 0


def test_square_error_of_a_masked_task_by_hand():
    triple = random_triple()
    output = triple[:, 1].clone()
    losses = compute_losses(output, triple, LossConfig(alpha=0.0))
    mask = build_mask(triple[:, 0] * 2.55, "under")
    expected = (mask * (output - triple[:, 0]) * 2.55).square().mean()
    assert losses["under"].item() == pytest.approx(expected.item(), rel=1e-10)


def test_square_error_as_a_norm_by_hand_and_flat_where_it_vanishes():
    triple = random_triple()
    config = LossConfig(alpha=0.0, use_masks=False, square_error="norm")
    output = (triple[:, 1] * 0.9 + 3).requires_grad_()
    losses = compute_losses(output, triple, config)
    expected = np.linalg.norm(((output - triple[:, 1]) * 2.55).detach().numpy())
    assert losses["correct"].item() == pytest.approx(expected, rel=1e-10)
    equal = triple[:, 1].clone().requires_grad_()
    compute_losses(equal, triple, config)["total"].backward()
    assert equal.grad is not None
    assert torch.equal(equal.grad, torch.zeros_like(equal))


def test_perfect_output_of_equal_exposures_costs_nothing():
    triple = random_triple()
    triple = triple[:, 1:2].expand(-1, 3, -1, -1, -1)
    losses = compute_losses(triple[:, 1], triple, LossConfig())
    assert losses["total"].item() == pytest.approx(0, abs=1e-9)


def test_without_the_tuner_both_tasks_weigh_half_of_beta():
    triple = random_triple()
    losses = compute_losses(triple[:, 1], triple, LossConfig(use_tuner=False, beta=3.0))
    assert (losses["under_weight"].item(), losses["over_weight"].item()) == (1.5, 1.5)


def test_losses_of_a_batch_are_the_mean_of_its_triples():
    both = random_triple(batch=2)
    output = both[:, 1] * 0.8
    alone = [
        compute_losses(output[i : i + 1], both[i : i + 1], LossConfig())["total"].item()
        for i in range(2)
    ]
    together = compute_losses(output, both, LossConfig())["total"].item()
    assert together == pytest.approx(sum(alone) / 2, rel=1e-9)


@pytest.mark.parametrize("variant", ["wang", "authors"])
def test_gradient_lowers_the_loss(variant):
    triple = random_triple()
    output = (triple[:, 0] * 0.5 + 20).requires_grad_()
    config = LossConfig(ms_ssim=variant)
    before = compute_losses(output, triple, config)["total"]
    before.backward()
    with torch.no_grad():
        moved = output - 0.5 * output.grad / output.grad.abs().max()
    assert compute_losses(moved, triple, config)["total"] < before


def test_masks_of_two_sigmas_differ_from_one_mask():
    triple = random_triple(side=256)
    output = triple[:, 1]
    one = compute_losses(output, triple, LossConfig())["under"]
    two = compute_losses(output, triple, LossConfig(output_sigma_px=50, output_kernel_sigmas=8))
    assert abs(one - two["under"]) > 1e-3 * one


def test_authors_ms_ssim_is_one_for_equal_images_and_falls_with_noise():
    plane = random_triple()[:, 1] * 2.55
    assert authors_ms_ssim(plane, plane).item() == pytest.approx(1, abs=1e-12)
    noise = torch.randn(plane.shape, generator=torch.Generator().manual_seed(1)).double()
    slight = authors_ms_ssim(plane + 5 * noise, plane).item()
    strong = authors_ms_ssim(plane + 25 * noise, plane).item()
    assert strong < slight < 1


def test_authors_ms_ssim_of_two_constant_images_by_hand():
    # Structure is 1 at every scale; the last scale's SSIM is its luminance term, mapped to 0..1
    # and entering four times with weight 0.1333.
    first = torch.full((1, 1, 256, 256), 100.0, dtype=torch.float64)
    second = torch.full((1, 1, 256, 256), 150.0, dtype=torch.float64)
    c1 = (0.01 * 255) ** 2
    luminance = (2 * 100 * 150 + c1) / (100**2 + 150**2 + c1)
    expected = ((luminance + 1) / 2) ** (4 * 0.1333)
    assert authors_ms_ssim(first, second).item() == pytest.approx(expected, rel=1e-9)
