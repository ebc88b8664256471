import pytest
import torch

from model.blend.colour import LUMA
from model.blend.definition import FLOOR_SHARE
from model.blend.levels import plan_levels
from model.blend.torch_colour import to_luma
from model.blend.torch_network import BlendNetwork, bring_maps, frame_of
from model.manifest import PyramidBlendConfig

SIZES = [(1, 1), (1, 9), (2, 3), (7, 5), (16, 40), (40, 31), (65, 130)]


def make_exposures(count, height, width, *, dtype=torch.float32):
    generator = torch.Generator().manual_seed(height + width)
    scene = torch.rand(1, 3, height, width, generator=generator, dtype=dtype)
    gains = torch.linspace(0.4, 1.8, count, dtype=dtype)
    return [(gain * scene).clamp(0, 1) for gain in gains]


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_size_and_type_are_kept_at_every_size(make_blend, height, width):
    under, over = make_exposures(2, height, width, dtype=torch.float64)
    fused = make_blend(network_side_px=16).double()(under, over)
    assert fused.shape == under.shape
    assert fused.dtype == torch.float64
    assert fused.isfinite().all()


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_equal_exposures_come_back_whatever_the_weights(make_blend, height, width):
    (picture,) = make_exposures(1, height, width, dtype=torch.float64)
    network = make_blend().double()
    network.band_gain.fill_(0.5)
    for count in (2, 3, 9):
        assert (network.fuse([picture] * count) - picture).abs().max() < 1e-12


def test_the_luma_stays_within_the_span_of_the_exposures(make_blend):
    network = make_blend().double()
    network.band_gain.fill_(3.0)
    exposures = make_exposures(3, 65, 130, dtype=torch.float64)
    lumas = torch.stack([to_luma(one) for one in exposures])
    fused, darkest = to_luma(network.fuse(exposures)), lumas.amin(0)
    floor = darkest + FLOOR_SHARE * (lumas.mean(0) - darkest)
    assert (fused >= floor - 1e-12).all()
    assert (fused <= lumas.amax(0) + 1e-12).all()
    assert ((fused - floor).abs() < 1e-12).double().mean() > 0.01


@pytest.mark.parametrize("levels", [(0.1, 0.9), (0.0, 0.0), (1.0, 1.0), (0.0, 1.0)])
def test_a_constant_pair_gives_a_constant_picture_between_the_two(blend_network, levels):
    under, over = (torch.full((1, 3, 50, 70), level) for level in levels)
    fused = blend_network(under, over)
    assert fused.max() - fused.min() < 1e-5
    assert levels[0] - 1e-5 <= fused.min() <= fused.max() <= levels[1] + 1e-5


@pytest.mark.parametrize("count", [2, 3, 9])
def test_exposures_may_come_in_any_order(blend_network, count):
    exposures = make_exposures(count, 40, 70)
    fused = blend_network.fuse(exposures)
    turned = blend_network.fuse(exposures[1:] + exposures[:1])
    assert (fused - turned).abs().max() < 1e-5
    assert fused.std() > 0.05
    if count == 2:
        assert torch.equal(fused, turned)


def test_an_exposure_given_twice_counts_twice():
    dark, bright = make_exposures(2, 40, 70)
    network = BlendNetwork(PyramidBlendConfig())
    once, twice = network.fuse([dark, bright]), network.fuse([dark, dark, bright])
    assert (twice - dark).abs().mean() < (once - dark).abs().mean()


def test_pictures_of_a_batch_do_not_see_each_other(make_blend):
    network = make_blend().double()
    first, second = (make_exposures(2, 33, width, dtype=torch.float64) for width in (47, 47))
    second = [1 - exposure for exposure in second]
    both = network(*(torch.cat(pair) for pair in zip(first, second, strict=True)))
    alone = [network(*first), network(*second)]
    assert (both - torch.cat(alone)).abs().max() < 1e-12


def test_initial_weights_are_well_exposedness():
    # exp(-(Y - 0.5)^2 / (2 0.2^2)) of 0.1 and of 0.6, normalised.
    under, over = torch.full((1, 3, 1, 1), 0.1), torch.full((1, 3, 1, 1), 0.6)
    fused = BlendNetwork(PyramidBlendConfig())(under, over)
    weights = torch.exp(-torch.tensor([-0.4, 0.1]).square() / 0.08)
    expected = (weights[0] * 0.1 + weights[1] * 0.6) / weights.sum()
    assert fused.mean().item() == pytest.approx(expected.item(), abs=1e-6)


@pytest.mark.parametrize("saliency", [False, True])
def test_gradients_reach_every_parameter(make_blend, saliency):
    network = make_blend(network_side_px=32, saliency=saliency).requires_grad_(True)
    under, over = make_exposures(2, 70, 90)
    network(under, over).square().mean().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 0, name


def test_the_gradient_is_the_slope_of_the_result():
    network = BlendNetwork(PyramidBlendConfig(width=2, dilations=(1, 2))).double()
    torch.manual_seed(0)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, 0, 0.2)
    exposures = make_exposures(2, 4, 5, dtype=torch.float64)
    # Where a level is held within its exposures, the slope in training is not that of the result.
    inputs = [
        (low + 0.2 * one).requires_grad_() for low, one in zip((0.1, 0.6), exposures, strict=True)
    ]
    assert torch.autograd.gradcheck(network, inputs, eps=1e-7, atol=1e-5)


def test_what_is_held_within_the_exposures_keeps_a_slope(make_blend):
    network = make_blend(network_side_px=32).requires_grad_(True)
    with torch.no_grad():
        network.band_gain.fill_(5.0)
    exposures = make_exposures(2, 40, 50)
    network(*exposures).sum().backward()
    assert network.band_gain.grad.abs().min() > 0


def test_without_saliency_there_is_no_parameter_of_it(make_blend):
    with_it, without = make_blend(), make_blend(saliency=False)
    assert set(with_it.state_dict()) - set(without.state_dict()) == {"saliency"}
    under, over = make_exposures(2, 33, 47)
    assert (with_it(under, over) - without(under, over)).abs().max() > 1e-3


@pytest.mark.parametrize("side_px", [8, 16, 64])
def test_maps_of_a_place_are_those_of_the_whole(make_blend, side_px):
    network = make_blend(network_side_px=side_px)
    levels = plan_levels(61, 93, network_side_px=side_px)
    maps = network.predict(torch.rand(1, 2, 3, *(-(-side >> levels.network) for side in (61, 93))))
    for level in range(levels.base + 1):
        size = [-(-side >> level) for side in (61, 93)]
        whole = bring_maps(maps, levels, level, frame_of(torch.empty(*size)))
        assert whole.coefficients.shape == (1, 2, 4, *size)
        assert whole.gains.shape == (1, 1, *size)


def test_luma_is_the_grey_of_the_metrics():
    assert sum(LUMA) == pytest.approx(1.0)
    planes = torch.rand(2, 3, 4, 5)
    assert to_luma(planes).shape == (2, 4, 5)
    assert to_luma(torch.eye(3).reshape(3, 3, 1)).flatten().tolist() == pytest.approx(LUMA)


@pytest.mark.parametrize("count", [1, 10])
def test_too_few_and_too_many_exposures_are_refused(blend_network, count):
    with pytest.raises(ValueError, match=f"expected 2 to 9 exposures, got {count}"):
        blend_network.fuse([torch.zeros(1, 3, 8, 8)] * count)


@pytest.mark.parametrize("shape", [(1, 3, 8, 9), (1, 1, 8, 8), (3, 8, 8)])
def test_unequal_exposures_and_other_shapes_are_refused(blend_network, shape):
    other = (1, 3, 8, 8) if shape == (1, 3, 8, 9) else shape
    with pytest.raises(ValueError, match="expected equal"):
        blend_network(torch.zeros(other), torch.zeros(shape))
