import pytest
import torch

from model.lightness.torch_network import FusionNetwork
from model.manifest import NetworkConfig


def make_network(**options) -> FusionNetwork:
    torch.manual_seed(0)
    return FusionNetwork(NetworkConfig(**options)).double().eval().requires_grad_(False)


def planes(height: int = 40, width: int = 51, batch: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    shape = (2, batch, 1, height, width)
    under, over = torch.rand(shape, generator=generator, dtype=torch.float64) * 100
    return under, over


@pytest.mark.parametrize(("encoders", "count"), [("tied", 74_193), ("separate", 88_225)])
def test_parameter_count_is_the_papers(encoders, count):
    network = FusionNetwork(NetworkConfig(encoders=encoders))
    assert sum(parameter.numel() for parameter in network.parameters()) == count


def test_receptive_field_is_computed_from_eight_layers():
    network = make_network()
    assert network.receptive_field == 17
    assert network.halo == 8


def test_one_pixel_changes_the_result_within_the_halo_and_nowhere_else():
    network = make_network()
    under, over = planes()
    before = network(under, over)
    under[0, 0, 20, 25] += 40
    changed = (network(under, over) - before).abs()[0, 0] > 0
    rows, columns = torch.nonzero(changed, as_tuple=True)
    assert (rows.min(), rows.max()) == (12, 28)
    assert (columns.min(), columns.max()) == (17, 33)


@pytest.mark.parametrize("encoders", ["tied", "separate"])
@pytest.mark.parametrize("feature_fusion", ["sum", "mean"])
@pytest.mark.parametrize("final_activation", ["relu", "none"])
def test_valid_result_is_the_interior_of_the_padded_one(encoders, feature_fusion, final_activation):
    network = make_network(
        encoders=encoders, feature_fusion=feature_fusion, final_activation=final_activation
    )
    under, over = planes(batch=2)
    whole, interior = network(under, over), network(under, over, padding="valid")
    assert whole.shape == under.shape
    assert interior.shape == (2, 1, 40 - 16, 51 - 16)
    torch.testing.assert_close(interior, whole[..., 8:-8, 8:-8], rtol=1e-12, atol=1e-12)


def test_tied_encoders_do_not_care_for_the_order_of_the_exposures_and_separate_ones_do():
    under, over = planes()
    tied, separate = make_network(encoders="tied"), make_network(encoders="separate")
    torch.testing.assert_close(tied(under, over), tied(over, under))
    assert not torch.allclose(separate(under, over), separate(over, under))


def test_flipping_the_exposures_flips_a_network_of_flipped_kernels():
    network, mirrored = make_network(), make_network()
    for layer in mirrored.modules():
        if isinstance(layer, torch.nn.Conv2d):
            layer.weight.copy_(layer.weight.flip(-1))
    under, over = planes()
    torch.testing.assert_close(
        mirrored(under.flip(-1), over.flip(-1)).flip(-1), network(under, over)
    )


def test_relu_keeps_the_result_from_going_below_black():
    network = make_network(final_activation="relu")
    network.decoder[-1].convolution.bias.fill_(-1e6)
    assert network(*planes()).max() == 0


def test_lightness_scale_is_undone_at_the_end():
    # Without biases every layer is homogeneous, so the scale inside must cancel.
    results = []
    for scale in (255.0, 1.0):
        network = make_network(lightness_scale=scale)
        for layer in network.modules():
            if isinstance(layer, torch.nn.Conv2d):
                layer.bias.zero_()
        results.append(network(*planes()))
    torch.testing.assert_close(*results)


def test_gradient_reaches_every_parameter():
    network = make_network(width=2, final_activation="none").requires_grad_()
    network(*planes()).square().mean().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize("shapes", [((1, 1, 20, 20), (1, 1, 20, 21)), ((20, 20), (20, 20))])
def test_planes_of_another_shape_are_refused(shapes):
    with pytest.raises(ValueError, match=r"two equal \(N, 1, H, W\)"):
        make_network()(*(torch.zeros(shape, dtype=torch.float64) for shape in shapes))
