import json

import pytest
import torch

from model.errors import FusionError
from trainer.__main__ import main
from trainer.config import load_config
from trainer.errors import RunError
from trainer.run_folder import CHECKPOINT_NAME, CURVE_NAME, RECORD_NAME
from trainer.train import learning_rate, train


def parameters(run):
    return torch.load(run / CHECKPOINT_NAME, weights_only=True)["network"]


def test_2n_steps_equal_n_steps_a_resume_and_n_more_bit_for_bit(data_root, config_file, tmp_path):
    config = load_config(config_file)
    whole, halves = tmp_path / "whole", tmp_path / "halves"
    assert train(config, data_root, whole) == 8
    assert train(config, data_root, halves, stop_after=4) == 4
    assert train(config, data_root, halves) == 8
    first, second = parameters(whole), parameters(halves)
    assert first.keys() == second.keys()
    for name, tensor in first.items():
        assert torch.equal(tensor, second[name]), name
    assert (whole / CURVE_NAME).read_text() == (halves / CURVE_NAME).read_text()


def test_a_run_that_was_killed_after_its_checkpoint_logs_no_step_twice(
    data_root, config_file, tmp_path
):
    config = load_config(config_file)
    run = tmp_path / "run"
    train(config, data_root, run, stop_after=4)
    with (run / CURVE_NAME).open("a") as file:
        file.write("6,1,1,1,1,1,1,1,1\n")
    train(config, data_root, run)
    steps = [line.split(",")[0] for line in (run / CURVE_NAME).read_text().splitlines()]
    assert steps == ["step", "3", "6"]
    assert not (run / CURVE_NAME).read_text().endswith("6,1,1,1,1,1,1,1,1\n")


def test_training_lowers_the_loss_and_leaves_a_record(data_root, config_file, tmp_path):
    config = load_config(
        config_file, ["optim.steps=40", "optim.learning_rate=3e-3", "run.log_every=8"]
    )
    run = tmp_path / "run"
    train(config, data_root, run)
    rows = [line.split(",") for line in (run / CURVE_NAME).read_text().splitlines()[1:]]
    assert float(rows[-1][1]) < 0.7 * float(rows[0][1])
    record = json.loads((run / RECORD_NAME).read_text())
    assert record["is_complete"]
    assert record["steps"] == 40
    assert [item["licence"] for item in record["data"]] == ["CC0", "CC0"]
    assert record["sessions"][0]["elapsed_s"] > 0


def test_the_record_names_every_session_of_a_resumed_run(data_root, config_file, tmp_path):
    config = load_config(config_file)
    run = tmp_path / "run"
    train(config, data_root, run, stop_after=4)
    train(config, data_root, run)
    record = json.loads((run / RECORD_NAME).read_text())
    spans = [(one["from_step"], one["until_step"]) for one in record["sessions"]]
    assert spans == [(0, 4), (4, 8)]
    assert record["is_complete"]


def test_a_run_folder_of_another_config_is_refused(data_root, config_file, tmp_path):
    run = tmp_path / "run"
    train(load_config(config_file), data_root, run, stop_after=1)
    with pytest.raises(RunError, match="another config"):
        train(load_config(config_file, ["seed=2"]), data_root, run)


def test_cosine_schedule_runs_from_the_rate_to_zero(config_file):
    config = load_config(config_file, ["optim.steps=100"])
    rates = [learning_rate(config, step) for step in (0, 50, 99)]
    assert rates[0] == pytest.approx(1e-4)
    assert rates[1] == pytest.approx(0.5e-4)
    assert 0 < rates[2] < 1e-7


def test_command_line_trains_and_names_an_error_without_a_traceback(
    data_root, config_file, tmp_path, capsys
):
    run = tmp_path / "run"
    command = ["train", str(config_file), "--data", str(data_root), "--out", str(run)]
    assert main([*command, "--stop-after", "1"]) == 0
    assert main([*command, "--set", "optim.speed=1"]) == 2
    assert "optim.speed" in capsys.readouterr().err
    assert issubclass(RunError, FusionError)
