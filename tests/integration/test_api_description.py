"""Requests made up from the OpenAPI description, right and wrong ones, against the real server.

schemathesis compares every answer with the description: its status, media type, headers and form.
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.conftest import make_client, metric, server_settings
from tests.paths import ROOT
from tests.server import running_server

pytestmark = pytest.mark.e2e

# What a file holds, and which weights are loaded, no description can say: of requests that are
# right by it some are refused for that.
CHECKS = ("--checks", "all", "--exclude-checks", "positive_data_acceptance")
TIMEOUT_S = 1200


def try_out(server, folder, *options):
    """Let schemathesis make requests up; how many it made."""
    program = Path(sys.executable).with_name("schemathesis")
    ended = subprocess.run(
        [
            *(program, "run", f"{server.base_url}/openapi.json", *CHECKS, *options),
            *("--seed", "1", "--no-shrink", "--generation-database", "none", "--no-color"),
        ],
        cwd=folder,
        env=os.environ
        | {
            "NO_PROXY": "127.0.0.1",
            "PYTHONPATH": str(ROOT),
            "SCHEMATHESIS_HOOKS": "tests.integration.schemathesis_hooks",
        },
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    (count,) = re.findall(r"(\d+) generated, \1 passed", ended.stdout)
    return int(count)


def test_the_served_description_is_the_committed_one(client):
    committed = json.loads((ROOT / "docs" / "openapi.json").read_text())
    assert client.get("/openapi.json").json() == committed


def test_no_request_made_up_from_the_description_is_answered_otherwise(server, client, tmp_path):
    fused = metric(client, "requests_total", outcome="fused")
    count = try_out(server, tmp_path, "--phases", "fuzzing", "--max-examples", "8")
    assert count >= 8
    assert metric(client, "requests_total", outcome="fused") > fused
    assert metric(client, "requests_total", outcome="internal-error") == 0


def test_nor_is_one_to_a_service_that_keeps_jobs(weights, tmp_path):
    settings = server_settings(weights) | {"EXPOFUSE_STATE_DIR": str(tmp_path / "state")}
    with running_server(settings, log_path=tmp_path / "server.log") as server:
        jobs = ("--include-path-regex", "^/jobs", "--phases", "fuzzing", "--max-examples", "8")
        assert try_out(server, tmp_path, *jobs) >= 8
        with make_client(server) as client:
            assert client.get("/readyz").status_code == 200
        assert '"level": "error"' not in server.log()


@pytest.mark.slow
def test_no_request_on_a_boundary_of_the_description_is_answered_otherwise(
    server, client, tmp_path
):
    # The form of `/jobs` is that of `/fuse`; of two the fuzzer trips over files of its own making.
    one_form = ("--exclude-path-regex", "^/jobs$")
    many = ("--phases", "coverage,fuzzing", "--max-examples", "150")
    assert try_out(server, tmp_path, *one_form, *many) >= 300
    assert metric(client, "requests_total", outcome="internal-error") == 0
