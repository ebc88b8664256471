import numpy as np
import pytest
import torch

from trainer.losses.terms.fidelity import mef_dissimilarity
from trainer.metrics import mef_ssim


def exposures(seed: int = 0, side: int = 128) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(1, 1, side // 4, side // 4, generator=generator, dtype=torch.float64)
    scene = torch.nn.functional.interpolate(coarse, size=(side, side), mode="bicubic")
    return (scene * 100).clamp(0, 255).round(), (scene * 300).clamp(0, 255).round()


def fusions(under: torch.Tensor, over: torch.Tensor) -> dict[str, torch.Tensor]:
    noise = torch.randn(under.shape, generator=torch.Generator().manual_seed(1)).double()
    return {
        "mean": ((under + over) / 2).round(),
        "under": under,
        "over": over,
        "noisy": ((under + over) / 2 + 12 * noise).clamp(0, 255).round(),
    }


def test_loss_comes_near_the_metric():
    under, over = exposures()
    for name, fused in fusions(under, over).items():
        metric = mef_ssim([plane[0, 0].numpy() for plane in (under, over)], fused[0, 0].numpy())
        loss = mef_dissimilarity(fused, under, over).item()
        # The loss has a mean over scales where the metric has a product.
        assert loss == pytest.approx(1 - metric, abs=0.02), name


def test_loss_orders_fusions_as_the_metric_does():
    under, over = exposures(seed=3)
    planes = fusions(under, over)
    metric = {
        name: mef_ssim([plane[0, 0].numpy() for plane in (under, over)], fused[0, 0].numpy())
        for name, fused in planes.items()
    }
    loss = {name: mef_dissimilarity(fused, under, over).item() for name, fused in planes.items()}
    assert sorted(loss, key=loss.__getitem__) == sorted(metric, key=metric.__getitem__)[::-1]


def test_equal_exposures_want_themselves():
    under, _ = exposures()
    assert mef_dissimilarity(under, under, under).item() == pytest.approx(0, abs=1e-6)


def test_float32_follows_float64_also_in_clipped_areas():
    under, over = exposures()
    under[..., :40, :40], over[..., 60:, 60:] = 0, 255
    fused = (under + over) / 2
    double = mef_dissimilarity(fused, under, over).item()
    single = mef_dissimilarity(fused.float(), under.float(), over.float()).item()
    assert np.isfinite(single)
    assert single == pytest.approx(double, abs=2e-3)


@pytest.mark.parametrize("value", [0.0, 128.0, 255.0])
def test_gradient_is_finite_where_nothing_has_structure(value):
    flat = torch.full((1, 1, 64, 64), value)
    output = flat.clone().requires_grad_()
    mef_dissimilarity(output, flat, flat).sum().backward()
    assert torch.isfinite(output.grad).all()


def test_a_step_against_the_gradient_lowers_the_loss():
    under, over = exposures()
    output = ((under + over) / 3).requires_grad_()
    before = mef_dissimilarity(output, under, over).sum()
    before.backward()
    with torch.no_grad():
        moved = output - output.grad / output.grad.abs().max()
    assert mef_dissimilarity(moved, under, over).item() < before.item()


def test_pictures_of_a_batch_are_judged_on_their_own():
    pairs = [exposures(seed) for seed in (0, 1)]
    under, over = (torch.cat(planes) for planes in zip(*pairs, strict=True))
    both = mef_dissimilarity((under + over) / 2, under, over)
    alone = [mef_dissimilarity((u + o) / 2, u, o).item() for u, o in pairs]
    assert both.tolist() == pytest.approx(alone, rel=1e-9)


@pytest.mark.parametrize("level", [0.0, 37.2, 201.7, 255.0])
def test_flat_areas_of_either_exposure_keep_float32_within_the_bounds(level):
    for flat_over in (False, True):
        under, over = exposures(seed=5)
        (over if flat_over else under)[..., 30:100, 20:110] = level
        fused = ((under + over) / 2).float().requires_grad_()
        loss = mef_dissimilarity(fused, under.float(), over.float())
        loss.sum().backward()
        assert 0 <= loss.item() <= 1
        double = mef_dissimilarity(fused.detach().double(), under, over).item()
        assert loss.item() == pytest.approx(double, abs=5e-3)
        assert fused.grad.abs().max() < 0.01
