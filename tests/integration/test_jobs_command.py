"""`expofuse jobs` and a real service: sent, looked at, fetched, removed."""

import json
import os
import subprocess
import sys

import pytest

from tests.integration.conftest import server_settings
from tests.paths import ROOT
from tests.server import running_server

pytestmark = pytest.mark.e2e

EXPOSURES = (ROOT / "examples/under.jpg", ROOT / "examples/over.jpg")


def run(*arguments, key=None):
    environment = {name: value for name, value in os.environ.items() if "EXPOFUSE" not in name}
    environment |= {"EXPOFUSE_API_KEY": key} if key else {}
    return subprocess.run(
        [sys.executable, "-m", "service", *map(str, arguments)],
        cwd=ROOT, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def keyed(tmp_path_factory):
    """A service that keeps jobs and asks for a key; its URL and a key."""
    folder = tmp_path_factory.mktemp("jobs-command")
    added = run("keys", "add", "tester", "--file", folder / "keys.json", "--json")
    settings = server_settings("pyramid-blend-2.1.0") | {
        "EXPOFUSE_STATE_DIR": str(folder / "state"),
        "EXPOFUSE_KEYS__FILE": str(folder / "keys.json"),
    }
    with running_server(settings, log_path=folder / "server.log") as server:
        yield server.base_url, json.loads(added.stdout)["key"]


def test_a_job_is_sent_listed_fetched_and_removed(keyed, tmp_path):
    url, key = keyed
    sent = run("jobs", "submit", *EXPOSURES, "--format", "png", "--server", url, key=key)
    assert (sent.returncode, sent.stderr) == (0, "")
    job = sent.stdout.strip()
    out = tmp_path / "fused.png"
    fetched = run("jobs", "fetch", job, "-o", out, "--wait", "--json", "--server", url, key=key)
    assert fetched.returncode == 0, fetched.stderr
    here = run("fuse", *EXPOSURES, "-o", tmp_path / "here.png", "--json")
    assert out.read_bytes() == (tmp_path / "here.png").read_bytes()
    told, told_here = json.loads(fetched.stdout), json.loads(here.stdout)
    assert told == {name: told_here[name] for name in told} | {"out": out.as_posix()}
    shown = run("jobs", "show", job, "--server", url, key=key)
    assert shown.stdout.startswith("done; accepted 20")
    listed = run("jobs", "list", "--server", url, "--json", key=key)
    assert [one["id"] for one in json.loads(listed.stdout)["jobs"]] == [job]
    assert run("jobs", "cancel", job, "--server", url, key=key).returncode == 0
    gone = run("jobs", "show", job, "--server", url, "--json", key=key)
    assert gone.returncode == 1
    assert json.loads(gone.stdout)["error"]["code"] == "no-such-job"


def test_what_cannot_be_done_is_said(keyed, tmp_path):
    url, key = keyed
    assert run("jobs", "list", "--server", url).returncode == 1
    nothing = run("jobs", "submit", tmp_path / "none.jpg", EXPOSURES[0], "--server", url, key=key)
    assert nothing.returncode == 1
    assert "none.jpg" in nothing.stderr
    in_vain = run("jobs", "fetch", "abc", "-o", tmp_path / "a.jpg", "--timeout", "3")
    assert in_vain.returncode == 2
    assert "--wait" in in_vain.stderr
    assert not (tmp_path / "a.jpg").exists()
