import json
import re
import shutil
from pathlib import Path

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from model.errors import FusionError
from model.manifest import PARAMETERS_NAME
from trainer.__main__ import main
from trainer.config import load_config
from trainer.errors import DataError, RunError
from trainer.run.train import learning_rate, train
from trainer.run_files import CHECKPOINT_NAME, CONFIG_NAME, CURVE_NAME, RECORD_NAME


def checkpoint(run):
    return torch.load(run / CHECKPOINT_NAME, weights_only=True)


def parameters(run):
    return checkpoint(run)["network"]


def test_2n_steps_equal_n_steps_a_resume_and_n_more_bit_for_bit(
    data_root, config_file, whole, tmp_path
):
    config = load_config(config_file)
    halves = tmp_path / "halves"
    assert train(config, data_root, halves, stop_after=4) == 4
    assert train(config, data_root, halves) == 8
    first, second = parameters(whole), parameters(halves)
    assert first.keys() == second.keys()
    for name, tensor in first.items():
        assert torch.equal(tensor, second[name]), name
    assert (whole / CURVE_NAME).read_text() == (halves / CURVE_NAME).read_text()


def test_a_checkpoint_from_before_there_was_a_loss_term_is_resumed(
    data_root, config_file, whole, tmp_path
):
    config, run = load_config(config_file), tmp_path / "run"
    train(config, data_root, run, stop_after=4)
    older = checkpoint(run)
    del older["sums"]["untruth"]
    torch.save(older, run / CHECKPOINT_NAME)
    header, row = ((line.split(",")) for line in (run / CURVE_NAME).read_text().splitlines())
    column = header.index("untruth")
    lines = (",".join(cells[:column] + cells[column + 1 :]) for cells in (header, row))
    (run / CURVE_NAME).write_text("\n".join(lines) + "\n")
    assert train(config, data_root, run) == 8
    for name, tensor in parameters(whole).items():
        assert torch.equal(tensor, parameters(run)[name]), name
    assert (run / CURVE_NAME).read_text() == (whole / CURVE_NAME).read_text()


def test_a_checkpoint_that_calls_the_selection_score_by_its_earlier_name_is_resumed(
    data_root, config_file, tmp_path
):
    config, run = load_config(config_file), tmp_path / "run"
    train(config, data_root, run, stop_after=4)
    older = checkpoint(run)
    older["best"] = {"objective": 0.5, "step": 2, "failures": 1}
    torch.save(older, run / CHECKPOINT_NAME)
    train(config, data_root, run)
    assert checkpoint(run)["best"] == {"score": 0.5, "step": 2, "failures": 1}


def test_data_that_is_refused_leaves_no_run_folder(data_root, config_file, tmp_path):
    config = load_config(config_file, ['data.licences=["MIT"]'])
    with pytest.raises(DataError, match="CC0"):
        train(config, data_root, tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_a_resume_changes_nothing_in_reduced_precision(data_root, config_file, tmp_path, precision):
    config = load_config(config_file, [f"optim.precision={precision}", "optim.steps=4"])
    whole, halves = tmp_path / "whole", tmp_path / "halves"
    train(config, data_root, whole)
    train(config, data_root, halves, stop_after=2)
    train(config, data_root, halves)
    first, second = checkpoint(whole), checkpoint(halves)
    for name, tensor in first["network"].items():
        assert tensor.dtype == torch.float32
        assert torch.equal(tensor, second["network"][name]), name
    assert first["scaler"] == second["scaler"]
    assert bool(first["scaler"]) == (precision == "float16")


def test_reduced_precision_learns_what_float32_learns(data_root, config_file, tmp_path):
    curves = {}
    for precision in ("float32", "bfloat16", "float16"):
        run = tmp_path / precision
        config = load_config(config_file, [f"optim.precision={precision}", "optim.steps=9"])
        train(config, data_root, run)
        lines = (run / CURVE_NAME).read_text().splitlines()
        curves[precision] = [float(line.split(",")[1]) for line in lines[1:]]
    # Eight significant bits of a feature map, over nine steps.
    assert curves["bfloat16"] == pytest.approx(curves["float32"], rel=0.03)
    # The loss's first scale is far too large for float16: the steps until it fits are skipped.
    assert curves["float16"][-1] == pytest.approx(curves["float32"][-1], rel=0.1)


def test_an_overflow_halves_the_scale_and_leaves_the_parameters(data_root, config_file, tmp_path):
    config = load_config(config_file, ["optim.precision=float16"])
    run = tmp_path / "run"
    train(config, data_root, run, stop_after=1)
    before = checkpoint(run)
    before["scaler"]["scale"] = 2.0**100
    torch.save(before, run / CHECKPOINT_NAME)
    train(config, data_root, run, stop_after=1)
    after = checkpoint(run)
    assert after["step"] == 2
    assert after["scaler"]["scale"] == 2.0**99
    for name, tensor in before["network"].items():
        assert torch.equal(tensor, after["network"][name]), name


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


@pytest.mark.parametrize("rest", ["", "st", "step,under\n3,1.2\n", "step,under\n3,1.2\n6,"])
def test_a_run_that_was_killed_before_its_first_checkpoint_begins_its_curve_anew(
    data_root, config_file, whole, tmp_path, rest
):
    config, run = load_config(config_file), tmp_path / "run"
    train(config, data_root, run, stop_after=0)
    (run / CURVE_NAME).write_text(rest)
    train(config, data_root, run)
    assert (run / CURVE_NAME).read_text() == (whole / CURVE_NAME).read_text()


class KilledError(Exception):
    """In the place of a signal that leaves no time."""


@pytest.mark.parametrize("name", [PARAMETERS_NAME, RECORD_NAME, CHECKPOINT_NAME])
@pytest.mark.parametrize("is_cut", [True, False])
def test_a_run_that_was_killed_in_its_last_save_is_completed_by_the_next_start(
    data_root, config_file, whole, tmp_path, monkeypatch, name, is_cut
):
    """Killed with half of a file written, or right after it."""
    config, run = load_config(config_file), tmp_path / "run"
    train(config, data_root, run, stop_after=5)
    replace = Path.replace

    def die(source, target):
        if target.name == name and not is_cut:
            replace(source, target)
        if target.name == name:
            raise KilledError
        replace(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", die)
        with pytest.raises(KilledError):
            train(config, data_root, run)
    assert train(config, data_root, run) == 8
    record = json.loads((run / RECORD_NAME).read_text())
    assert (record["is_complete"], record["steps"]) == (True, 8)
    for file in (PARAMETERS_NAME, CURVE_NAME):
        assert (run / file).read_bytes() == (whole / file).read_bytes()


def test_a_complete_checkpoint_under_an_older_record_is_completed(data_root, config_file, tmp_path):
    """As earlier versions left it when they were killed after the last checkpoint."""
    config, run = load_config(config_file), tmp_path / "run"
    train(config, data_root, run, stop_after=4)
    older = {name: (run / name).read_bytes() for name in (RECORD_NAME, PARAMETERS_NAME)}
    train(config, data_root, run)
    parameters_of_all = (run / PARAMETERS_NAME).read_bytes()
    for name, content in older.items():
        (run / name).write_bytes(content)
    assert train(config, data_root, run) == 8
    assert json.loads((run / RECORD_NAME).read_text())["is_complete"]
    assert (run / PARAMETERS_NAME).read_bytes() == parameters_of_all


@pytest.mark.parametrize("name", [RECORD_NAME, CONFIG_NAME])
def test_a_run_that_was_killed_as_it_began_begins_again(data_root, config_file, tmp_path, name):
    config, run = load_config(config_file), tmp_path / "run"
    train(config, data_root, run, stop_after=0)
    (run / name).unlink()
    assert train(config, data_root, run) == 8
    assert json.loads((run / RECORD_NAME).read_text())["is_complete"]


def test_a_damaged_record_is_refused_before_any_step(data_root, config_file, tmp_path):
    config, run = load_config(config_file), tmp_path / "run"
    train(config, data_root, run, stop_after=1)
    before = (run / CHECKPOINT_NAME).read_bytes()
    (run / RECORD_NAME).write_text('{"commit": ')
    with pytest.raises(RunError, match="damaged"):
        train(config, data_root, run)
    assert (run / CHECKPOINT_NAME).read_bytes() == before


CHANGES_OF_DATA = [
    ("CC0,made by the test,\nstacks", "CC0 1.0,made by the test,\nstacks"),
    ("hdri/room.hdr,hdri,train", "hdri/room.hdr,hdri,spare"),
]


@pytest.mark.parametrize(("old", "new"), CHANGES_OF_DATA)
def test_a_run_folder_of_other_data_is_refused_and_keeps_its_sources(
    data_root, config_file, tmp_path, old, new
):
    config, run, other = load_config(config_file), tmp_path / "run", tmp_path / "other"
    train(config, data_root, run, stop_after=1)
    before = (run / RECORD_NAME).read_bytes()
    shutil.copytree(data_root, other)
    manifest = (other / "manifest.csv").read_text()
    assert old in manifest
    (other / "manifest.csv").write_text(manifest.replace(old, new))
    with pytest.raises(RunError, match="other data"):
        train(config, other, run)
    assert (run / RECORD_NAME).read_bytes() == before


def test_a_run_whose_record_has_no_digest_is_resumed_and_keeps_the_sources_it_named(
    data_root, config_file, tmp_path
):
    config, run = load_config(config_file), tmp_path / "run"
    train(config, data_root, run, stop_after=1)
    record = json.loads((run / RECORD_NAME).read_text())
    digest, data = record.pop("data_sha256"), record["data"]
    earlier = {"name": "hdri/gone.hdr", "kind": "hdri", "licence": "CC0", "source": "elsewhere"}
    record["data"] = [earlier]
    (run / RECORD_NAME).write_text(json.dumps(record))
    assert train(config, data_root, run) == 8
    record = json.loads((run / RECORD_NAME).read_text())
    assert record["data"] == [earlier, *data]
    assert record["data_sha256"] == digest


def test_help_names_the_folder_that_the_command_takes(
    data_root, config_file, tmp_path, monkeypatch, capsys
):
    config_file = config_file.rename(config_file.with_name("another-file.toml"))
    monkeypatch.chdir(tmp_path)
    assert main(["train", str(config_file), "--data", str(data_root), "--stop-after", "1"]) == 0
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["another-file"]
    with pytest.raises(SystemExit):
        main(["train", "--help"])
    assert re.search(r"runs/<config\s+file", capsys.readouterr().out)


def test_training_lowers_the_loss_and_leaves_a_record(data_root, config_file, tmp_path, capsys):
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
    session = record["sessions"][0]
    assert session["elapsed_s"] >= session["started_in_s"] + session["waited_for_data_s"] - 0.15
    assert 0 < session["waiting_share"] < 1
    assert "waiting for data" in capsys.readouterr().out


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


def test_a_run_begun_before_the_config_gained_a_key_is_resumed(data_root, config_file, tmp_path):
    run = tmp_path / "run"
    config = load_config(config_file)
    train(config, data_root, run, stop_after=1)
    path = run / CONFIG_NAME
    shorter, newer = path.read_text().split("\n[validation]\n")
    assert "patience = 0" in newer
    path.write_text(shorter)
    assert train(config, data_root, run) == 8


def test_tensorboard_shows_each_loss_the_dynamic_weights_and_the_rate(
    data_root, config_file, tmp_path
):
    config = load_config(config_file)
    train(config, data_root, tmp_path / "run")
    events = EventAccumulator(str(tmp_path / "run")).Reload()
    tags = set(events.Tags()["scalars"])
    assert {"loss/under", "loss/correct", "loss/over", "learning_rate"} <= tags
    first, second = (events.Scalars(f"weights/lambda{index}") for index in (1, 2))
    assert [event.step for event in first] == [3, 6]
    # ParamTuner shares out beta.
    for one, other in zip(first, second, strict=True):
        assert one.value + other.value == pytest.approx(config.loss.beta, abs=1e-5)


def test_tensorboard_forgets_what_a_killed_run_logged_after_its_checkpoint(
    data_root, config_file, tmp_path
):
    config, run = load_config(config_file), tmp_path / "run"
    train(config, data_root, run, stop_after=2)
    early = (run / CHECKPOINT_NAME).read_bytes()
    train(config, data_root, run, stop_after=2)
    (run / CHECKPOINT_NAME).write_bytes(early)
    train(config, data_root, run)
    events = EventAccumulator(str(run)).Reload()
    assert [event.step for event in events.Scalars("loss/total")] == [3, 6]


def test_cosine_schedule_runs_from_the_rate_to_zero(config_file):
    config = load_config(config_file, ["optim.steps=100"])
    rates = [learning_rate(config, step) for step in (0, 50, 99)]
    assert rates[0] == pytest.approx(1e-4)
    assert rates[1] == pytest.approx(0.5e-4)
    assert 0 < rates[2] < 1e-7


def test_the_cosine_begins_again_at_its_restarts(config_file):
    values = ["optim.schedule=cosine", "optim.learning_rate=0.1", "optim.steps=100"]
    once = load_config(config_file, values)
    again = load_config(config_file, [*values, "optim.restarts=[60]"])
    assert learning_rate(again, 0) == learning_rate(again, 60) == 0.1
    assert [learning_rate(again, step) for step in (30, 80)] == pytest.approx([0.05, 0.05])
    assert learning_rate(again, 59) < 1e-3
    assert learning_rate(once, 50) == pytest.approx(0.05)


def test_command_line_trains_and_names_an_error_without_a_traceback(
    data_root, config_file, tmp_path, capsys
):
    run = tmp_path / "run"
    command = ["train", str(config_file), "--data", str(data_root), "--out", str(run)]
    assert main([*command, "--stop-after", "1"]) == 0
    assert main([*command, "--set", "optim.speed=1"]) == 2
    assert "optim.speed" in capsys.readouterr().err
    assert issubclass(RunError, FusionError)
