"""A start that must not succeed ends with one sentence, and with an exit code that is not zero."""

import shutil
import socket
import subprocess
import sys

import pytest

from tests.paths import ROOT
from tests.server import free_port, server_environment

pytestmark = pytest.mark.e2e

START_TIMEOUT_S = 120.0


def start(**overrides: str) -> tuple[int, list[str]]:
    """Exit code and the last lines of a server that is expected to refuse its start."""
    ended = subprocess.run(
        [sys.executable, "-m", "service", "serve"],
        cwd=ROOT,
        env=server_environment(free_port(), {"EXPOFUSE_CODEC__PROCESSES": "1", **overrides}),
        capture_output=True,
        text=True,
        timeout=START_TIMEOUT_S,
        check=False,
    )
    return ended.returncode, ended.stderr.splitlines()


def test_a_misspelt_setting_stops_the_start_with_one_sentence():
    code, lines = start(EXPOFUSE_PROT="8000")
    assert code == 2
    assert lines == [
        "expofuse: EXPOFUSE_PROT is not a setting of this service; did you mean EXPOFUSE_PORT?"
    ]


def test_a_taken_port_stops_the_start_with_one_sentence():
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        code, lines = start(EXPOFUSE_PORT=str(port))
    assert code == 1
    assert lines == [f"expofuse: cannot listen on 127.0.0.1 port {port}: Address already in use"]


def test_weights_that_are_not_there_stop_the_start():
    code, lines = start(EXPOFUSE_WEIGHTS="nobody-9.9.9")
    assert code == 1
    assert lines[-1].startswith("expofuse: expected manifest.json in the weights directory")


@pytest.mark.parametrize("before", ["", "sound"])
def test_weights_whose_hash_differs_stop_the_start(weights, tmp_path, before):
    name, _, number = weights.rpartition("-")
    copy = tmp_path / weights
    shutil.copytree(ROOT / "weights" / weights, copy)
    parameters = copy / "network.safetensors"
    damaged = bytearray(parameters.read_bytes())
    damaged[-1] ^= 1
    parameters.write_bytes(damaged)
    served = weights
    if before:
        # A version that passes, under another label, does not make up for one that does not.
        sound = tmp_path / f"{before}-{number}"
        shutil.copytree(ROOT / "weights" / weights, sound)
        manifest = sound / "manifest.json"
        manifest.write_text(
            manifest.read_text().replace(f'"name": "{name}"', f'"name": "{before}"')
        )
        served = f"{sound.name},{weights}"
    code, lines = start(EXPOFUSE_WEIGHTS=served, EXPOFUSE_WEIGHTS_DIR=str(tmp_path))
    assert code == 1
    assert f"'{weights}': network.safetensors has SHA-256" in lines[-1]


def test_two_versions_of_one_label_stop_the_start(weights):
    path = ROOT / "weights" / weights
    code, lines = start(EXPOFUSE_WEIGHTS=f"{weights},{path}")
    assert code == 1
    assert lines[-1] == f"expofuse: expected weights of different labels, got '{weights}' 2 times"


def test_an_empty_version_in_the_list_stops_the_start_with_one_sentence(weights):
    code, lines = start(EXPOFUSE_WEIGHTS=f"{weights},")
    assert code == 2
    assert lines == [
        "expofuse: EXPOFUSE_WEIGHTS: expected weights versions separated by commas, "
        f"one of them is empty, got '{weights},'"
    ]


def test_a_device_that_is_not_there_stops_the_start(weights):
    code, lines = start(EXPOFUSE_WEIGHTS=weights, EXPOFUSE_DEVICE="cuda:63")
    assert code == 1
    assert "got 'cuda:63'" in lines[-1]
