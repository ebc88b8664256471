"""`expofuse batch --engine ray`: as the plain loop, on a cluster of which a node dies."""

import importlib.util
import json
import os
import subprocess
import sys

import pytest

from bench.ray_cluster import ENVIRONMENT, run_cluster
from tests import images
from tests.paths import ROOT

BRACKETS = 24
DAMAGED, FOREIGN = 3, 7
EXPOFUSE = [sys.executable, "-m", "service"]


@pytest.fixture
def shoot(tmp_path):
    """Brackets of two, of which one is damaged; in the order of their numbers."""
    folder = tmp_path / "shoot"
    folder.mkdir()
    brackets = []
    for number in range(1, BRACKETS + 1):
        names = [f"{number:02}-{role}.jpg" for role in ("under", "over")]
        for name, gain in zip(names, (0.3 + number / 100, 0.9), strict=True):
            pixels = images.scene(700, 1000, gain=gain)
            (folder / name).write_bytes(images.encoded("jpeg", pixels=pixels))
        brackets.append({"files": names})
    damaged = folder / brackets[DAMAGED - 1]["files"][1]
    damaged.write_bytes(damaged.read_bytes()[:-4000])
    (folder / "groups.json").write_text(json.dumps({"brackets": brackets}))
    return folder


@pytest.fixture
def cluster():
    with run_cluster() as (process, address):
        process.address = address
        yield process


def read_rows(out):
    rows = [json.loads(line) for line in (out / "report.jsonl").read_text().splitlines()]
    for row in rows:
        assert row.pop("seconds") >= 0
    return sorted(rows, key=lambda row: row["bracket"])


def read_results(out):
    return {path.name: path.read_bytes() for path in out.iterdir() if path.name != "report.jsonl"}


def make_folder(path):
    """A folder of results in which somebody else's picture lies."""
    path.mkdir()
    (path / f"{FOREIGN:02}-under-fused.jpg").write_bytes(b"mine")
    return path


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="the extra ray is not there")
def test_a_node_that_dies_loses_nothing_and_nothing_is_done_twice(
    shoot, tmp_path, cluster, expofuse
):
    plain, out = make_folder(tmp_path / "plain"), make_folder(tmp_path / "ray")
    groups = ["--groups", shoot / "groups.json"]
    assert expofuse("batch", shoot, "-o", plain, *groups).code == 3

    command = [*EXPOFUSE, "batch", shoot, "-o", out, *groups]
    command += ["--engine", "ray", "--readers", "1", "--jobs", "3"]
    environment = {**os.environ, **ENVIRONMENT, "RAY_ADDRESS": cluster.address}
    with subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE) as process:
        cluster.stdin.write("kill\n")
        cluster.stdin.flush()
        if cluster.stdout.readline() != "killed\n":
            process.kill()
            raise AssertionError("no node was killed")
        written = {path: path.stat() for path in out.glob("*.jpg") if path.stat().st_size > 4}
        assert len(written) < BRACKETS - 2  # It was in the middle.
        _, said = process.communicate(timeout=240)
    assert process.returncode == 3, said.decode()
    for path, before in written.items():
        now = path.stat()
        assert (now.st_ino, now.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert read_rows(out) == read_rows(plain)
    assert read_results(out) == read_results(plain)

    assert subprocess.run(command, cwd=ROOT, env=environment, timeout=240).returncode == 3
    statuses = [row["status"] for row in read_rows(out)]
    assert (statuses.count("up to date"), statuses.count("failed")) == (BRACKETS - 2, 2)


def test_without_the_extra_the_command_says_what_to_install(shoot, tmp_path):
    code = (
        "import sys; sys.modules['ray'] = None;"
        "from service.console.cli import main; sys.exit(main(sys.argv[1:]))"
    )
    command = [sys.executable, "-c", code, "batch", shoot, "-o", tmp_path / "out"]
    command += ["--engine", "ray", "--json"]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, timeout=120)
    assert ended.returncode == 1
    error = json.loads(ended.stdout)["error"]
    assert error["code"] == "not-installed"
    assert "expofuse[ray]" in error["message"]


@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="the extra ray is not there")
def test_a_cluster_that_is_not_there_is_told_at_once(shoot, tmp_path):
    command = [*EXPOFUSE, "batch", shoot, "-o", tmp_path / "out"]
    command += ["--groups", shoot / "groups.json", "--engine", "ray", "--json"]
    environment = {**os.environ, **ENVIRONMENT, "RAY_ADDRESS": "127.0.0.1:9"}
    ended = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, timeout=120)
    assert ended.returncode == 1
    assert json.loads(ended.stdout)["error"]["code"] == "no-cluster"
    assert not list((tmp_path / "out").glob("*.jpg"))


@pytest.mark.parametrize(
    "options",
    [("--engine", "ray", "--server", "http://127.0.0.1:9"), ("--readers", "2")],
    ids=["a service and a cluster", "readers of the plain loop"],
)
def test_options_that_contradict_each_other_are_misuse(shoot, tmp_path, expofuse, options):
    assert expofuse("batch", shoot, "-o", tmp_path / "out", *options).code == 2
    assert not (tmp_path / "out").exists()


def test_ray_is_imported_only_where_it_is_chosen(shoot, tmp_path):
    groups = {"brackets": [{"files": ["01-under.jpg", "01-over.jpg"]}]}
    (shoot / "groups.json").write_text(json.dumps(groups))
    code = (
        "import sys; from service.console.cli import main; code = main(sys.argv[1:]);"
        "sys.exit(code or any(name.partition('.')[0] == 'ray' for name in sys.modules))"
    )
    command = [sys.executable, "-c", code, "batch", shoot, "-o", tmp_path / "out"]
    command += ["--groups", shoot / "groups.json"]
    subprocess.run(command, cwd=ROOT, check=True, timeout=120)
