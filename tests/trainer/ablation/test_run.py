import json
import re
import shutil
import signal
import subprocess
import sys
import time

import cv2
import numpy as np
import pytest

from trainer.__main__ import main
from trainer.ablation.folders import Folders
from trainer.ablation.plan import collect_jobs, plan_arms
from trainer.ablation.results import collect_results, count_steps
from trainer.ablation.run import Request, train_and_score
from trainer.ablation.studies import read_studies
from trainer.errors import RunError
from trainer.evaluation import read_summary
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
plot_epochs = true
arm = [
    { name = "all" },
    { name = "co-target", set = ["loss.use_masks=false"] },
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
pairs = "handheld"
arm = [{ name = "over" }, { name = "under", evaluation = { reference = "under" } }]
"""
METRICS = ("AG", "Qabf", "PIQE")
DEADLINE_S = 240.0


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    """Two pairs of coloured scenes that the test makes itself."""
    root = tmp_path_factory.mktemp("pairs")
    rng = np.random.default_rng(3)
    for name in ("one", "two"):
        scene = cv2.resize(rng.random((24, 25, 3)).astype(np.float32), (200, 192))
        (root / name).mkdir()
        for exposure, gain in (("under", 0.25), ("over", 1.6)):
            pixels = np.rint(np.clip(scene * gain, 0, 1) * 255).astype(np.uint8)
            cv2.imwrite(str(root / name / f"{exposure}.png"), pixels)
    return root


@pytest.fixture(scope="module")
def ablation(data_root, pairs, tmp_path_factory):
    """A real ablation of three trainings, one of which cannot start and one was interrupted."""
    root = tmp_path_factory.mktemp("ablation")
    (root / "base.toml").write_text(BASE)
    studies = root / "studies.toml"
    studies.write_text(STUDIES)
    folders = Folders(root / "out")
    planned = plan_arms(read_studies(studies), root)
    begun = planned[0].config
    train(begun, data_root, folders.run(begun.name), stop_after=1)
    weights = folders.weights(begun.name)
    rest = weights.with_name(f".{weights.name}.partial")
    rest.mkdir(parents=True)
    (rest / "network.onnx").write_text("cut short")
    command = ["ablate", str(studies), "--data", str(data_root), "--pairs", str(pairs)]
    command += ["--out", str(folders.root), "--docs", str(root / "docs"), "--workers", "2"]
    command += ["--metrics", ",".join(METRICS)]
    return command, main(command), folders, planned


def read_arms(folders, study):
    document = json.loads((folders.root / "results.json").read_text())
    return {arm["name"]: arm for arm in document["studies"][study]["arms"]}


def test_one_arms_failure_is_reported_and_stops_no_other(ablation):
    _, exit_code, folders, _ = ablation
    arms = read_arms(folders, "tasks")
    assert exit_code == 1
    assert "weights-mismatch" in arms["broken"]["failure"]
    assert arms["broken"]["scores"] == {}
    for name in ("all", "co-target"):
        assert arms[name]["failure"] is None
        assert arms[name]["steps"] == 2
        assert set(arms[name]["scores"]) == set(METRICS)


def test_an_interrupted_arm_goes_on_and_a_cut_export_is_made_anew(ablation):
    _, _, folders, planned = ablation
    name = planned[0].config.name
    record = folders.read_record(name)
    spans = [(one["from_step"], one["until_step"]) for one in record["sessions"]]
    assert spans == [(0, 1), (1, 2)]
    assert (folders.weights(name) / "network.onnx").stat().st_size > 1000


def test_differences_are_those_of_the_scores_that_the_evaluation_wrote(ablation):
    _, _, folders, planned = ablation
    arm = read_arms(folders, "tasks")["co-target"]
    first, second = (read_summary(folders.scores(one.trial)).means for one in planned[:2])
    for metric in METRICS:
        expected = second[planned[1].trial.label][metric] - first[planned[0].trial.label][metric]
        interval = arm["differences"][metric]
        assert interval["difference"] == pytest.approx(expected, abs=1e-12)
        assert interval["low"] <= interval["difference"] <= interval["high"]
        assert interval["pairs"] == 2


def test_an_arm_of_the_evaluation_shares_its_training_and_gives_another_picture(ablation):
    _, _, folders, _ = ablation
    arms = read_arms(folders, "chroma")
    assert (
        arms["mean"]["run"] == arms["weighted"]["run"] == read_arms(folders, "tasks")["all"]["run"]
    )
    assert arms["weighted"]["chroma"] > arms["mean"]["chroma"]
    assert len(list(folders.runs.iterdir())) == 2  # the one that could not start left none


def test_final_losses_are_those_of_the_curve(ablation):
    _, _, folders, planned = ablation
    arm = read_arms(folders, "tasks")["all"]
    last = folders.run(planned[0].config.name).joinpath("losses.csv").read_text().splitlines()
    values = dict(zip(last[0].split(","), last[-1].split(","), strict=True))
    assert arm["losses"]["total"] == float(values["total"])


def test_a_study_whose_pairs_were_not_given_is_not_scored(ablation):
    _, _, folders, _ = ablation
    assert all(arm["scores"] == {} for arm in read_arms(folders, "reference").values())


def test_a_second_call_does_nothing_again_and_keeps_what_people_wrote(ablation):
    command, _, folders, planned = ablation
    document = folders.root.parent / "docs" / "ablation.md"
    text = document.read_text()
    assert str(folders.root) not in text
    mark = "<!-- prose: chroma -->\n"
    document.write_text(text.replace(mark, f"{mark}Weighted is more colourful.\n"))
    watched = [folders.run(planned[0].config.name) / "checkpoint.pt"]
    watched += [folders.weights(planned[0].config.name) / "manifest.json"]
    pictures = sorted(folders.scores(planned[0].trial).rglob("*.png"))
    assert len(pictures) == 2
    watched += pictures
    before = [path.stat().st_mtime_ns for path in watched]
    assert main(command) == 1  # the broken arm is still broken
    assert [path.stat().st_mtime_ns for path in watched] == before
    again = document.read_text()
    assert f"{mark}Weighted is more colourful.\n<!-- end of prose -->" in again
    assert "| co-target |" in again
    for name in ("tasks-scores", "tasks-losses", "tasks-epochs", "chroma-scores"):
        assert f"(ablation/{name}.svg)" in again
        assert (document.parent / "ablation" / f"{name}.svg").stat().st_size > 2000


def read_sections(docs):
    return re.findall("^## (.*)$", (docs / "ablation.md").read_text(), re.MULTILINE)


def test_only_studies_that_were_asked_for_or_are_done_are_shown(ablation, tmp_path):
    command, _, folders, _ = ablation
    root = tmp_path / "out"
    shutil.copytree(folders.root, root)
    shutil.rmtree(root / "scores" / "pairs")
    own = ["--out", str(root), "--docs", str(tmp_path), "--arm", "mean", "--study", "chroma"]
    assert main([*command, *own]) == 0
    # The shared training is scored; an arm of either study is not, but this one was asked for.
    assert read_sections(tmp_path) == ["Chroma"]
    text = (tmp_path / "ablation.md").read_text()
    first, second = re.search("- Commands: `(.*)`, `(.*)`\n", text).groups()
    assert second == first.replace("--docs DOCS", "--docs DOCS --study chroma --arm mean")
    assert "`align=off`, `chroma=mean`, `reference=over`" in text
    assert str(tmp_path) not in text


def test_the_document_of_an_earlier_versions_folder_is_written_without_any_work(ablation, tmp_path):
    command, _, folders, _ = ablation
    root, docs = tmp_path / "out", tmp_path / "docs"
    shutil.copytree(folders.root, root)
    for path in root.glob("runs/*/record.json"):
        record = json.loads(path.read_text())
        del record["data_sha256"]
        for session in record["sessions"]:
            del session["outside_steps_s"]
        path.write_text(json.dumps(record))
    facts = {"facts": {"Command": "`python -m trainer ablate x.toml`"}, "studies": {}}
    (root / "results.json").write_text(json.dumps(facts))
    before = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
    written = ["--out", str(root), "--docs", str(docs), "--document-only"]
    assert main([*command, *written]) == 0
    assert read_sections(docs) == ["Chroma"]
    assert "- Command: `python -m trainer ablate x.toml`\n" in (docs / "ablation.md").read_text()
    assert main([*command, *written, "--study", "tasks"]) == 0
    assert read_sections(docs) == ["Tasks", "Chroma"]
    del before[root / "results.json"]
    assert {path: path.read_bytes() for path in before} == before
    assert len([path for path in root.rglob("*") if path.is_file()]) == len(before) + 1


def test_scores_of_other_pairs_are_no_scores_and_a_pair_that_failed_is_tried_again(
    ablation, data_root, pairs, tmp_path
):
    _, _, folders, planned = ablation
    shutil.copytree(folders.root, tmp_path / "out")
    copied = Folders(tmp_path / "out")
    (job,) = collect_jobs(planned[:1])
    (trial,) = job.trials
    other = tmp_path / "pairs"
    shutil.copytree(pairs, other)
    for path in other.glob("*/*.png"):
        cv2.imwrite(str(path), cv2.imread(str(path))[::2, :, :].repeat(2, axis=0))
    request = Request(data_root, {"pairs": other}, copied, metrics=METRICS)
    before = copied.read_scores(trial)
    train_and_score(job, request)
    after = copied.read_scores(trial)
    assert after.keys() == before.keys() == {"one", "two"}
    assert all(after[name]["AG"] != before[name]["AG"] for name in after)
    whole = (other / "two" / "over.png").read_bytes()
    (other / "two" / "over.png").write_bytes(whole[:50])
    with pytest.raises(RunError, match=r"1 failed: two"):
        train_and_score(job, request)
    (result,) = collect_results(planned[:1], copied, {}, asked={"tasks"})
    assert result.arms[0].failure == "1 not scored"
    assert result.arms[0].unscored[0].startswith("two: ")
    (other / "two" / "over.png").write_bytes(whole)
    train_and_score(job, request)
    assert copied.read_scores(trial) == after


def test_an_arm_that_stops_early_is_a_finished_one(held_out_root, tmp_path):
    (tmp_path / "base.toml").write_text(BASE)
    (tmp_path / "studies.toml").write_text(STUDIES)
    overrides = ["optim.steps=9", "optim.learning_rate=1e-30"]  # nothing ever becomes better
    overrides += ["validation.every=1", "validation.patience=2", "validation.pairs=1"]
    planned = plan_arms(read_studies(tmp_path / "studies.toml"), tmp_path, overrides)[:1]
    (job,) = collect_jobs(planned)
    folders = Folders(tmp_path / "out")
    train_and_score(job, Request(held_out_root, {}, folders))
    assert folders.read_record(job.name)["steps"] == 3
    assert (folders.weights(job.name) / "manifest.json").is_file()
    (result,) = collect_results(planned, folders, {}, asked={"tasks"})
    assert (result.arms[0].is_complete, result.arms[0].failure) == (True, None)


def test_what_cannot_be_is_refused_before_any_work(ablation, capsys, tmp_path):
    command = ablation[0]
    wrong = (["--study", "nothing"], ["--metrics", "AG,XY"], ["--workers", "0"], ["--set", "a.b=1"])
    for options in wrong:
        assert main([*command, "--out", str(tmp_path / "new"), *options]) == 2
        assert "config-invalid" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


def test_a_dry_run_says_what_would_be_trained(ablation, capsys, tmp_path):
    command = ablation[0]
    assert main([*command, "--out", str(tmp_path), "--steps", "7", "--dry-run"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert all(": 7 steps, scored as " in line for line in lines)
    assert list(tmp_path.iterdir()) == []


def wait_for(claim):
    until = time.monotonic() + DEADLINE_S
    while not claim():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.1)


def test_a_stopped_ablation_leaves_no_training_behind_and_goes_on(data_root, pairs, tmp_path):
    """Also where the command itself was killed: its arm's process ends in its own time."""
    (tmp_path / "base.toml").write_text(BASE)
    studies = tmp_path / "studies.toml"
    studies.write_text(STUDIES)
    overrides = ["optim.steps=1000000", "run.checkpoint_every=3"]
    name = plan_arms(read_studies(studies), tmp_path, overrides)[0].config.name
    folders = Folders(tmp_path / "out")
    command = [sys.executable, "-m", "trainer", "ablate", str(studies), "--data", str(data_root)]
    command += ["--pairs", str(pairs), "--out", str(folders.root), "--arm", "all", "--workers", "2"]
    for override in overrides:
        command += ["--set", override]
    steps = 0
    for number in (signal.SIGTERM, signal.SIGKILL):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_for(lambda before=steps: max(folders.read_curve(name).get("step", [0])) > before)
        process.send_signal(number)
        assert process.wait(DEADLINE_S) == (143 if number == signal.SIGTERM else -number)
        wait_for(lambda: "stopped after" in folders.log(name).read_text())
        taken = count_steps(folders.read_record(name))
        assert taken > steps
        steps = taken
