import csv
import json
import signal
import subprocess
import sys
import time

import cv2
import numpy as np
import psutil
import pytest

from tests.trainer.graphs import filling_graphs
from trainer.__main__ import main
from trainer.ablation.run import find_weights
from trainer.ablation.studies import plan_studies
from trainer.run.train import train

BASE = """
name = "tiny"
[network]
width = 2
[data]
side_px = 176
workers = 0
[optim]
steps = 2
start = "average"
[run]
log_every = 1
"""
STUDIES = """
base = "base.toml"
[[study]]
name = "tasks"
title = "Tasks"
question = "Which tasks?"
arm = [
    { name = "all" },
    { name = "broken", set = ["optim.start=weights", "optim.start_weights=weights/none-1.0.0"] },
]
[[study]]
name = "chroma"
title = "Chroma"
question = "Which rule?"
arm = [{ name = "mean" }, { name = "weighted", evaluation = { chroma = "weighted" } }]
[[study]]
name = "reference"
title = "Reference"
question = "Which exposure?"
scenes = "handheld"
arm = [{ name = "over" }, { name = "under", evaluation = { reference = "under" } }]
"""
METRICS = ("AG", "Qabf", "PIQE")
DEADLINE_S = 900.0


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    """Two coloured scenes that the test makes itself."""
    root = tmp_path_factory.mktemp("scenes")
    rng = np.random.default_rng(3)
    for name in ("one", "two"):
        scene = cv2.resize(rng.random((12, 13, 3)).astype(np.float32), (104, 96))
        (root / name).mkdir()
        for exposure, gain in (("under", 0.25), ("over", 1.6)):
            pixels = np.rint(np.clip(scene * gain, 0, 1) * 255).astype(np.uint8)
            cv2.imwrite(str(root / name / f"{exposure}.png"), pixels)
    return root


@pytest.fixture(scope="module")
def ablation(data_root, scenes, tiny_graphs, tmp_path_factory):
    """A real ablation of two trainings, one of which cannot start and one was interrupted."""
    root = tmp_path_factory.mktemp("ablation")
    (root / "base.toml").write_text(BASE)
    studies = root / "studies.toml"
    studies.write_text(STUDIES)
    planned = {f"{one.study.name}/{one.arm.name}": one for s in plan_studies(studies) for one in s}
    out = root / "out"
    begun = planned["tasks/all"].config
    train(begun, data_root, out / "runs" / begun.name, stop_after=1)
    command = ["ablate", str(studies), "--data", str(data_root), "--scenes", str(scenes)]
    command += ["--out", str(out), "--workers", "0", "--metrics", ",".join(METRICS)]
    with filling_graphs(tiny_graphs):
        return command, main(command), out, planned


def read_sections(out):
    """Rows of each study's first table as dictionaries, by the study's title."""
    sections = {}
    for section in (out / "ablation.md").read_text().split("\n## ")[1:]:
        table = "| arm " + section.split("\n| arm ", 1)[1].split("\n\n", 1)[0]
        lines = table.splitlines()
        cells = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]
        rows = [dict(zip(cells[0], row, strict=True)) for row in cells[2:]]
        sections[section.splitlines()[0]] = {row["arm"]: row for row in rows}
    return sections


def read_scores(out):
    with (out / "scores" / "scenes" / "scores.csv").open() as file:
        return list(csv.DictReader(file))


def test_one_arms_failure_is_reported_and_stops_no_other(ablation):
    _, exit_code, out, planned = ablation
    rows = read_sections(out)["Tasks"]
    assert exit_code == 1
    assert "weights-mismatch" in rows["broken"]["failure"]
    assert rows["broken"]["AG ↑"] == ""
    assert rows["all"]["failure"] == ""
    assert rows["all"]["steps"] == "2"
    assert all(rows["all"][metric] for metric in ("AG ↑", "Qabf ↑", "PIQE ↓"))
    assert not (out / "runs" / planned["tasks/broken"].config.name).exists()


def test_an_interrupted_arm_goes_on(ablation):
    _, _, out, planned = ablation
    record = json.loads(
        (out / "runs" / planned["tasks/all"].config.name / "record.json").read_text()
    )
    spans = [(one["from_step"], one["until_step"]) for one in record["sessions"]]
    assert spans == [(0, 1), (1, 2)]


def test_the_table_has_the_means_of_what_the_evaluation_wrote_and_marks_what_is_sure(ablation):
    _, _, out, planned = ablation
    rows = read_sections(out)["Chroma"]
    label = planned["chroma/weighted"].label
    values = [
        float(row["value"])
        for row in read_scores(out)
        if (row["method"], row["metric"]) == (label, "chroma")
    ]
    assert float(rows["weighted"]["chroma"]) == pytest.approx(sum(values) / 2, rel=0.01)
    assert float(rows["weighted"]["chroma"]) > float(rows["mean"]["chroma"])
    assert rows["mean"]["AG ↑"].strip("*")[-1] not in "▲▼"
    assert rows["weighted"]["differs from the base in"] == "chroma weighted"


def test_a_study_whose_scenes_were_not_given_is_trained_and_not_scored(ablation):
    out = ablation[2]
    assert "AG ↑" not in read_sections(out)["Reference"]["over"]
    assert read_sections(out)["Reference"]["over"]["steps"] == "2"
    assert "Not scored." in (out / "ablation.md").read_text()


def test_every_study_has_a_plot_of_its_losses(ablation):
    out = ablation[2]
    for name in ("tasks", "chroma", "reference"):
        assert f"({name}.svg)" in (out / "ablation.md").read_text()
        assert (out / f"{name}.svg").stat().st_size > 2000


@pytest.mark.usefixtures("ready_graphs")
def test_a_second_call_trains_and_fuses_nothing_again(ablation):
    command, _, out, planned = ablation
    config = planned["tasks/all"].config
    watched = [out / "runs" / config.name / "checkpoint.pt"]
    watched += [find_weights(out, config) / "manifest.json"]
    watched += sorted((out / "scores").rglob("*.png"))
    assert len(watched) == 2 + 2 * 2
    before = [path.stat().st_mtime_ns for path in watched]
    document = (out / "ablation.md").read_text()
    assert main(command) == 1  # the broken arm is still broken
    assert [path.stat().st_mtime_ns for path in watched] == before
    assert (out / "ablation.md").read_text() == document
    assert str(out) not in document


@pytest.mark.usefixtures("ready_graphs")
def test_scenes_are_reduced_for_every_study_where_that_is_asked_for(ablation):
    command, _, out, _ = ablation
    assert main([*command, "--study", "chroma", "--max-side-px", "176"]) == 0
    assert "Means over 2 scenes of" in (out / "ablation.md").read_text()
    assert ", reduced to 176 pixels:" in (out / "ablation.md").read_text()
    assert (
        json.loads((out / "scores" / "scenes-176" / "summary.json").read_text())["max_side_px"]
        == 176
    )


def test_what_cannot_be_is_refused_before_any_work(ablation, capsys, tmp_path):
    command = ablation[0]
    wrong = (["--study", "nothing"], ["--metrics", "AG,XY"], ["--scenes", "x"], ["--set", "a.b=1"])
    for options in wrong:
        assert main([*command, "--out", str(tmp_path / "new"), *options]) == 2
        assert "config-invalid" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


def wait_for(claim):
    until = time.monotonic() + DEADLINE_S
    while not claim():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.1)


@pytest.mark.slow
def test_an_ablation_that_was_killed_leaves_no_training_behind_and_goes_on(
    data_root, scenes, tmp_path
):
    (tmp_path / "base.toml").write_text(BASE)
    studies = tmp_path / "studies.toml"
    studies.write_text(STUDIES)
    overrides = ["optim.steps=1000000", "run.checkpoint_every=3"]
    ((one, *_),) = plan_studies(studies, overrides, names=["chroma"])
    record = tmp_path / "out" / "runs" / one.config.name / "record.json"
    command = [sys.executable, "-m", "trainer", "ablate", str(studies), "--data", str(data_root)]
    command += ["--scenes", str(scenes), "--out", str(tmp_path / "out"), "--study", "chroma"]
    for override in overrides:
        command += ["--set", override]
    steps = 0

    def count_steps():
        return json.loads(record.read_text()).get("steps", 0) if record.exists() else 0

    for number in (signal.SIGTERM, signal.SIGKILL):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_for(lambda before=steps: count_steps() > before)
        trainings = psutil.Process(process.pid).children(recursive=True)
        assert trainings
        process.send_signal(number)
        assert process.wait(DEADLINE_S) == -number
        _, alive = psutil.wait_procs(trainings, DEADLINE_S)
        assert not alive
        steps = count_steps()
