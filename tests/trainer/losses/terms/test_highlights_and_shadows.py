"""The terms on what one exposure alone shows, on flat and striped places done by hand."""

import pytest
import torch

from trainer.losses.terms.highlights import find_burnt, lost_texture, veil
from trainer.losses.terms.shadows import lost_shadows


def flat(level, channels=1):
    return torch.full((1, channels, 16, 16), float(level), dtype=torch.float64)


def stripes(low, high):
    plane = flat(low)
    plane[..., ::2] = high
    return plane


@pytest.mark.parametrize(
    ("under", "over", "expected"),
    [(100, 255, 1), (100, 239, 0), (100, 246, 0.5), (10, 255, 0), (250, 255, 0), (22.5, 255, 0.5)],
)
def test_a_place_is_burnt_where_one_exposure_is_white_and_the_other_shows_it(under, over, expected):
    assert find_burnt(flat(under), flat(over, 3)).mean().item() == pytest.approx(expected)


def test_a_place_that_one_channel_shows_is_not_burnt():
    over = flat(255, 3)
    over[:, 2] = 200
    assert find_burnt(flat(100), over).max() == 0


def test_a_veil_costs_the_square_of_what_is_too_bright():
    under, burnt = flat(95), flat(1)
    for tone, expected in ((255, 80**2), (185, 10**2), (175, 0), (100, 0)):
        assert veil(flat(tone), under, burnt, share=0.5).item() == pytest.approx(expected)
    assert veil(flat(255), under, flat(0), share=0.5).item() == 0


def test_texture_costs_what_it_lacks_against_the_gain():
    under, burnt = stripes(90, 110), flat(1)
    for fused, expected in ((stripes(90, 110), 6), (flat(150), 26), (stripes(150, 180), 0)):
        value = lost_texture(fused, under, burnt, gain=1.3)
        assert value.item() == pytest.approx(expected, abs=0.05)
    assert lost_texture(flat(150), under, flat(0), gain=1.3).item() == 0


@pytest.mark.parametrize(
    ("under", "over", "fused", "expected"),
    [(5, 100, 20, 45), (5, 100, 70, 0), (50, 100, 20, 0), (5, 200, 20, 0), (5, 10, 0, 0)],
)
def test_a_shadow_costs_what_it_lacks_of_its_share(under, over, fused, expected):
    value = lost_shadows(flat(fused), flat(under), flat(over), share=0.65)
    assert value.item() == pytest.approx(expected)


def test_both_pull_the_fusion_to_where_it_belongs():
    fused = flat(240).requires_grad_()
    veil(fused, flat(95), flat(1), share=0.5).sum().backward()
    assert (fused.grad > 0).all()
    dark = flat(10).requires_grad_()
    lost_shadows(dark, flat(2), flat(90), share=0.65).sum().backward()
    assert (dark.grad < 0).all()
