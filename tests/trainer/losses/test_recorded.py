"""Losses of a pair are those of the code that the weights of versions 1.x were trained by."""

import pytest
import torch
from torch.nn import functional

from trainer.losses.config import LossConfig
from trainer.losses.weighted_sum import compute_losses

# By the code of commit bafaaa2, in float64: the value, and the sum of the gradient's magnitudes.
RECORDED = {
    "bounds": (0.4016686735, 15.18800727),
    "fidelity": (0.7502266005, 3.80894484),
    "detail": (1.303803623, 70.30437612),
    "tone": (578.8196551, 10063.57766),
    "similarity": (0.7327286086, 3.239052989),
    "edges": (0.8777404632, 9.456335897),
    "information": (0.1590829381, 13.83110532),
    "haze": (2489.375589, 23660.4253),
    "order": (3.563889542, 73.82161458),
    "halo": (34.44684772, 560.7777283),
    "variation": (12.68849236, 258.7971396),
}


def draw_case() -> tuple[torch.Tensor, torch.Tensor]:
    """A made fusion, (2, 3, 192, 192), and its triple, (2, 3, 3, 192, 192)."""
    generator = torch.Generator().manual_seed(14)

    def noise(step: int) -> torch.Tensor:
        size = (2, 3, 192 // step, 192 // step)
        coarse = torch.rand(size, generator=generator, dtype=torch.float64)
        return functional.interpolate(coarse, size=(192, 192), mode="bilinear")

    radiance = (0.6 * noise(24) + 0.25 * noise(4) + 0.15 * noise(1)) ** 2
    pictures = [(radiance * gain).clamp(max=1) ** 0.45 for gain in (0.3, 1.2, 9.0)]
    fused = 0.7 * pictures[0] + 0.4 * pictures[2] + 0.9 * (noise(6) - 0.5)
    return fused, torch.stack(pictures, dim=1)


@pytest.mark.parametrize("key", RECORDED)
def test_a_term_of_a_pair_is_what_it_was(key: str) -> None:
    fused, triple = draw_case()
    fused.requires_grad_()
    total = compute_losses(fused, triple, LossConfig(tasks=0.0, **{key: 1.0}))["total"]
    total.backward()
    assert fused.grad is not None
    value, slope = RECORDED[key]
    assert total.item() == pytest.approx(value, rel=1e-6)
    assert fused.grad.abs().sum().item() == pytest.approx(slope, rel=1e-6)
