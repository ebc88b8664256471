"""The term that holds a fusion to the scene, and what terms compare with of many exposures."""

import pytest
import torch

from trainer.config import LossConfig
from trainer.losses.pairs import Pairs
from trainer.losses.terms.truth import untruth
from trainer.losses.weighted_sum import compute_losses


def flat(level):
    return torch.full((1, 1, 16, 16), float(level), dtype=torch.float64)


def test_a_shift_of_tone_costs_its_size_and_detail_is_free():
    truth = flat(100)
    assert untruth(flat(110), truth).item() == pytest.approx(10)
    striped = truth.clone()
    striped[..., ::2] += 20
    striped[..., 1::2] -= 20
    assert untruth(striped, truth).item() == pytest.approx(0, abs=1e-9)


def test_what_has_no_truth_costs_nothing():
    fused = flat(100).requires_grad_()
    value = untruth(fused, flat(0))
    value.sum().backward()
    assert value.item() == 0
    assert (fused.grad == 0).all()


def test_a_weight_on_truth_wants_a_truth():
    triple = torch.rand(1, 3, 3, 192, 192)
    config = LossConfig(tasks=0.0, truth=1.0)
    with pytest.raises(ValueError, match=r"expected data\.truth"):
        compute_losses(triple[:, 1], triple, config)
    losses = compute_losses(triple[:, 1], triple, config, truth=triple[:, 1])
    assert losses["total"].item() == pytest.approx(0, abs=1e-6)


def test_terms_compare_with_the_pair_that_they_ask_for():
    generator = torch.Generator().manual_seed(0)
    scene = torch.rand(1, 3, 192, 192, generator=generator)
    triple = torch.stack([0.02 * scene, 0.5 * scene, 0.3 + 0.05 * scene], dim=1)
    telling, drawn = (torch.stack([scene * a, scene * b], dim=1) for a, b in ((0.4, 1), (0.1, 0.2)))
    output = 0.5 * scene
    config = LossConfig(tasks=0.0, similarity=1.0, edges=1.0, shadows=1.0)
    values = compute_losses(output, triple, config, pairs=Pairs(telling, drawn, ()))

    def alone(pair):
        return compute_losses(
            output, torch.stack([pair[:, 0], triple[:, 1], pair[:, 1]], 1), config
        )

    assert values["unlikeness"].item() == pytest.approx(alone(drawn)["unlikeness"].item())
    assert values["lost_edges"].item() == pytest.approx(alone(telling)["lost_edges"].item())
    ends = compute_losses(output, triple, config)
    assert values["lost_shadows"].item() == pytest.approx(ends["lost_shadows"].item())
    assert values["lost_shadows"].item() > 0
    assert values["unlikeness"].item() != pytest.approx(values["lost_edges"].item())
