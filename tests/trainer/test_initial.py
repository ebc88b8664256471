import pytest
import torch

from model.manifest import NetworkConfig
from model.network import FusionNetwork
from model.weights import golden_pair
from trainer.initial import start_as_average


@pytest.mark.parametrize("encoders", ["tied", "separate"])
@pytest.mark.parametrize("feature_fusion", ["sum", "mean"])
def test_the_start_is_nearer_to_the_mean_of_the_exposures_than_a_random_one(
    encoders, feature_fusion
):
    torch.manual_seed(3)
    config = NetworkConfig(encoders=encoders, feature_fusion=feature_fusion)
    network = FusionNetwork(config)
    under, over = golden_pair(seed=4, side_px=64)
    mean = (under + over) / 2
    with torch.no_grad():
        random = (network(under, over) - mean).abs().mean()
        start_as_average(network)
        started = (network(under, over) - mean).abs().mean()
    assert started < random / 4


def test_without_the_random_remainder_the_start_is_the_mean():
    network = FusionNetwork(NetworkConfig(final_activation="none"))
    start_as_average(network)
    last = network.decoder[-1].convolution
    with torch.no_grad():
        last.weight[0, 1:] = 0
        last.bias.zero_()
        under, over = golden_pair(seed=4, side_px=64)
        torch.testing.assert_close(network(under, over), (under + over) / 2)
