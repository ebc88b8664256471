import pytest
import torch

from model.lightness.definition import GAMUT_TOLERANCE
from model.lightness.torch_chroma import fuse_chroma
from model.torch_colour import (
    lab_to_linear,
    lab_to_srgb,
    linear_to_lab,
    srgb_to_lab,
    srgb_to_linear,
)

RULES = ["mean", "weighted", "unclipped"]

GREY = 0.5
SKY = (0.25, 0.45, 0.75)
"""A blue sky, sRGB."""


def random_stack(dtype=torch.float64, *, shape=(2, 3, 3, 8, 9), seed=0):
    """Exposures of shape (N, K, 3, H, W), sRGB."""
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(shape, generator=generator, dtype=torch.float64).to(dtype)


def fuse(srgb, *, rule, lightness=None):
    """Fused CIELAB (N, 3, H, W) of exposures (N, K, 3, H, W); lightness is the mean's or given."""
    n, k = srgb.shape[:2]
    linear = srgb_to_linear(srgb)
    lab = linear_to_lab(linear.flatten(0, 1)).unflatten(0, (n, k))
    fused_l = lab[:, :, 0].mean(dim=1)
    if lightness is not None:
        fused_l = torch.full_like(fused_l, lightness)
    fused = fuse_chroma(lab[:, :, 1:], rule=rule, linear=linear, lightness=fused_l)
    return torch.cat((fused_l.unsqueeze(1), fused), dim=1)


def pixel(*exposures):
    """Exposures of one pixel, sRGB triples, as (1, K, 3, 1, 1)."""
    return torch.tensor(exposures, dtype=torch.float64).reshape(1, len(exposures), 3, 1, 1)


def hue_of(lab):
    return torch.atan2(lab[:, 2], lab[:, 1])


def chroma_of(lab):
    return torch.hypot(lab[:, 1], lab[:, 2])


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-9), (torch.float32, 2e-4)])
def test_equal_exposures_come_back(rule, dtype, tolerance):
    srgb = random_stack(dtype, shape=(2, 1, 3, 40, 50))
    corners = [[r, g, b] for r in (0, 1) for g in (0, 1) for b in (0, 1)]
    srgb[0, 0, :, 0, :8] = torch.tensor(corners, dtype=dtype).T
    fused = fuse(srgb.expand(2, 3, 3, 40, 50), rule=rule)
    assert fused.dtype == dtype
    torch.testing.assert_close(fused, srgb_to_lab(srgb[:, 0]), rtol=0, atol=tolerance)


@pytest.mark.parametrize("rule", RULES)
def test_neutral_stays_neutral_to_the_bit(rule):
    linear = random_stack(torch.float32, shape=(1, 3, 3, 2, 2))
    fused = fuse_chroma(
        torch.zeros(1, 3, 2, 2, 2), rule=rule, linear=linear, lightness=100 * linear[:, 0, 0]
    )
    assert torch.equal(fused, torch.zeros(1, 2, 2, 2))


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("levels", [(0, 0), (1, 1), (0, 1), (0.02, 0.98)])
def test_grey_exposures_give_grey(rule, levels):
    fused = fuse(pixel(*([level] * 3 for level in levels)), rule=rule)
    assert chroma_of(fused).max() < 1e-2
    assert torch.isfinite(fused).all()


@pytest.mark.parametrize("rule", RULES)
def test_the_order_of_the_exposures_does_not_matter(rule):
    srgb = random_stack()
    torch.testing.assert_close(fuse(srgb, rule=rule), fuse(srgb.flip(1), rule=rule))


@pytest.mark.parametrize("rule", ["mean", "weighted"])
def test_the_old_rules_stay_between_the_exposures(rule):
    chroma = 100 * torch.randn(2, 3, 2, 8, 9, generator=torch.Generator().manual_seed(0)).double()
    linear = random_stack()
    fused = fuse_chroma(chroma, rule=rule, linear=linear, lightness=100 * linear[:, 0, 0])
    assert (fused >= chroma.amin(1) - 1e-9).all()
    assert (fused <= chroma.amax(1) + 1e-9).all()


def test_the_rules_differ_where_one_exposure_is_grey():
    chroma = torch.tensor([0.0, 30.0]).reshape(1, 2, 1, 1, 1).expand(1, 2, 2, 1, 1)
    planes = {"linear": torch.full((1, 2, 3, 1, 1), 0.3), "lightness": torch.full((1, 1, 1), 50.0)}
    fused = {rule: fuse_chroma(chroma, rule=rule, **planes)[0, 0].item() for rule in RULES}
    assert (fused["mean"], fused["weighted"]) == (15, 30)
    # neither is near an end of the range
    assert fused["unclipped"] == pytest.approx(15)


@pytest.mark.parametrize("burnt", [(1.0, 1.0, 1.0), (0.9, 0.97, 1.0)])
def test_a_sky_burnt_in_one_exposure_takes_the_colour_of_the_other(burnt):
    sky = srgb_to_lab(pixel(SKY)[:, 0])
    fused = fuse(pixel(SKY, burnt), rule="unclipped", lightness=60)
    assert chroma_of(fused).item() == pytest.approx(chroma_of(sky).item(), rel=0.07)
    assert hue_of(fused).item() == pytest.approx(hue_of(sky).item(), abs=0.01)
    pale = fuse(pixel(SKY, burnt), rule="mean", lightness=60)
    assert chroma_of(pale) < 0.7 * chroma_of(sky)


def test_the_hue_is_less_that_of_an_exposure_with_one_clipped_channel():
    """A red lamp whose red alone is clipped in the over exposure, which turns it yellow."""
    lamp, turned = (0.6, 0.15, 0.1), (1.0, 0.6, 0.3)
    true = hue_of(srgb_to_lab(pixel(lamp)[:, 0])).item()
    by_rule = {
        rule: abs(hue_of(fuse(pixel(lamp, turned), rule=rule, lightness=45)).item() - true)
        for rule in RULES
    }
    assert by_rule["unclipped"] < 0.8 * by_rule["mean"]
    assert by_rule["unclipped"] < 0.8 * by_rule["weighted"]


def test_one_clipped_channel_tells_more_than_black():
    """An orange balloon before the sun: beside it the under exposure is black."""
    balloon, black = (1.0, 0.65, 0.4), (0.02, 0.02, 0.024)
    fused = fuse(pixel(black, balloon), rule="unclipped", lightness=50)
    expected = srgb_to_lab(pixel(balloon)[:, 0])
    assert chroma_of(fused).item() > 0.7 * chroma_of(expected).item()
    assert hue_of(fused).item() == pytest.approx(hue_of(expected).item(), abs=0.05)


def test_what_is_nearly_black_has_nothing_to_say_of_colour():
    noise, wall = (0.012, 0.0, 0.0), (0.4, 0.42, 0.4)
    fused = fuse(pixel(noise, wall), rule="unclipped")
    expected = srgb_to_lab(pixel(wall)[:, 0])
    assert (fused[:, 1:] - expected[:, 1:]).abs().max() < 1


def test_a_colour_decides_beside_white_even_where_it_is_clipped_itself():
    red, white = (1.0, 0.0, 0.0), (1.0, 1.0, 1.0)
    fused = fuse(pixel(red, white), rule="unclipped", lightness=60)
    assert hue_of(fused).item() == pytest.approx(
        hue_of(srgb_to_lab(pixel(red)[:, 0])).item(), abs=0.01
    )
    assert chroma_of(fused) > chroma_of(fuse(pixel(red, white), rule="mean", lightness=60))


@pytest.mark.parametrize("lightness", [0.0, 1.0, 5.0, 30.0, 60.0, 90.0, 99.0, 100.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_nothing_leaves_the_gamut(lightness, dtype):
    corners = (random_stack(dtype, shape=(1, 1, 3, 60, 80)) > 0.5).to(dtype)
    ragged = torch.lerp(corners, random_stack(dtype, shape=(1, 1, 3, 60, 80), seed=1), 0.3)
    srgb = torch.cat((ragged, ragged.flip(3)), dim=1)
    fused = fuse(srgb, rule="unclipped", lightness=lightness)
    linear = lab_to_linear(*fused.unbind(1))
    # the curve between two bisections is not quite straight
    assert linear.min() >= -5 * GAMUT_TOLERANCE
    assert linear.max() <= 1 + 5 * GAMUT_TOLERANCE


def test_what_the_gamut_cannot_hold_keeps_its_hue_and_as_much_chroma_as_fits():
    angle = torch.linspace(0, 6.28, 63, dtype=torch.float64)
    chroma = torch.stack((100 * angle.cos(), 100 * angle.sin())).reshape(1, 1, 2, 1, 63)
    lightness = torch.full((1, 1, 63), 70, dtype=torch.float64)
    linear = torch.full((1, 1, 3, 1, 63), GREY, dtype=torch.float64)
    fused = fuse_chroma(chroma, rule="unclipped", linear=linear, lightness=lightness)
    share = torch.hypot(fused[:, 0], fused[:, 1]) / 100
    direction = fused / (100 * share.unsqueeze(1))
    torch.testing.assert_close(direction, chroma[:, 0] / 100)
    assert share.min() > 0.2
    for factor, fits in ((0.97, True), (1.03, False)):
        shown = lab_to_linear(lightness, factor * fused[:, 0], factor * fused[:, 1])
        is_inside = (shown.amin(1) >= 0) & (shown.amax(1) <= 1)
        assert (is_inside[share < 0.97] == fits).all()


def test_the_reduction_has_no_steps():
    """Along a smooth slope out of the gamut the picture is as smooth."""
    slope = torch.linspace(20, 120, 2001, dtype=torch.float64)
    chroma = torch.stack((0.2 * slope, -slope)).reshape(1, 1, 2, 1, -1)
    lightness = torch.full((1, 1, 2001), 75, dtype=torch.float64)
    linear = torch.full((1, 1, 3, 1, 2001), GREY, dtype=torch.float64)
    fused = fuse_chroma(chroma, rule="unclipped", linear=linear, lightness=lightness)
    srgb = lab_to_srgb(torch.cat((lightness.unsqueeze(1), fused), dim=1))
    assert (255 * srgb.clamp(0, 1)).diff(dim=-1).abs().max() < 0.5


@pytest.mark.parametrize("lightness", [-3.0, 103.0])
def test_a_lightness_outside_its_range_is_neutral(lightness):
    fused = fuse(random_stack(), rule="unclipped", lightness=lightness)
    assert (fused[:, 1:] == 0).all()


def test_planes_that_do_not_fit_are_refused():
    planes = {"linear": torch.zeros(1, 2, 3, 4, 4), "lightness": torch.zeros(1, 4, 4)}
    with pytest.raises(ValueError, match=r"\(N, K, 2, H, W\)"):
        fuse_chroma(torch.zeros(1, 2, 4, 4), rule="mean", **planes)
    with pytest.raises(ValueError, match=r"\(N, K, 2, H, W\)"):
        fuse_chroma(torch.zeros(1, 3, 2, 4, 4), rule="mean", **planes)
    with pytest.raises(ValueError, match="lightness"):
        fuse_chroma(
            torch.zeros(1, 2, 2, 4, 4),
            rule="unclipped",
            **(planes | {"lightness": torch.zeros(1, 4, 3)}),
        )
