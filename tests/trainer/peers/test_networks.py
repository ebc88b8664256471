"""The networks of other publications have the shapes that these give."""

import pytest
import torch
from torch import nn

from trainer.config import load_config
from trainer.errors import ConfigError
from trainer.peers.definition import TransMefConfig, U2FusionConfig
from trainer.peers.networks import build_peer, build_trained
from trainer.peers.peer import count_parameters
from trainer.peers.transmef import Transformer, TransMefNetwork
from trainer.peers.u2fusion import U2FusionNetwork

SMALL = [
    U2FusionConfig(width=3),
    TransMefConfig(width=2, depth=1, token_width=16, heads=2, head_width=4, hidden_width=8),
]


def test_u2fusion_has_the_size_that_its_publication_gives():
    """The publication's comparison of costs: 0.659 million parameters."""
    network = U2FusionNetwork(U2FusionConfig())
    assert count_parameters(network) == 659_217
    assert len([one for one in network.modules() if isinstance(one, nn.Conv2d)]) == 10
    assert network.receptive_field == 21


def test_transmef_is_made_of_the_parts_that_its_publication_names():
    network = TransMefNetwork(TransMefConfig())
    layers = [one for one in network.modules() if isinstance(one, nn.Conv2d)]
    assert [(one.in_channels, one.out_channels) for one in layers] == [
        (1, 16), (16, 16), (17, 32), (32, 32), (32, 48), (48, 48),
        (48, 32), (32, 32), (32, 16), (16, 16), (16, 1),
    ]  # fmt: skip
    convolutions = sum(count_parameters(layer) for layer in layers)
    # An attention of 16 heads of 64, two layers of 1,024, two norms, in each of twelve blocks.
    block = 256 * 3 * 1024 + 1024 * 256 + 256 + 256 * 1024 + 1024 + 1024 * 256 + 256 + 4 * 256
    assert count_parameters(network.transformer) == 12 * block + 256 * 256 + 256
    assert count_parameters(network) == convolutions + 12 * block + 256 * 256 + 256


def test_a_pixel_depends_on_the_receptive_field_and_on_nothing_else():
    torch.manual_seed(0)
    network = U2FusionNetwork(U2FusionConfig(width=3)).double()
    under = torch.rand(1, 1, 41, 41, dtype=torch.float64, requires_grad=True)
    network(under, torch.rand_like(under))[0, 0, 20, 20].backward()
    assert under.grad is not None
    rows = under.grad[0, 0].abs().sum(1).nonzero()
    assert (rows.min().item(), rows.max().item()) == (10, 30)


def test_every_pixel_of_transmef_depends_on_every_patch():
    torch.manual_seed(0)
    network = TransMefNetwork(TransMefConfig(depth=1)).double()
    under = torch.rand(1, 1, 48, 48, dtype=torch.float64, requires_grad=True)
    network(under, torch.rand_like(under))[0, 0, :16, :16].sum().backward()
    assert under.grad is not None
    patches = nn.functional.max_pool2d(under.grad.abs(), 16)
    assert (patches > 0).all()


def test_transmef_is_symmetric_in_its_exposures():
    torch.manual_seed(0)
    network = build_peer(SMALL[1])
    under, over = torch.rand(2, 1, 1, 32, 32) * 100
    torch.testing.assert_close(network(under, over), network(over, under))


def test_patches_go_to_tokens_and_back_to_their_places():
    transformer = Transformer(TransMefConfig(depth=1))
    with torch.no_grad():
        transformer.embedded.weight.copy_(torch.eye(256))
        transformer.embedded.bias.zero_()
    transformer.blocks = nn.Sequential()
    plane = torch.rand(2, 1, 48, 32)
    torch.testing.assert_close(transformer(plane), plane)


@pytest.mark.parametrize("config", SMALL, ids=lambda one: one.architecture)
@pytest.mark.parametrize("size", [(32, 32), (37, 50)])
def test_lightness_comes_back_at_its_size(config, size):
    torch.manual_seed(0)
    planes = torch.rand(2, 3, 1, *size) * 100
    assert build_peer(config)(*planes).shape == (3, 1, *size)


@pytest.mark.parametrize("config", SMALL, ids=lambda one: one.architecture)
def test_in_reduced_precision_only_the_features_are_coarse(config):
    torch.manual_seed(0)
    network, planes = build_peer(config), torch.rand(2, 1, 1, 32, 32) * 100
    exact = network(*planes)
    with torch.autocast("cpu", torch.bfloat16):
        fused = network(*planes)
    assert fused.dtype == torch.float32
    assert 0 < (fused - exact).abs().max() < 0.05 * exact.abs().max()
    coarse = fused.bfloat16().float()
    assert not torch.equal(fused, coarse)


def test_one_key_of_the_config_chooses_the_network(config_file):
    assert isinstance(
        build_trained(
            load_config(config_file, ["network={architecture='u2fusion', width=2}"]).network
        ),
        U2FusionNetwork,
    )


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("optim.start=average", "optim.start"),
        ("network.depth=3", "network"),
    ],
)
def test_what_does_not_go_with_a_network_is_refused(config_file, override, said):
    with pytest.raises(ConfigError, match=said):
        load_config(config_file, ["network={architecture='u2fusion'}", override])
