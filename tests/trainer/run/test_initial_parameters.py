import pytest
import torch
from safetensors.torch import load_file

from model.lightness.network import FusionNetwork
from model.manifest import PARAMETERS_NAME, NetworkConfig
from model.release.weights import golden_pair
from trainer.config import load_config
from trainer.errors import ConfigError
from trainer.run.initial_parameters import start_as_average
from trainer.run.train import start_network, train


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


def test_zeroed_parameters_are_zero_and_stay_so(config_file, data_root, tmp_path):
    config = load_config(config_file, ["optim.zeroed=['decoder.0.', 'decoder.3.convolution.bias']"])
    train(config, data_root, tmp_path / "run", stop_after=2)
    trained = load_file(tmp_path / "run" / PARAMETERS_NAME)
    for name, tensor in trained.items():
        is_zeroed = name.startswith(("decoder.0.", "decoder.3.convolution.bias"))
        assert (tensor.abs().max() == 0) == is_zeroed, name


def test_a_zeroed_name_that_no_parameter_has_is_refused(config_file):
    with pytest.raises(ConfigError, match=r"begin with 'encoder\.' \(optim\.zeroed\), found enc"):
        start_network(load_config(config_file, ["optim.zeroed=['encoder.']"]))
