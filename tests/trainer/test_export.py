import json
from pathlib import Path

import numpy as np
import pytest
import torch

from model.manifest import GRAPH_NAME, VALID_GRAPH_NAME, NetworkConfig
from model.network import FusionNetwork
from model.weights import load_weights
from trainer.__main__ import main
from trainer.config import load_config
from trainer.errors import RunError
from trainer.export import GRAPHS, PARITY_TOLERANCE, check_parity, export, export_graph
from trainer.train import train

BUNDLED = Path(__file__).parents[2] / "weights" / "hyperp-mb-1.0.0"


@pytest.fixture(scope="module")
def exported(data_root, tmp_path_factory):
    folder = tmp_path_factory.mktemp("export")
    config = folder / "tiny-net.toml"
    config.write_text(
        'name = "tiny-net"\n[network]\nwidth = 2\n[data]\nside_px = 176\nworkers = 0\n'
    )
    run = folder / "run"
    train(load_config(config, ["optim.steps=2"]), data_root, run)
    export(run, folder / "tiny-net-1.2.3")
    return run, folder / "tiny-net-1.2.3"


def test_an_exported_run_loads_and_names_its_provenance(exported):
    run, target = exported
    weights = load_weights(target)
    manifest = weights.manifest
    assert manifest.label == "tiny-net-1.2.3"
    assert manifest.training.steps == 2
    assert manifest.training.config == (run / "config.toml").read_text()
    assert {source.licence for source in manifest.training.data} == {"CC0"}
    trained = torch.load(run / "checkpoint.pt", weights_only=True)["network"]
    for name, tensor in weights.network.state_dict().items():
        assert torch.equal(tensor, trained[name])


def test_both_graphs_equal_the_network(exported):
    weights = load_weights(exported[1])
    for name, padding in ((GRAPH_NAME, "reflect"), (VALID_GRAPH_NAME, "valid")):
        assert check_parity(weights.network, exported[1] / name, padding) <= PARITY_TOLERANCE


@pytest.mark.parametrize(("name", "padding"), GRAPHS)
def test_the_bundled_graphs_equal_the_bundled_network(name, padding):
    weights = load_weights(BUNDLED)
    assert check_parity(weights.network, BUNDLED / name, padding) <= PARITY_TOLERANCE


def test_parity_fails_for_a_graph_of_other_parameters(exported, tmp_path):
    torch.manual_seed(5)
    other = FusionNetwork(NetworkConfig(width=2)).eval()
    export_graph(other, tmp_path / "other.onnx", "reflect")
    with pytest.raises(RunError, match="differs"):
        check_parity(load_weights(exported[1]).network, tmp_path / "other.onnx", "reflect")


def test_the_manifest_holds_no_path_and_no_unknown_number(exported):
    text = (exported[1] / "manifest.json").read_text()
    assert str(exported[1].parent) not in text
    assert "NaN" not in text
    assert np.isfinite(json.loads(text)["golden"]["mean"])


def test_a_released_version_is_never_overwritten(exported, capsys):
    run, target = exported
    assert main(["export", str(run), str(target)]) == 2
    assert "never change" in capsys.readouterr().err


def test_the_target_must_carry_the_runs_name_and_a_version(exported, tmp_path):
    for name in ("other-1.0.0", "tiny-net-1", "tiny-net"):
        with pytest.raises(RunError, match="expected the target folder"):
            export(exported[0], tmp_path / name)


def test_an_unfinished_run_is_refused(data_root, config_file, tmp_path):
    train(load_config(config_file), data_root, tmp_path / "run", stop_after=1)
    with pytest.raises(RunError, match="complete run of 8 steps"):
        export(tmp_path / "run", tmp_path / "tiny-net-1.0.0")
