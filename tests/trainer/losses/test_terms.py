"""Each term of the loss on cases done by hand, beside the metric that it follows, and its slope."""

import math

import numpy as np
import pytest
import torch
from torch.nn import functional

from model.blend.colour import LUMA
from trainer import metrics
from trainer.losses.local_moments import MomentPyramid
from trainer.losses.ms_ssim import ms_ssim
from trainer.losses.planes import rgb_to_luma
from trainer.losses.terms.edges import lost_edges
from trainer.losses.terms.halo import rims
from trainer.losses.terms.haze import EXPOSED_SIGMA, haze
from trainer.losses.terms.information import lost_information
from trainer.losses.terms.order import ORDER_OFFSETS, disorder
from trainer.losses.terms.similarity import dissimilarity
from trainer.losses.terms.variation import variation
from trainer.metrics.guards.halo import SLACK, halo
from trainer.metrics.guards.hue import foreign_hue


def scene(seed=0, side=192):
    """Smooth noise on two scales, 0..1. Shape (1, 1, side, side), float64."""
    generator = torch.Generator().manual_seed(seed)
    coarse, fine = (
        functional.interpolate(
            torch.rand(1, 1, side // step, side // step, generator=generator, dtype=torch.float64),
            size=(side, side),
            mode="bicubic",
        )
        for step in (24, 4)
    )
    return (0.7 * coarse + 0.3 * fine).clamp(0, 1)


def exposures(seed=0, side=192):
    plane = scene(seed, side)
    return (plane * 110).clamp(0, 255).round(), (plane * 340).clamp(0, 255).round()


def fusions(under, over):
    noise = torch.randn(under.shape, generator=torch.Generator().manual_seed(1)).double()
    mean = (under + over) / 2
    return {
        "mean": mean.round(),
        "under": under,
        "over": over,
        "noisy": (mean + 12 * noise).clamp(0, 255).round(),
        "blurred": functional.avg_pool2d(mean, 7, 1, 3, count_include_pad=False).round(),
        "strong": (mean * 1.4 - 50).clamp(0, 255).round(),
    }


def metric_of(name, under, over, fused):
    *exposures, fusion = (plane[0, 0].numpy() for plane in (under, over, fused))
    return getattr(metrics, name)(exposures, fusion)


TERMS = {
    # name: loss, metric that it follows, how near
    "similarity": (lambda f, u, o: dissimilarity(MomentPyramid(f, u, o)), "ms_ssim", 1e-6),
    "edges": (lost_edges, "qabf", 0.05),  # an angle of noise is not cut at the upright
    "information": (lost_information, "viff", 2e-3),
}


@pytest.mark.parametrize("name", TERMS)
@pytest.mark.parametrize("seed", [0, 3])
def test_a_term_is_one_less_its_metric(name, seed):
    loss, metric, tolerance = TERMS[name]
    under, over = exposures(seed)
    for kind, fused in fusions(under, over).items():
        # The metric's Sobel pads with zeros, and finds an edge along the border; here all do.
        planes = [functional.pad(plane, (8, 8, 8, 8)) for plane in (fused, under, over)]
        expected = 1 - metric_of(metric, *planes[1:], planes[0])
        assert loss(*planes).item() == pytest.approx(expected, abs=tolerance), kind


@pytest.mark.parametrize("name", TERMS)
def test_a_term_orders_fusions_as_its_metric_does(name):
    loss, metric, _ = TERMS[name]
    under, over = exposures(5)
    planes = fusions(under, over)
    by_loss = sorted(planes, key=lambda kind: -loss(planes[kind], under, over).item())
    by_metric = sorted(planes, key=lambda kind: metric_of(metric, under, over, planes[kind]))
    assert by_loss == by_metric


@pytest.mark.parametrize("name", TERMS)
@pytest.mark.parametrize("level", [0.0, 37.2, 255.0])
def test_float32_follows_float64_also_in_flat_areas_and_its_slope_is_finite(name, level):
    loss, _, _ = TERMS[name]
    under, over = exposures(2)
    under[..., :90, :110], over[..., 60:, 70:] = level, level
    fused = ((under + over) / 2).float().requires_grad_()
    single = loss(fused, under.float(), over.float())
    single.sum().backward()
    double = loss(fused.detach().double(), under, over)
    assert single.item() == pytest.approx(double.item(), abs=3e-3)
    assert torch.isfinite(fused.grad).all()
    assert fused.grad.abs().max() < 0.01


@pytest.mark.parametrize("name", [*TERMS, "variation"])
@pytest.mark.parametrize("level", [0.0, 128.0, 255.0])
def test_slopes_are_finite_where_nothing_has_structure(name, level):
    loss = TERMS[name][0] if name in TERMS else lambda f, u, o: variation(f)
    flat = torch.full((1, 1, 176, 176), level)
    fused = flat.clone().requires_grad_()
    loss(fused, flat, flat).sum().backward()
    assert torch.isfinite(fused.grad).all()


def test_exposures_without_structure_have_lost_no_information():
    flat = torch.full((1, 1, 176, 176), 100.0)
    assert lost_information(flat, flat, flat).item() == pytest.approx(0, abs=1e-6)


def test_lost_edges_by_hand_at_an_upright_step():
    # Half the strength of the only edge, in its direction: two sigmoids, the weights cancel.
    step = torch.zeros(1, 1, 16, 16, dtype=torch.float64)
    step[..., 8:] = 100
    strength, direction = 0.9994 / (1 + np.exp(0)), 0.9879 / (1 + np.exp(-22 * 0.2))
    expected = 1 - strength * direction
    assert lost_edges(step / 2, step, step).item() == pytest.approx(expected, abs=1e-4)
    # An edge across it keeps nothing of the direction.
    assert lost_edges(step.transpose(2, 3), step, step).item() > 0.99


def test_ms_ssim_is_zero_and_flat_for_a_picture_and_its_negative():
    plane = (scene(4) * 255).float()
    output = (255 - plane).requires_grad_()
    similarity = ms_ssim(output, plane)
    similarity.sum().backward()
    assert similarity.item() == 0
    assert torch.isfinite(output.grad).all()


def test_ms_ssim_of_an_odd_side_comes_near_the_metric():
    plane, other = (scene(4, 176)[..., :173, :] * 255).round(), (scene(5, 176)[..., :173, :] * 255)
    fused = (0.8 * plane + 0.2 * other).round()
    expected = metric_of("ms_ssim", plane, plane, fused)
    assert ms_ssim(fused, plane).item() == pytest.approx(expected, abs=0.01)


@pytest.fixture
def stairs():
    """Four flat tones in columns of 16 pixels, dark to bright, in both exposures."""
    tones = torch.tensor([10.0, 30.0, 60.0, 90.0]).repeat_interleave(16).expand(1, 1, 64, 64)
    return tones, tones + 100


def test_a_fusion_that_keeps_the_order_has_no_disorder(stairs):
    under, over = stairs
    assert disorder((under + over) / 2, under, over).item() == 0
    assert disorder(torch.full_like(under, 7.0), under, over).item() == 0
    assert disorder(over * 3 - 70, under, over).item() == 0


def test_disorder_grows_with_the_reversal_and_pulls_it_back(stairs):
    under, over = stairs
    mean = (under + over) / 2
    swapped = mean.clone()
    swapped[..., 16:32] = mean[..., 32:33] + 5
    worse = swapped.clone()
    worse[..., 16:32] += 10
    mild, strong = (disorder(plane, under, over).item() for plane in (swapped, worse))
    assert 0 < mild < strong
    fused = swapped.requires_grad_()
    disorder(fused, under, over).sum().backward()
    assert fused.grad[..., 16:32].sum() > 0  # the tone that is too bright is to fall
    assert fused.grad[..., 32:48].sum() < 0


def test_where_the_exposures_disagree_no_order_is_asked_for(stairs):
    under, over = stairs
    assert disorder(-under, under, over.flip(3)).item() == 0


def test_disorder_by_hand_of_two_tones():
    # Columns 0 and 1 alternate in cells of 8: every offset with an odd column count compares them.
    cells = torch.tensor([0.0, 50.0]).repeat(8)[None].expand(16, 16)
    under = functional.interpolate(cells[None, None].contiguous(), scale_factor=8)
    fused = -0.2 * under
    odd = sum(column % 2 != 0 for _, column in ORDER_OFFSETS) / len(ORDER_OFFSETS)
    assert disorder(fused, under, under).item() == pytest.approx(10 * odd, rel=1e-6)


def test_haze_by_hand_of_flat_exposures():
    under, over = (torch.full((1, 1, 32, 32), 255 * tone).double() for tone in (0.3, 0.9))
    weights = [math.exp(-((x - 0.5) ** 2) / (2 * EXPOSED_SIGMA**2)) for x in (0.3, 0.9)]
    wanted = 255 * (weights[0] * 0.3 + weights[1] * 0.9) / sum(weights)
    fused = torch.full_like(under, wanted)
    assert haze(fused, under, over).item() == pytest.approx(0, abs=1e-6)
    assert haze(fused - 3, under, over).item() == 0  # darker than well exposed is no haze
    fused = (fused + 3).requires_grad_()
    loss = haze(fused, under, over)
    assert loss.item() == pytest.approx(9 / 2, rel=1e-4)  # at 0.9 a cell is half burnt
    loss.sum().backward()
    assert fused.grad.min() > 0  # a tone that is too bright is to fall


def test_where_no_exposure_is_burnt_out_there_is_no_haze():
    under, over = (torch.full((1, 1, 32, 32), 255 * tone) for tone in (0.3, 0.8))
    assert haze(torch.full_like(over, 255.0), under, over).item() == 0


def test_haze_leaves_detail_within_a_cell_free():
    under, over = scene(1) * 100, 215 + scene(1) * 40
    checks = (torch.arange(192)[:, None] + torch.arange(192)) % 2 * 2.0 - 1
    fused = (under + over) / 2
    expected = haze(fused, under, over).item()
    assert haze(fused + 20 * checks, under, over).item() == pytest.approx(expected)


@pytest.fixture
def roof():
    """A dark roof under a bright sky, the edge between two cells."""
    under = torch.full((1, 1, 96, 96), 20.0)
    under[..., 48:, :] = 100
    over = (under + 120).clamp(max=255)
    return under, over


def test_a_plain_edge_has_no_rim_however_strong_it_is(roof):
    under, over = roof
    for fused in (under, over, (under + over) / 2, 2 * under, torch.zeros_like(under)):
        assert rims(fused, under, over).item() == 0


def test_a_rim_beside_an_edge_costs_its_height_and_is_pulled_back(roof):
    under, over = roof
    rim = (under + over) / 2
    rim[..., 48:52, :] += 12  # one cell wide, on the bright side
    # An edge of 80 levels in both exposures lies on two cells and is looked at from two sides.
    by_hand = 100 * (12 - SLACK / 2) / (4 * 80)
    dark = (under + over) / 2
    dark[..., 44:48, :] -= 12
    assert rims(rim, under, over).item() == pytest.approx(by_hand, rel=1e-4)
    assert rims(dark, under, over).item() == pytest.approx(rims(rim, under, over).item(), rel=1e-4)
    turned = (plane.transpose(2, 3) for plane in (rim, under, over))
    assert rims(*turned).item() == pytest.approx(rims(rim, under, over).item(), rel=1e-6)
    fused = rim.clone().requires_grad_()
    rims(fused, under, over).sum().backward()
    assert fused.grad[..., 48:52, :].sum() > 0  # the rim is to sink


def test_rims_rank_fusions_as_the_guard_does(roof):
    under, over = roof
    fusions = []
    for height in (0, 6, 12, 24):
        fusions.append((under + over) / 2)
        fusions[-1][..., 48:52, :] += height
    ours = [rims(fused, under, over).item() for fused in fusions]
    exposures = [plane[0, 0].numpy() for plane in (under, over)]
    guard = [halo(exposures, fused[0, 0].numpy()) for fused in fusions]
    assert ours == sorted(ours)
    assert guard == sorted(guard)
    assert ours[0] == guard[0] == 0 < ours[1]


def test_a_rim_that_an_exposure_has_is_not_the_fusions_own(roof):
    under, over = roof
    with_lamp = over.clone()
    with_lamp[..., 48:56, :] += 12
    fused = (under + over) / 2
    fused[..., 48:56, :] += 12
    assert rims(fused, under, with_lamp).item() == 0


def test_a_rim_is_pulled_back(roof):
    under, over = roof
    fused = (under + over) / 2
    fused[..., 48:56, :] += 12
    fused.requires_grad_()
    rims(fused, under, over).sum().backward()
    assert fused.grad[..., 48:56, :].sum() > 0


def colours(*values):
    """A picture of one colour each. Shape (1, 3, 16, 16), float64."""
    return [
        torch.tensor(v, dtype=torch.float64).view(1, 3, 1, 1).expand(1, 3, 16, 16) for v in values
    ]


def of_chroma(red, blue, *, luma=100.0):
    """A picture of one colour with R - Y and B - Y. Shape (1, 3, 16, 16), float64."""
    of_red, of_green, of_blue = LUMA
    green = -(of_red * red + of_blue * blue) / of_green
    return colours([luma + red, luma + green, luma + blue])[0]


@pytest.mark.parametrize(
    ("fused", "expected"),
    [
        ((20.0, 20.0), 0.0),  # a mix, with a gain
        ((60.0, 0.0), 0.0),  # one exposure's hue, and more of it
        ((0.0, 0.0), 0.0),
        ((10.0, -5.0), 5.0),  # beside one exposure's hue
        ((-3.0, -4.0), 5.0),  # against both
        ((-5.0, 10.0), 5.0),
    ],
)
def test_foreign_hue_by_hand(fused, expected):
    under, over = of_chroma(30.0, 0.0, luma=40.0), of_chroma(0.0, 8.0, luma=200.0)
    picture = of_chroma(*fused)
    assert foreign_hue(picture, (under, over)).item() == pytest.approx(expected, abs=0.12)
    assert foreign_hue(picture, (over, under)).item() == pytest.approx(expected, abs=0.12)


def test_a_grey_exposure_allows_the_other_ones_hue_alone():
    blue, white = of_chroma(-10.0, 30.0), of_chroma(0.0, 0.0, luma=255.0)
    assert foreign_hue(of_chroma(-4.0, 12.0), (blue, white)).item() == pytest.approx(0, abs=0.1)
    pink = foreign_hue(of_chroma(6.0, 2.0), (blue, white)).item()
    assert pink == pytest.approx(np.hypot(6, 2), abs=0.01)
    assert foreign_hue(of_chroma(6.0, 2.0), (white, white)).item() == pytest.approx(pink, abs=0.01)


@pytest.mark.parametrize("gain", [1.0, 1.4])
def test_a_mix_of_both_exposures_in_any_place_has_no_foreign_hue(gain):
    generator = torch.Generator().manual_seed(3)
    cells = torch.rand(2, 3, 3, 8, 8, generator=generator, dtype=torch.float64)
    under, over = (one.repeat_interleave(4, 2).repeat_interleave(4, 3) * 255 for one in cells)
    share = torch.rand(3, 1, 8, 8, generator=generator, dtype=torch.float64)
    share = share.repeat_interleave(4, 2).repeat_interleave(4, 3)
    mix = share * under + (1 - share) * over
    mix = rgb_to_luma(mix) + gain * (mix - rgb_to_luma(mix))
    assert foreign_hue(mix, (under, over)).max().item() < 1e-9
    assert foreign_hue(mix.flip(1), (under, over)).min().item() > 1


def test_variation_of_a_ramp_is_its_slope():
    ramp = torch.arange(32.0, dtype=torch.float64).expand(2, 1, 32, 32) * 3
    assert variation(ramp).tolist() == pytest.approx([3, 3], abs=1e-3)


@pytest.mark.parametrize("name", ["edges", "information", "disorder", "rims", "variation"])
def test_slopes_are_those_of_finite_differences(name):
    generator = torch.Generator().manual_seed(9)
    side = 44 if name == "information" else 40
    planes = torch.rand(3, 1, 1, side, side, generator=generator, dtype=torch.float64) * 200
    under, over, fused = planes[0] * 0.4, planes[1] + 40, planes[2]
    loss = {
        "edges": lost_edges,
        "information": lost_information,
        "disorder": disorder,
        "rims": rims,
        "variation": lambda f, u, o: variation(f),
    }[name]
    fused = fused.clone().requires_grad_()
    loss(fused, under, over).sum().backward()
    direction = torch.randn(fused.shape, generator=generator, dtype=torch.float64)
    with torch.no_grad():
        ahead, behind = (loss(fused + s * 1e-5 * direction, under, over) for s in (1, -1))
    expected = (ahead - behind).item() / 2e-5
    assert (fused.grad * direction).sum().item() == pytest.approx(expected, rel=1e-4, abs=1e-8)
