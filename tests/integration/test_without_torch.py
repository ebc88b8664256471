"""Where torch cannot be imported the CPU fuses by either network, here and in the service.

The block stands in every process that starts: whoever imports torch there, fails.
"""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import expofuse
from tests import images
from tests.integration.conftest import make_client, server_settings
from tests.paths import ROOT
from tests.server import running_server

BLOCK = '''
import sys


class Blocker:
    """Refuses torch, as a machine does that has none."""

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "functorch", "torchgen"):
            raise ModuleNotFoundError(f"No module named '{name}'", name=name)


sys.meta_path.insert(0, Blocker())
'''
WEIGHTS = ROOT / "weights"
VERSIONS = sorted(path.parent.name for path in WEIGHTS.glob("*/manifest.json"))
FUSE = """
import sys
import numpy as np
import expofuse
under, over = np.load("pair.npy")
np.save("fused.npy", expofuse.fuse(under, over, weights=sys.argv[1], device="auto"))
assert "torch" not in sys.modules
"""
TIMEOUT_S = 120


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """An environment whose interpreters have no torch."""
    folder = tmp_path / "block"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(BLOCK)
    paths = [str(folder), str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}


def run(environment: dict[str, str], folder: Path, *arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, *arguments],
        env=environment,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
    )


def test_the_block_blocks(environment: dict[str, str], tmp_path: Path) -> None:
    assert "No module named 'torch'" in run(environment, tmp_path, "-c", "import torch").stderr


@pytest.mark.parametrize("version", VERSIONS)
def test_the_front_door_fuses_a_pair(
    environment: dict[str, str], tmp_path: Path, version: str
) -> None:
    pair = np.stack([images.scene(gain=0.3), images.scene()])
    np.save(tmp_path / "pair.npy", pair)
    done = run(environment, tmp_path, "-c", FUSE, version)
    assert done.returncode == 0, done.stderr
    here = expofuse.fuse(*pair, weights=version, device="cpu")
    np.testing.assert_array_equal(np.load(tmp_path / "fused.npy"), here)


@pytest.mark.parametrize("command", [["verify", "--all"], ["list"]])
def test_weights_are_verified_and_listed(
    environment: dict[str, str], tmp_path: Path, command: list[str]
) -> None:
    arguments = ["-m", "service", "weights", *command, "--dir", str(WEIGHTS)]
    done = run(environment, tmp_path, *arguments)
    assert done.returncode == 0, done.stderr + done.stdout
    assert all(version in done.stdout for version in VERSIONS)
    assert "failed" not in done.stdout


def test_a_device_of_cuda_is_refused_with_what_to_install(
    environment: dict[str, str], tmp_path: Path
) -> None:
    settings = {"EXPOFUSE_DEVICE": "cuda", "EXPOFUSE_WEIGHTS": VERSIONS[-1]}
    done = run(environment | settings, tmp_path, "-m", "service", "serve")
    assert done.returncode == 1
    assert "it is not installed: pip install 'expofuse[cuda]' does it" in done.stderr


@pytest.mark.e2e
def test_the_service_fuses_a_pair_by_each_network(
    environment: dict[str, str], tmp_path: Path, under: bytes, over: bytes
) -> None:
    settings = {
        **server_settings(",".join(VERSIONS)),
        "PYTHONPATH": environment["PYTHONPATH"],
        "EXPOFUSE_DEVICE": "auto",
    }
    with (
        running_server(settings, log_path=tmp_path / "log") as server,
        make_client(server) as client,
    ):
        for version in VERSIONS:
            files = {"under": ("under", under), "over": ("over", over)}
            answer = client.post(f"/fuse?weights={version}", files=files)
            assert answer.status_code == 200, answer.text
            assert answer.headers["X-Expofuse-Weights"] == version
