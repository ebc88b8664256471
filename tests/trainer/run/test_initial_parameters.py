import shutil

import pytest
import torch
from safetensors.torch import load_file

from model.blend.torch_network import BlendNetwork
from model.errors import WeightsError
from model.lightness.torch_network import FusionNetwork
from model.manifest import PARAMETERS_NAME, NetworkConfig, PyramidBlendConfig
from model.release.weights import golden_pair
from tests.paths import ROOT
from trainer.config import load_config
from trainer.errors import ConfigError
from trainer.run.initial_parameters import start_as_average, start_as_luma_of
from trainer.run.train import start_network, train


@pytest.mark.parametrize("encoders", ["tied", "separate"])
@pytest.mark.parametrize("feature_fusion", ["sum", "mean"])
def test_the_start_is_nearer_to_the_mean_of_the_exposures_than_a_random_one(
    encoders, feature_fusion
):
    torch.manual_seed(3)
    config = NetworkConfig(encoders=encoders, feature_fusion=feature_fusion)
    network = FusionNetwork(config)
    under, over = (torch.from_numpy(one)[None, None] for one in golden_pair(seed=4, side_px=64))
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
        under, over = (torch.from_numpy(one)[None, None] for one in golden_pair(seed=4, side_px=64))
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


FIRST = ROOT / "docs" / "runs" / "pyramid-blend-1.1.0"
BLEND_2 = ROOT / "trainer" / "configs" / "pyramid-blend-2.1.0.toml"


def test_version_2_begins_with_what_version_1_knew_of_luma():
    parameters = load_file(FIRST / PARAMETERS_NAME)
    config = load_config(BLEND_2, [f"optim.start_weights={FIRST}"])
    network = start_network(config)
    state = network.state_dict()
    assert torch.equal(state["context.weight"], parameters["context.weight"])
    assert torch.equal(state["encoder.first.weight"][:, :2], parameters["encoder.first.weight"])
    # what version 1 was not told does not count yet: a clipped channel of the same luma
    grey = torch.full((1, 2, 3, 16, 16), 0.6)
    tinted = grey.clone()
    tinted[:, 1, 0], tinted[:, 1, 1] = 0.6 + 0.39, 0.6 - 0.39 * 0.298936 / 0.587043
    with torch.no_grad():
        first, second = network.predict(grey), network.predict(tinted)
    assert (first.coefficients - second.coefficients).abs().max() < 1e-4
    assert first.coefficients.abs().max() > 1


def test_only_a_version_1_of_the_same_width_is_begun_with():
    parameters = load_file(FIRST / PARAMETERS_NAME)
    with pytest.raises(ConfigError, match=r"pyramid-blend of the same width"):
        start_as_luma_of(BlendNetwork(PyramidBlendConfig(width=8)), parameters)
    parameters.pop("band_gain")
    with pytest.raises(ConfigError, match=r"pyramid-blend of the same width"):
        start_as_luma_of(BlendNetwork(PyramidBlendConfig(width=24)), parameters)


def test_a_changed_file_is_not_begun_with(tmp_path):
    folder = tmp_path / "pyramid-blend-1.1.0"
    shutil.copytree(FIRST, folder)
    data = bytearray((folder / PARAMETERS_NAME).read_bytes())
    data[-1] ^= 1
    (folder / PARAMETERS_NAME).write_bytes(data)
    with pytest.raises(WeightsError, match="has SHA-256"):
        start_network(load_config(BLEND_2, [f"optim.start_weights={folder}"]))
