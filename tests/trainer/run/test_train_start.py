import json
import shutil

import pytest
import torch

from model.errors import WeightsError
from model.manifest import MANIFEST_NAME, PARAMETERS_NAME
from model.release.torch_networks import build_loaded, load_network
from model.release.weights import load_weights
from tests.paths import ROOT
from trainer.config import load_config
from trainer.errors import ConfigError, DataError
from trainer.run.train import start_network, train
from trainer.run_files import RECORD_NAME

RELEASED = ROOT / "weights" / "hyperp-mb-1.1.0"
RELEASED_NETWORK = [
    "network.width=16",
    "network.encoders=separate",
    "network.final_activation=none",
]
FROM_RELEASED = ["optim.start=weights", f"optim.start_weights='{RELEASED}'"]


def test_fine_tuning_begins_with_the_released_parameters(config_file):
    network = start_network(load_config(config_file, [*RELEASED_NETWORK, *FROM_RELEASED]))
    for name, tensor in build_loaded(load_weights(RELEASED)).state_dict().items():
        assert torch.equal(tensor, network.state_dict()[name]), name
    assert all(parameter.requires_grad for parameter in network.parameters())


def test_fine_tuning_moves_the_released_parameters_a_little(data_root, config_file, tmp_path):
    config = load_config(
        config_file,
        [*RELEASED_NETWORK, *FROM_RELEASED, "optim.steps=1", "optim.learning_rate=1e-5"],
    )
    train(config, data_root, tmp_path / "run")
    path = tmp_path / "run" / PARAMETERS_NAME
    tuned = load_network(config.network, path, label="run").state_dict()
    released = build_loaded(load_weights(RELEASED)).state_dict()
    record = json.loads((tmp_path / "run" / RECORD_NAME).read_text())
    names = [source["name"] for source in record["data"]]
    before = [source.name for source in load_weights(RELEASED).manifest.training.data]
    assert names == [*before, "hdri/room.hdr", "stacks/desk"]
    moved = max((tuned[name] - released[name]).abs().max().item() for name in released)
    assert 0 < moved <= 1.01e-5  # Adam's first step is the learning rate at most


def test_the_licences_of_what_the_weights_saw_before_must_be_accepted_too(
    data_root, config_file, tmp_path
):
    weights = tmp_path / RELEASED.name
    shutil.copytree(RELEASED, weights)
    manifest = json.loads((weights / MANIFEST_NAME).read_text())
    manifest["training"]["data"][3]["licence"] = "own photographs"
    (weights / MANIFEST_NAME).write_text(json.dumps(manifest))
    overrides = [*RELEASED_NETWORK, "optim.start=weights", f"optim.start_weights='{weights}'"]
    config = load_config(config_file, overrides)
    with pytest.raises(DataError, match="has 'own photographs'"):
        train(config, data_root, tmp_path / "run")
    assert not (tmp_path / "run").exists()
    accepted = [*config.data.licences, "own photographs"]
    config = load_config(config_file, [*overrides, f"data.licences={json.dumps(accepted)}"])
    assert train(config, data_root, tmp_path / "run", stop_after=1) == 1


def test_fine_tuning_with_another_network_config_is_refused(config_file):
    config = load_config(config_file, [*RELEASED_NETWORK, *FROM_RELEASED, "network.width=2"])
    with pytest.raises(ConfigError, match=r"hyperp-mb-1\.1\.0"):
        start_network(config)


def test_weights_to_start_from_must_exist(config_file):
    config = load_config(config_file, ["optim.start=weights", "optim.start_weights=weights/no"])
    with pytest.raises(WeightsError, match="found none"):
        start_network(config)


@pytest.mark.parametrize(
    "overrides",
    [
        ["optim.start=weights"],
        ["optim.start=random", "optim.start_weights=weights/hyperp-mb-1.1.0"],
    ],
)
def test_start_weights_and_the_start_from_weights_need_each_other(config_file, overrides):
    with pytest.raises(ConfigError, match="start_weights"):
        load_config(config_file, overrides)
