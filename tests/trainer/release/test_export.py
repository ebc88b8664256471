import json
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from model.manifest import (
    GRAPH_NAME,
    PARAMETERS_NAME,
    VALID_GRAPH_NAME,
    DataSource,
    count_parameters,
    read_manifest,
    write_manifest,
)
from model.release.torch_networks import build_loaded
from model.release.weights import load_weights
from tests.paths import ROOT
from trainer.__main__ import main
from trainer.config import load_config
from trainer.errors import RunError
from trainer.release.export import GRAPHS, PARITY_TOLERANCE, check_parity, export
from trainer.release.model_card import CARD_NAME, render_card
from trainer.run.train import train
from trainer.run_files import BEST_NAME

BUNDLED = ROOT / "weights" / "hyperp-mb-1.1.0"


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
    for name, tensor in build_loaded(weights).state_dict().items():
        assert torch.equal(tensor, trained[name])


def test_both_graphs_equal_the_network(exported):
    weights = load_weights(exported[1])
    for name, padding in ((GRAPH_NAME, "reflect"), (VALID_GRAPH_NAME, "valid")):
        assert check_parity(build_loaded(weights), exported[1] / name, padding) <= PARITY_TOLERANCE


@pytest.mark.parametrize(("name", "padding"), GRAPHS)
def test_the_bundled_graphs_equal_the_bundled_network(name, padding):
    weights = load_weights(BUNDLED)
    assert check_parity(build_loaded(weights), BUNDLED / name, padding) <= PARITY_TOLERANCE


def test_parity_fails_for_a_graph_of_other_parameters(exported, tiny_graphs):
    with pytest.raises(RunError, match="differs"):
        check_parity(build_loaded(load_weights(exported[1])), tiny_graphs["reflect"], "reflect")


def test_the_manifest_holds_no_path_and_no_unknown_number(exported):
    text = (exported[1] / "manifest.json").read_text()
    assert str(exported[1].parent) not in text
    assert "NaN" not in text
    golden = json.loads(text)["golden"]
    assert np.isfinite(golden["mean"])
    assert len(golden["picture"]) == 3 * len(golden["samples"])


def test_a_released_version_is_never_overwritten(exported, capsys):
    run, target = exported
    assert main(["export", str(run), str(target)]) == 2
    assert "never change" in capsys.readouterr().err


def test_the_target_must_carry_the_runs_name_and_a_version(exported, tmp_path):
    for name in ("other-1.0.0", "tiny-net-1", "tiny-net"):
        with pytest.raises(RunError, match="expected the target folder"):
            export(exported[0], tmp_path / name)


@pytest.fixture(scope="module")
def stopped_run(held_out_root, tmp_path_factory):
    """A run that its own validation ended: the last step is worse than the best one."""
    folder = tmp_path_factory.mktemp("stopped")
    config = folder / "tiny-net.toml"
    config.write_text(
        'name = "tiny-net"\n[network]\nwidth = 2\n[data]\nside_px = 176\nworkers = 0\n'
        "[optim]\nstart = 'average'\nlearning_rate = 1.0\nsteps = 40\n"
        "[validation]\nevery = 2\npairs = 2\nmax_side_px = 128\npatience = 1\n"
    )
    train(load_config(config), held_out_root, folder / "run")
    return folder / "run"


def assert_same(first, second):
    assert first.keys() == second.keys()
    assert all(torch.equal(tensor, second[name]) for name, tensor in first.items())


@pytest.mark.usefixtures("ready_graphs")
def test_a_run_that_stopped_early_gives_the_parameters_that_validated_best(stopped_run, tmp_path):
    record = json.loads((stopped_run / "record.json").read_text())
    assert record["best_step"] < record["steps"] < 40
    stale = tmp_path / ".tiny-net-1.0.0.partial"  # of an export that was killed
    stale.mkdir()
    (stale / "network.onnx").write_text("half a graph")
    manifest = export(stopped_run, tmp_path / "tiny-net-1.0.0")
    assert [path.name for path in tmp_path.iterdir()] == ["tiny-net-1.0.0"]
    assert load_weights(tmp_path / "tiny-net-1.0.0").manifest == manifest
    assert manifest.training.checkpoint == "best"
    assert manifest.training.exported_step == record["best_step"]
    assert manifest.training.steps == record["steps"]
    exported = load_file(tmp_path / "tiny-net-1.0.0" / PARAMETERS_NAME)
    assert_same(exported, load_file(stopped_run / BEST_NAME))
    card = (tmp_path / "tiny-net-1.0.0" / CARD_NAME).read_text()
    assert f"the state after step {record['best_step']}, which did best" in card


@pytest.mark.usefixtures("ready_graphs")
def test_the_last_parameters_are_exported_where_they_are_asked_for(stopped_run, tmp_path):
    about = tmp_path / "about.toml"
    about.write_text('limits = ["Spoilt."]\n')
    target = tmp_path / "tiny-net-1.0.0"
    command = ["export", str(stopped_run), str(target), "--checkpoint", "last"]
    assert main([*command, "--about", str(about)]) == 0
    manifest = load_weights(target).manifest
    assert manifest.training.checkpoint == "last"
    assert manifest.training.exported_step == manifest.training.steps
    assert manifest.limits == ("Spoilt.",)
    exported = load_file(target / PARAMETERS_NAME)
    assert_same(exported, load_file(stopped_run / PARAMETERS_NAME))
    best = load_file(stopped_run / BEST_NAME)
    assert not all(torch.equal(tensor, best[name]) for name, tensor in exported.items())


def test_a_run_without_validation_has_no_best_and_gives_its_last(exported, tmp_path):
    manifest = read_manifest(exported[1])
    assert (manifest.training.checkpoint, manifest.training.exported_step) == ("last", 2)
    with pytest.raises(RunError, match="has no best"):
        export(exported[0], tmp_path / "tiny-net-2.0.0", checkpoint="best")
    assert not (tmp_path / "tiny-net-2.0.0").exists()


def test_an_export_that_fails_leaves_nothing_that_looks_like_a_version(
    exported, tiny_graphs, tmp_path, monkeypatch
):
    def export_another(network, path, padding):
        shutil.copy(tiny_graphs[padding], path)

    target = tmp_path / "tiny-net-1.0.0"
    monkeypatch.setattr("trainer.release.export.export_graph", export_another)
    with pytest.raises(RunError, match="differs from the network"):
        export(exported[0], target)
    assert not target.exists()


def test_the_export_writes_the_card(exported):
    manifest = read_manifest(exported[1])
    expected = render_card(manifest, parameters=count_parameters(manifest, exported[1]))
    assert (exported[1] / CARD_NAME).read_text() == expected


@pytest.mark.usefixtures("ready_graphs")
def test_a_fine_tuned_version_names_where_it_began_and_all_data_of_both(
    exported, data_root, tmp_path
):
    earlier = shutil.copytree(exported[1], tmp_path / exported[1].name)
    manifest = read_manifest(earlier)
    other = DataSource(name="hdri/other.hdr", kind="hdri", licence="MIT", source="elsewhere")
    training = manifest.training.model_copy(update={"data": (*manifest.training.data, other)})
    write_manifest(manifest.model_copy(update={"training": training}), earlier)
    config = tmp_path / "tiny-net.toml"
    config.write_text(
        'name = "tiny-net"\n[network]\nwidth = 2\n[data]\nside_px = 176\nworkers = 0\n'
        f"[optim]\nstart = 'weights'\nstart_weights = '{earlier}'\nsteps = 1\n"
    )
    train(load_config(config), data_root, tmp_path / "run")
    tuned = export(tmp_path / "run", tmp_path / "tiny-net-1.3.0").training
    assert tuned.started_from == "tiny-net-1.2.3"
    assert set(tuned.data) == set(training.data)
    assert len(tuned.data) == len(training.data)


@pytest.mark.usefixtures("ready_graphs")
def test_the_commits_of_all_sessions_are_named(stopped_run, tmp_path):
    run = shutil.copytree(stopped_run, tmp_path / "run")
    record = json.loads((run / "record.json").read_text())
    (session,) = record["sessions"]
    record["sessions"] = [session | {"commit": commit} for commit in ("bbb", "aaa-dirty", "bbb")]
    (run / "record.json").write_text(json.dumps(record | {"commit": "bbb"}))
    assert export(run, tmp_path / "tiny-net-1.0.0").training.commit == "aaa-dirty; bbb"


@pytest.mark.usefixtures("ready_graphs")
def test_a_damaged_record_is_told(stopped_run, tmp_path):
    run = shutil.copytree(stopped_run, tmp_path / "run")
    record = json.loads((run / "record.json").read_text())
    (run / "record.json").write_text(json.dumps(record | {"best_step": "two"}))
    with pytest.raises(RunError, match="record of the run 'run' is damaged"):
        export(run, tmp_path / "tiny-net-1.0.0")


def test_an_unfinished_run_is_refused(data_root, config_file, tmp_path):
    train(load_config(config_file), data_root, tmp_path / "run", stop_after=1)
    with pytest.raises(RunError, match="complete run of 8 steps"):
        export(tmp_path / "run", tmp_path / "tiny-net-1.0.0")


def test_the_released_graphs_hold_no_path_of_the_machine_that_wrote_them():
    graphs = list(BUNDLED.glob("*.onnx"))
    assert len(graphs) == len(GRAPHS)
    for graph in graphs:
        assert b".py" not in graph.read_bytes(), graph.name
