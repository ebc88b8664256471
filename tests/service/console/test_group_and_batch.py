"""`expofuse group` and `expofuse batch` on a small shoot, and all that may go wrong."""

import json
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest

from bench.shoots.cameras import CAMERAS
from bench.shoots.header_writer import write_exif
from bench.shoots.taken import Taken
from service.console.batch.sidecar import Sidecar
from tests import images
from tests.paths import ROOT
from tests.service.console.conftest import PNG

BASE = Taken(0.0, 0.01, drive="bracket", shots=2)


def write_frame(path, number, gain, at_s, *, drive="bracket"):
    """A picture of the test scene with the header of a camera that marks its brackets."""
    taken = replace(
        BASE, clock_s=1e9 + at_s, exposure_s=0.01 * gain, step_ev=gain - 1.0, drive=drive
    )
    exif = b"Exif\0\0" + write_exif(CAMERAS[0], taken, "123456")
    pixels = images.scene(gain=0.3 * gain)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(images.encoded("jpeg", pixels=pixels, exif=exif, quality=95))


@pytest.fixture
def shoot(tmp_path):
    """Three brackets of two and a single picture."""
    folder = tmp_path / "DCIM"
    for bracket in range(3):
        for shot, gain in enumerate((1.0, 3.0)):
            number = 1 + 2 * bracket + shot
            path = folder / f"IMG_{number:04}.JPG"
            write_frame(path, number, gain, 60.0 * bracket + shot)
    write_frame(folder / "IMG_0007.JPG", 7, 1.0, 600.0, drive="single")
    return folder


@pytest.fixture
def out(tmp_path):
    return tmp_path / "fused"


def lines(said):
    return [json.loads(line) for line in said.out.splitlines()]


def test_groups_are_written_as_json_and_as_text(shoot, tmp_path, expofuse):
    told = json.loads(expofuse("group", shoot).out)
    assert [one["files"] for one in told["brackets"]] == [
        ["IMG_0001.JPG", "IMG_0002.JPG"],
        ["IMG_0003.JPG", "IMG_0004.JPG"],
        ["IMG_0005.JPG", "IMG_0006.JPG"],
    ]
    assert told["singles"][0]["file"] == "IMG_0007.JPG"
    text = expofuse("group", shoot, "--text").out.decode()
    assert "bracket 3: 2 exposures over 2.0 EV, by the camera's bracket mark" in text
    assert expofuse("group", shoot, "-o", tmp_path / "groups.json").out == b""
    assert json.loads((tmp_path / "groups.json").read_bytes()) == told


def test_a_dry_run_tells_the_brackets_and_writes_nothing(shoot, out, expofuse):
    said = expofuse("batch", shoot, "-o", out, "--dry-run")
    assert said.code == 0
    assert b"bracket 1: 2 exposures" in said.out
    assert not out.exists()
    assert "brackets" in json.loads(expofuse("batch", shoot, "-o", out, "--dry-run", "--json").out)


def test_every_bracket_is_fused_and_remembered(shoot, out, expofuse):
    said = expofuse("batch", shoot, "-o", out, "--json", "--jobs", 2)
    assert said.code == 0, said.err
    *told, summary = lines(said)
    assert sorted(one["picture"] for one in told) == [
        "IMG_0001-fused.jpg",
        "IMG_0003-fused.jpg",
        "IMG_0005-fused.jpg",
    ]
    assert {one["status"] for one in told} == {"fused"}
    assert summary["summary"] == {"fused": 3}
    assert (out / "report.jsonl").read_bytes().count(b"\n") == 3
    sidecar = Sidecar.model_validate_json((out / "IMG_0001-fused.jpg.json").read_bytes())
    assert list(sidecar.inputs) == ["IMG_0001.JPG", "IMG_0002.JPG"]
    assert sidecar.weights.startswith("pyramid-blend-2.1.0 ")
    assert sidecar.report["order"] == [1, 2]
    page = (out / "contact-sheet.html").read_text()
    assert page.count("<img ") == 9
    assert "IMG_0007.JPG" in page
    assert "http" not in page.replace("http-equiv", "")


def test_the_picture_is_that_of_the_command_fuse(shoot, out, tmp_path, expofuse):
    expofuse("batch", shoot, "-o", out)
    expofuse("fuse", shoot / "IMG_0003.JPG", shoot / "IMG_0004.JPG", "-o", tmp_path / "one.jpg")
    assert (out / "IMG_0003-fused.jpg").read_bytes() == (tmp_path / "one.jpg").read_bytes()


def test_what_is_done_is_not_done_again(shoot, out, expofuse):
    expofuse("batch", shoot, "-o", out)
    written = {path: path.stat().st_mtime_ns for path in out.glob("*.jpg*")}
    *told, _ = lines(expofuse("batch", shoot, "-o", out, "--json"))
    assert {one["status"] for one in told} == {"up to date"}
    assert {path: path.stat().st_mtime_ns for path in out.glob("*.jpg*")} == written


@pytest.mark.parametrize("change", ["an input", "an option", "the weights"])
def test_what_changed_is_done_again(shoot, out, expofuse, change):
    expofuse("batch", shoot, "-o", out)
    options = []
    if change == "an input":
        write_frame(shoot / "IMG_0003.JPG", 3, 1.1, 60.0)
    elif change == "an option":
        options = ["--quality", "70"]
    else:
        options = ["--weights", "hyperp-mb-1.1.0"]
    *told, _ = lines(expofuse("batch", shoot, "-o", out, "--json", *options))
    fused = [one["bracket"] for one in told if one["status"] == "fused"]
    assert sorted(fused) == ([2] if change == "an input" else [1, 2, 3])


def test_results_below_the_folder_are_not_taken_for_pictures(shoot, expofuse):
    out = shoot / "fused"
    expofuse("batch", shoot, "-o", out)
    *told, _ = lines(expofuse("batch", shoot, "-o", out, "--json"))
    assert len(told) == 3


def test_one_bad_bracket_ends_no_other(shoot, out, expofuse):
    path = shoot / "IMG_0004.JPG"
    path.write_bytes(path.read_bytes()[:-400])
    said = expofuse("batch", shoot, "-o", out, "--json")
    assert said.code == 3
    *told, summary = lines(said)
    (failed,) = [one for one in told if one["status"] == "failed"]
    assert (failed["bracket"], failed["error"]["code"]) == (2, "image-damaged")
    assert summary["summary"] == {"fused": 2, "failed": 1}
    assert not (out / "IMG_0003-fused.jpg").exists()
    page = (out / "contact-sheet.html").read_text()
    assert "no picture" in page
    assert "Failed: " in page


def test_a_batch_of_which_nothing_succeeds_has_failed(shoot, out, expofuse):
    said = expofuse("batch", shoot, "-o", out, "--crop", "common", "--align", "require")
    assert said.code in (0, 1)  # What the scene lets align is not the point: see the next line.
    for path in shoot.glob("*.JPG"):
        path.write_bytes(path.read_bytes()[:-400])
    assert expofuse("batch", shoot, "-o", out).code == 1


def test_a_file_of_somebody_else_s_is_not_replaced(shoot, out, expofuse):
    out.mkdir()
    (out / "IMG_0001-fused.jpg").write_bytes(b"mine")
    said = expofuse("batch", shoot, "-o", out)
    assert said.code == 3
    assert "--overwrite" in said.err
    assert (out / "IMG_0001-fused.jpg").read_bytes() == b"mine"
    assert expofuse("batch", shoot, "-o", out, "--overwrite").code == 0
    assert (out / "IMG_0001-fused.jpg").read_bytes() != b"mine"


def test_an_end_between_sidecar_and_picture_is_no_change_of_somebody_else_s(shoot, out, expofuse):
    expofuse("batch", shoot, "-o", out)
    old = (out / "IMG_0001-fused.jpg").read_bytes()
    expofuse("batch", shoot, "-o", out, "--quality", 60)
    (out / "IMG_0001-fused.jpg").write_bytes(old)  # As if only the sidecar had been written.
    *told, _ = lines(expofuse("batch", shoot, "-o", out, "--quality", 60, "--json"))
    assert {one["bracket"]: one["status"] for one in told} == {
        1: "fused",
        2: "up to date",
        3: "up to date",
    }


def test_shards_together_do_all_of_it(shoot, out, expofuse):
    counts = []
    for part in ("1/2", "1+1/2"):
        *told, _ = lines(expofuse("batch", shoot, "-o", out, "--shard", part, "--json"))
        counts.append([one["bracket"] for one in told])
    assert sorted(counts[0]) == [1, 3]
    assert counts[1] == [2]
    assert sorted(path.name for path in out.glob("report*")) == [
        "report-1-of-2.jsonl",
        "report-2-of-2.jsonl",
    ]
    assert "3 with a picture" in (out / "contact-sheet.html").read_text()


@pytest.mark.parametrize("part", ["0/2", "3/2", "2+1/2", "1+2/4", "1", "a/b", "1/0"])
def test_a_shard_that_is_none_is_misuse(shoot, out, expofuse, part):
    assert expofuse("batch", shoot, "-o", out, "--shard", part).code == 2


def test_edited_groups_are_followed(shoot, out, tmp_path, expofuse):
    groups = tmp_path / "groups.json"
    expofuse("group", shoot, "-o", groups)
    document = json.loads(groups.read_bytes())
    first, second, _ = document["brackets"]
    document["brackets"] = [{"files": first["files"] + second["files"]}]
    groups.write_text(json.dumps(document))
    *told, _ = lines(expofuse("batch", shoot, "-o", out, "--groups", groups, "--json"))
    assert [one["files"] for one in told] == [[f"IMG_{n:04}.JPG" for n in (1, 2, 3, 4)]]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("{}", "brackets"),
        ('{"brackets": [{"files": ["IMG_0001.JPG", "gone.JPG"]}]}', "gone.JPG"),
        ("nothing", "expected groups"),
    ],
)
def test_groups_that_are_none_are_misuse(shoot, out, tmp_path, expofuse, text, sentence):
    groups = tmp_path / "groups.json"
    groups.write_text(text)
    said = expofuse("batch", shoot, "-o", out, "--groups", groups)
    assert said.code == 2
    assert sentence in said.err


def test_brackets_of_one_first_name_get_pictures_of_different_names(shoot, out, expofuse):
    groups = {"brackets": [{"files": ["IMG_0001.JPG", "IMG_0002.JPG"]}]}
    copy = shoot / "IMG_0001.png"
    copy.write_bytes(images.encoded(pixels=images.scene(gain=0.3)))
    groups["brackets"].append({"files": ["IMG_0001.png", "IMG_0003.JPG"]})
    (shoot / "groups.json").write_text(json.dumps(groups))
    *told, _ = lines(
        expofuse("batch", shoot, "-o", out, "--groups", shoot / "groups.json", "--json")
    )
    assert sorted(one["picture"] for one in told) == [
        "IMG_0001-jpg-fused.jpg",
        "IMG_0001-png-fused.png",
    ]


def test_a_service_fuses_the_brackets(shoot, out, server, expofuse):
    said = expofuse("batch", shoot, "-o", out, "--server", server.url, "--format", "png", "--json")
    assert said.code == 0, said.err
    *told, _ = lines(said)
    assert {one["weights"] for one in told} == {"w-1.0.0"}
    assert (out / "IMG_0001-fused.png").read_bytes() == PNG
    assert len(server.seen) == 3
    expofuse("batch", shoot, "-o", out, "--server", server.url, "--format", "png")
    assert len(server.seen) == 3


def test_a_service_that_refuses_a_bracket_is_told(shoot, out, server, expofuse):
    problem = {
        "type": "/problems/exposure-mismatch",
        "title": "No",
        "status": 422,
        "detail": "why",
        "request_id": "r1",
    }
    kind = {"Content-Type": "application/problem+json"}
    server.answer = (422, json.dumps(problem).encode(), kind)
    said = expofuse("batch", shoot, "-o", out, "--server", server.url, "--json")
    assert said.code == 1
    *told, _ = lines(said)
    assert {one["error"]["code"] for one in told} == {"exposure-mismatch"}


def test_weights_that_a_service_has_not_loaded_are_misuse(shoot, out, server, expofuse):
    said = expofuse("batch", shoot, "-o", out, "--server", server.url, "--weights", "x-1.0.0")
    assert said.code == 2
    assert "there are: w, w-1.0.0" in said.err


def test_a_folder_that_is_not_there_is_misuse(tmp_path, expofuse):
    assert expofuse("group", tmp_path / "missing").code == 2
    (tmp_path / "file").touch()
    said = expofuse("batch", tmp_path / "file", "-o", tmp_path / "out")
    assert (said.code, "is a file" in said.err) == (2, True)


def test_a_folder_without_brackets_is_no_failure(tmp_path, expofuse):
    (tmp_path / "in").mkdir()
    said = expofuse("batch", tmp_path / "in", "-o", tmp_path / "out")
    assert (said.code, said.out.splitlines()[0]) == (0, b"no brackets found")


def test_an_interrupted_batch_goes_on_where_it_ended(tmp_path, expofuse):
    folder, out = tmp_path / "DCIM", tmp_path / "out"
    for bracket in range(12):
        for shot, gain in enumerate((1.0, 3.0)):
            number = 1 + 2 * bracket + shot
            write_frame(folder / f"IMG_{number:04}.JPG", number, gain, 60.0 * bracket + shot)
    # A child of a shell without job control may have been told to ignore the signal.
    code = (
        "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler);"
        "from service.console.cli import main; sys.exit(main(sys.argv[1:]))"
    )
    command = [sys.executable, "-c", code, "batch", str(folder), "-o", str(out)]
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE)
    report = out / "report.jsonl"
    while process.poll() is None and not (report.exists() and report.read_bytes()):
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=120)
    done = report.read_bytes().count(b"\n")
    assert done >= 1
    if process.returncode:  # Otherwise it was done before the signal came.
        assert (process.returncode, b"interrupted" in said) == (130, True)
    assert not list(out.rglob("*.part"))
    *told, _ = lines(expofuse("batch", folder, "-o", out, "--json"))
    statuses = [one["status"] for one in told]
    assert len(statuses) == 12
    assert statuses.count("up to date") >= done
    assert "failed" not in statuses
