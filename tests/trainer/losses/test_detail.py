import pytest
import torch

from trainer.config import LossConfig
from trainer.losses.terms.bounds import excursion
from trainer.losses.terms.detail import lost_detail
from trainer.losses.terms.tone import tone_shift
from trainer.losses.weighted_sum import compute_losses


def noise(seed: int, batch: int = 2, side: int = 64) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(batch, 1, side, side, generator=generator, dtype=torch.float64) * 255


def test_a_fusion_with_the_stronger_exposures_gradients_has_lost_no_detail():
    over = noise(1)
    assert lost_detail(over, over * 0.3, over, gain=1.0, scales=3).tolist() == [0, 0]


def test_lost_detail_of_a_ramp_by_hand():
    ramp = torch.arange(32.0, dtype=torch.float64).expand(1, 1, 32, 32) * 4
    flat = torch.zeros_like(ramp)
    # Slopes: 4 a pixel at full size, 8 at half; a fusion with a quarter of them lacks 3 and 6.
    lacking = lost_detail(ramp / 4, flat, ramp, gain=1.0, scales=2)
    assert lacking.item() == pytest.approx((3 + 6) / 2, abs=1e-3)
    asked = lost_detail(ramp, flat, ramp, gain=1.5, scales=1)
    assert asked.item() == pytest.approx(2, abs=1e-3)


def test_lost_detail_does_not_depend_on_the_order_of_the_exposures():
    fused, under, over = noise(1), noise(2), noise(3)
    first = lost_detail(fused, under, over, gain=1.2, scales=3)
    assert torch.equal(first, lost_detail(fused, over, under, gain=1.2, scales=3))


def test_lost_detail_grows_as_the_fusion_is_smoothed():
    over = noise(4)
    mild, strong = (torch.nn.functional.avg_pool2d(over, k, 1, k // 2) for k in (3, 7))
    a, b = (lost_detail(x, over * 0.2, over, gain=1.0, scales=3) for x in (mild, strong))
    assert (a < b).all()


def test_a_fusion_between_its_exposures_has_no_excursion():
    under, over = noise(5) * 0.4, noise(6) * 0.4 + 102
    assert excursion((under + over) / 2, under, over).tolist() == [0, 0]


def test_excursion_by_hand_on_both_sides():
    under = torch.full((1, 1, 2, 2), 10.0)
    over = torch.full((1, 1, 2, 2), 20.0)
    fused = torch.tensor([[[[7.0, 10.0], [20.0, 24.0]]]])
    assert excursion(fused, under, over).item() == pytest.approx((9 + 16) / 4)


def test_detail_upon_the_mean_of_the_exposures_shifts_no_tone():
    under, over = noise(5) * 0.4, noise(6)
    detail = noise(7) - 128
    cells = torch.nn.functional.avg_pool2d(detail, 8)
    detail = detail - torch.nn.functional.interpolate(cells, scale_factor=8)
    shift = tone_shift((under + over) / 2 + detail, under, over)
    assert shift.tolist() == pytest.approx([0, 0], abs=1e-20)


def test_tone_shift_by_hand_and_alike_for_either_order_of_the_exposures():
    under, over = torch.full((1, 1, 16, 8), 10.0), torch.full((1, 1, 16, 8), 30.0)
    fused = torch.cat([torch.full((1, 1, 8, 8), 23.0), torch.full((1, 1, 8, 8), 19.0)], dim=2)
    assert tone_shift(fused, under, over).item() == pytest.approx((9 + 1) / 2)
    assert torch.equal(tone_shift(fused, under, over), tone_shift(fused, over, under))


@pytest.mark.parametrize("term", ["detail", "excursion", "tone"])
def test_gradients_are_those_of_finite_differences(term):
    under, over = noise(7, 1, 8) * 0.5, noise(8, 1, 8)
    fused = (noise(9, 1, 8) * 1.3 - 30).requires_grad_()

    def compute(plane):
        if term == "detail":
            return lost_detail(plane, under, over, gain=1.1, scales=2)
        if term == "tone":
            return tone_shift(plane, under, over)
        return excursion(plane, under, over)

    assert torch.autograd.gradcheck(compute, (fused,))


def test_gradients_are_finite_where_everything_is_flat():
    fused = torch.full((1, 1, 32, 32), 50.0, requires_grad=True)
    flat = torch.full((1, 1, 32, 32), 60.0)
    lost_detail(fused, flat, flat, gain=1.1, scales=3).sum().backward()
    assert fused.grad is not None
    assert torch.isfinite(fused.grad).all()


def test_total_is_the_tasks_plus_each_weighted_term():
    triple = noise(10, 3, 192).reshape(1, 3, 1, 192, 192) / 2.55
    output = triple[:, 1] * 1.4 - 20
    plain = compute_losses(output, triple, LossConfig())
    config = LossConfig(
        fidelity=100.0, detail=3.0, detail_gain=1.2, detail_scales=2, bounds=0.5, tone=0.25
    )
    losses = compute_losses(output, triple, config)
    terms = (losses["infidelity"], losses["lost_detail"], losses["excursion"], losses["tone_shift"])
    assert min(terms) > 0
    expected = plain["total"]
    for weight, term in zip((100, 3, 0.5, 0.25), terms, strict=True):
        expected = expected + weight * term
    assert losses["total"].item() == pytest.approx(expected.item(), rel=1e-12)
    shown = (output * 2.55).clamp(0, 255)
    under, over = triple[:, 0] * 2.55, triple[:, 2] * 2.55
    assert losses["lost_detail"].item() == pytest.approx(
        lost_detail(shown, under, over, gain=1.2, scales=2).item(), rel=1e-12
    )


def test_the_tone_term_may_join_late():
    triple = noise(11, 3, 192).reshape(1, 3, 1, 192, 192) / 2.55
    config = LossConfig(tone=1.0, tone_from_step=5)
    first, fifth = (compute_losses(triple[:, 0], triple, config, step=step) for step in (4, 5))
    assert first["tone_shift"].item() == 0
    assert (fifth["total"] - first["total"]).item() == pytest.approx(
        fifth["tone_shift"].item(), rel=1e-9
    )
