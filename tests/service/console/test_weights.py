"""`expofuse weights` on copies of the bundled version, sound and damaged."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from model.manifest import PARAMETERS_NAME, read_manifest, write_manifest
from service.console.cli import main
from tests.paths import ROOT
from tests.service.versions import write_blend_version

BUNDLED = ROOT / "weights" / "hyperp-mb-1.1.0"


def copy_version(folder: Path, label: str, **changes) -> Path:
    """The bundled version under another label, its manifest changed."""
    directory = folder / label
    shutil.copytree(BUNDLED, directory)
    name, _, version = label.rpartition("-")
    update = {"name": name, "version": version, **changes}
    write_manifest(read_manifest(BUNDLED).model_copy(update=update), directory)
    return directory


def spoil(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


@pytest.fixture
def folder(tmp_path):
    copy_version(tmp_path, "some-1.10.0")
    copy_version(tmp_path, "some-1.9.0")
    return tmp_path


@pytest.fixture
def run(folder, capsys):
    def run(*arguments: str) -> tuple[int, list[str], str]:
        code = main(["weights", arguments[0], "--dir", str(folder), *arguments[1:]])
        said = capsys.readouterr()
        return code, said.out.splitlines(), said.err

    return run


def test_versions_are_listed_by_number_with_the_default_marked(folder, run, monkeypatch):
    monkeypatch.setenv("EXPOFUSE_WEIGHTS", "some-1.9.0")
    monkeypatch.setenv("EXPOFUSE_WEIGHTS_DIR", str(folder))
    code, lines, _ = run("list")
    assert code == 0
    assert lines[0].split()[:4] == ["version", "architecture", "parameters", "size"]
    assert lines[1].split()[:5] == ["*", "some-1.9.0", "hyperp-mb", "88,225", "1.08"]
    assert lines[2].split()[0] == "some-1.10.0"
    assert lines[3].startswith("* what `expofuse serve` loads")


def test_a_default_given_as_a_path_is_marked(folder, run, monkeypatch):
    monkeypatch.setenv("EXPOFUSE_WEIGHTS", str(folder / "some-1.10.0"))
    _, lines, _ = run("list")
    assert lines[2].split()[:2] == ["*", "some-1.10.0"]


def test_every_version_that_is_loaded_is_marked(folder, run, monkeypatch):
    monkeypatch.setenv("EXPOFUSE_WEIGHTS", f"{folder / 'some-1.10.0'},some-1.9.0")
    monkeypatch.setenv("EXPOFUSE_WEIGHTS_DIR", str(folder))
    _, lines, _ = run("list")
    assert [line.split()[:2] for line in lines[1:3]] == [["+", "some-1.9.0"], ["*", "some-1.10.0"]]
    assert [line[0] for line in lines[3:]] == ["*", "+"]


def test_a_version_that_is_loaded_besides_and_is_elsewhere_is_told(folder, run, monkeypatch):
    monkeypatch.setenv("EXPOFUSE_WEIGHTS", "some-1.9.0,/elsewhere/other-1.0.0")
    monkeypatch.setenv("EXPOFUSE_WEIGHTS_DIR", str(folder))
    _, lines, _ = run("list")
    assert lines[3].startswith("* what")
    assert lines[4] == ("`expofuse serve` loads 'other-1.0.0' as the settings stand: not listed")


def test_a_version_that_looks_at_the_whole_picture_is_listed_shown_and_verified(folder, run):
    write_blend_version(folder, "blend-0.1.0")
    _, lines, _ = run("list")
    assert lines[1].split()[:2] == ["blend-0.1.0", "pyramid-blend"]
    _, lines, _ = run("show", "blend-0.1.0")
    assert ["receptive_field", "the", "whole", "picture"] in [line.split() for line in lines]
    code, lines, errors = run("verify", "blend-0.1.0")
    assert (code, errors) == (0, "")
    assert "  passed  golden pair by the network" in lines


def test_a_version_of_the_same_name_elsewhere_is_not_the_default(run, monkeypatch):
    monkeypatch.setenv("EXPOFUSE_WEIGHTS", "some-1.9.0")
    _, lines, _ = run("list")
    assert "'some-1.9.0'" in lines[-1]
    assert "not listed" in lines[-1]
    assert not any(line.startswith("*") for line in lines)


def test_the_list_shows_the_newest_scores(folder, run):
    scores = {"dataset": "set", "pairs": 4, "scores": {"Qabf": 0.6754, "MEF-SSIM": 0.95237}}
    evaluation = [dict(scores, dataset="old", scores={"Qabf": 0.1}), scores]
    path = folder / "some-1.9.0" / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"evaluation": evaluation}))
    _, lines, _ = run("list")
    assert lines[1].split()[-6:] == ["over", "set,", "4", "pairs", "0.952", "0.675"]


def test_broken_versions_are_listed_with_their_fault(folder, run):
    (folder / "some-1.9.0" / "manifest.json").unlink()
    (folder / "some-1.10.0" / PARAMETERS_NAME).write_bytes(b"nothing of the kind")
    code, lines, _ = run("list")
    assert code == 0
    assert any("some-1.9.0   broken: expected manifest.json" in line for line in lines)
    assert any("network.safetensors is not a safetensors file" in line for line in lines)


def test_files_and_hidden_folders_beside_the_versions_are_not_listed(folder, run):
    (folder / "about.toml").write_text("")
    (folder / ".partial").mkdir()
    _, lines, _ = run("list")
    assert len(lines) == 4


@pytest.mark.parametrize("exists", [False, True])
def test_a_directory_without_versions_is_told(tmp_path, capsys, exists):
    empty = tmp_path / "empty"
    if exists:
        empty.mkdir()
    assert main(["weights", "list", "--dir", str(empty)]) == 2
    assert capsys.readouterr().err.startswith("expofuse: expected ")


def test_a_sound_version_passes_every_check(run):
    code, lines, errors = run("verify", "some-1.10.0")
    assert (code, errors) == (0, "")
    assert lines[0] == "some-1.10.0"
    assert [line.split()[0] for line in lines[1:]] == ["passed"] * 9
    assert lines[-4:] == [
        "  passed  golden pair by the network",
        "  passed  golden pair by network.onnx",
        "  passed  golden pair by network-valid.onnx",
        "  passed  golden picture by the CPU",
    ]


def test_a_changed_file_fails_its_own_checks_and_no_other(folder, run):
    spoil(folder / "some-1.9.0" / "network.onnx")
    code, lines, errors = run("verify", "--all")
    assert code == 1
    assert errors.count("\n") == 1
    assert errors.startswith("expofuse: 'some-1.9.0' did not pass: ")
    assert "network.onnx has SHA-256" in errors
    first = lines[1 : lines.index("some-1.10.0")]
    assert "  failed  SHA-256 of network.onnx" in first
    assert "  not run golden pair by network.onnx" in first
    assert len([line for line in first if line.startswith("  passed")]) == 6
    assert all(line.startswith("  passed") for line in lines[len(first) + 2 :])


def test_a_network_that_answers_differently_fails_by_each_way_of_running(folder, run):
    directory = folder / "some-1.9.0"
    manifest = read_manifest(directory)
    samples = (*manifest.golden.samples[:3], 0.0, *manifest.golden.samples[4:])
    golden = manifest.golden.model_copy(update={"samples": samples})
    write_manifest(manifest.model_copy(update={"golden": golden}), directory)
    code, lines, errors = run("verify", "some-1.9.0")
    assert code == 1
    assert [line.split()[0] for line in lines[-4:-1]] == ["failed"] * 3
    assert lines[-1] == "  not run golden picture by the CPU"
    assert "(and 2 more)" in errors


def test_another_golden_picture_fails_alone(folder, run):
    directory = folder / "some-1.9.0"
    manifest = read_manifest(directory)
    golden = manifest.golden.model_copy(update={"picture": (0,) * 36})
    write_manifest(manifest.model_copy(update={"golden": golden}), directory)
    code, lines, errors = run("verify", "some-1.9.0")
    assert code == 1
    assert [line for line in lines if "passed" not in line] == [
        "some-1.9.0",
        "  failed  golden picture by the CPU",
    ]
    assert "golden picture as this device makes it is off by" in errors


def test_a_broken_manifest_fails_the_schema(folder, run):
    (folder / "some-1.9.0" / "manifest.json").write_text('{"schema_version": 1}')
    code, lines, errors = run("verify", "some-1.9.0")
    assert (code, lines) == (1, ["some-1.9.0", "  failed  schema"])
    assert "does not satisfy the schema" in errors


def test_a_version_may_be_given_as_a_path(folder, capsys):
    assert main(["weights", "verify", str(folder / "some-1.9.0")]) == 0
    assert capsys.readouterr().out.startswith("some-1.9.0\n")


@pytest.mark.parametrize("command", ["verify", "show"])
def test_an_unknown_version_is_told_which_there_are(run, command):
    code, lines, errors = run(command, "some-3.0.0")
    assert (code, lines) == (2, [])
    assert errors.endswith("got 'some-3.0.0'; there are: some-1.9.0, some-1.10.0\n")


@pytest.mark.parametrize("arguments", [[], ["some-1.9.0", "--all"]])
def test_verify_takes_one_version_or_all(folder, arguments, capsys):
    assert main(["weights", "verify", "--dir", str(folder), *arguments]) == 2
    assert "either NAME-VERSION" in capsys.readouterr().err


def test_versions_and_checks_are_told_as_json(folder, run):
    write_blend_version(folder, "blend-0.1.0")
    (folder / "some-1.9.0" / "manifest.json").unlink()
    code, (line,), _ = run("list", "--json")
    told = {one["version"]: one for one in json.loads(line)}
    assert code == 0
    assert told["some-1.10.0"]["parameters"] == 88_225
    assert "manifest.json" in told["some-1.9.0"]["fault"]
    code, (line,), errors = run("verify", "--all", "--json")
    checks = json.loads(line)
    assert code == 1
    assert {one["state"] for one in checks["blend-0.1.0"]} == {"passed"}
    assert checks["some-1.9.0"][0]["state"] == "failed"
    assert errors.startswith("expofuse: 'some-1.9.0' did not pass: ")


def test_a_version_is_shown_for_people(folder, run):
    directory = copy_version(
        folder,
        "told-1.0.0",
        summary="A summary.",
        intended_use="A use.",
        limits=("A limit.",),
        evaluation=(),
    )
    code, lines, _ = run("show", "told-1.0.0")
    text = "\n".join(lines)
    assert code == 0
    assert lines[:4] == ["told 1.0.0", "A summary.", "", "Intended use: A use."]
    for title in ("Network", "Files", "Training", "Data", "Evaluation", "Limits"):
        assert title in lines
    manifest = read_manifest(directory)
    for entry in manifest.files.values():
        assert entry.sha256 in text
    for source in manifest.training.data:
        assert source.licence in text
        assert source.source in text
    assert manifest.training.commit in text
    assert "    steps = 14000" in lines
    assert "  not evaluated yet" in lines
    assert lines[-1] == "  A limit."


def test_scores_are_shown_beside_those_of_other_methods(folder, run):
    evaluation = {
        "dataset": "set",
        "pairs": 3,
        "scores": {"AG": 4.0, "PIQE": 20.0},
        "methods": {"peer": {"AG": 5.0}},
        "ranks": {"some-1.9.0": 1.5, "peer": 1.25},
        "lower_is_better": ["PIQE"],
        "align": "auto",
    }
    path = folder / "some-1.9.0" / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"evaluation": [evaluation]}))
    _, lines, _ = run("show", "some-1.9.0")
    at = lines.index("  set, means over 3 pairs, align=auto")
    assert lines[at + 1].split() == ["method", "AG", "PIQE", "(lower)", "mean", "rank", "(lower)"]
    assert lines[at + 2].split() == ["some-1.9.0", "4.00", "20.0", "1.50"]
    assert lines[at + 3].split() == ["peer", "5.00", "1.25"]


def test_the_manifest_is_shown_as_json(folder, run):
    code, lines, _ = run("show", "some-1.9.0", "--json")
    assert code == 0
    assert json.loads("\n".join(lines)) == read_manifest(folder / "some-1.9.0").model_dump(
        mode="json"
    )


def test_a_version_that_cannot_be_shown_is_told(folder, run):
    (folder / "some-1.9.0" / PARAMETERS_NAME).unlink()
    code, _, errors = run("show", "some-1.9.0")
    assert code == 2
    assert "expected the file network.safetensors" in errors


def test_a_misspelt_setting_is_told(monkeypatch, capsys):
    monkeypatch.setenv("EXPOFUSE_WEIGTHS", "x")
    assert main(["weights", "list"]) == 2
    assert "did you mean EXPOFUSE_WEIGHTS" in capsys.readouterr().err


def test_a_reader_that_has_seen_enough_ends_the_command_without_a_trace():
    code = "import sys; from service.console.cli import main; sys.exit(main(['weights', 'list']))"
    read_end, write_end = os.pipe()
    os.close(read_end)
    ended = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        stdout=write_end,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(write_end)
    assert (ended.returncode, ended.stderr) == (1, "")


def test_listing_and_showing_load_neither_torch_nor_a_web_framework(tmp_path):
    code = (
        "import sys; from service.console.cli import main;"
        "codes = main(['weights', 'list']), main(['weights', 'show', 'hyperp-mb-1.1.0']);"
        "assert codes == (0, 0), codes;"
        "loaded = {'torch', 'cv2', 'onnxruntime', 'fastapi', 'uvicorn'} & sys.modules.keys();"
        "assert not loaded, loaded"
    )
    # From another directory: the weights are found beside the packages.
    ended = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    assert "hyperp-mb-1.1.0" in ended.stdout
