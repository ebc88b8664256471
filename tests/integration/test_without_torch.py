"""Where torch cannot be imported the CPU fuses by either network, here and in the service.

The interpreter is one of a virtual environment that has every package of this one, and a finder
that refuses torch in every process that starts.
"""

import os
import subprocess
import sysconfig
import venv
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
TIMEOUT_S = 600


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> str:
    """An interpreter that has no torch, nor have its children."""
    folder = tmp_path_factory.mktemp("venv")
    venv.create(folder, symlinks=True)
    (packages,) = folder.glob("lib/python*/site-packages")
    (packages / "block_torch.py").write_text(BLOCK)
    ours = sysconfig.get_path("purelib")
    (packages / "block.pth").write_text(
        f"import site; site.addsitedir({ours!r})\nimport block_torch\n"
    )
    return str(folder / "bin" / "python")


def run(python: str, folder: Path, *arguments: str, **settings: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [python, *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT), **settings},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
    )


def test_the_block_blocks(python: str, tmp_path: Path) -> None:
    assert "No module named 'torch'" in run(python, tmp_path, "-c", "import torch").stderr


@pytest.mark.parametrize("version", VERSIONS)
def test_the_front_door_fuses_a_pair(python: str, tmp_path: Path, version: str) -> None:
    pair = np.stack([images.scene(gain=0.3), images.scene()])
    np.save(tmp_path / "pair.npy", pair)
    done = run(python, tmp_path, "-c", FUSE, version)
    assert done.returncode == 0, done.stderr
    here = expofuse.fuse(*pair, weights=version, device="cpu")
    np.testing.assert_array_equal(np.load(tmp_path / "fused.npy"), here)


@pytest.mark.parametrize("command", [["verify", "--all"], ["list"]])
def test_weights_are_verified_and_listed(python: str, tmp_path: Path, command: list[str]) -> None:
    arguments = ["-m", "service", "weights", *command, "--dir", str(WEIGHTS)]
    done = run(python, tmp_path, *arguments)
    assert done.returncode == 0, done.stderr + done.stdout
    assert all(version in done.stdout for version in VERSIONS)
    assert "failed" not in done.stdout


def test_a_device_of_cuda_is_refused_with_what_to_install(python: str, tmp_path: Path) -> None:
    settings = {"EXPOFUSE_DEVICE": "cuda", "EXPOFUSE_WEIGHTS": VERSIONS[-1]}
    done = run(python, tmp_path, "-m", "service", "serve", **settings)
    assert done.returncode == 1
    assert "it is not installed: pip install 'expofuse[cuda]' does it" in done.stderr


@pytest.mark.e2e
def test_the_service_fuses_a_pair_by_each_network(
    python: str, tmp_path: Path, under: bytes, over: bytes
) -> None:
    settings = {
        **server_settings(",".join(VERSIONS)),
        "EXPOFUSE_DEVICE": "auto",
    }
    with (
        running_server(settings, log_path=tmp_path / "log", python=python) as server,
        make_client(server) as client,
    ):
        for version in VERSIONS:
            files = {"under": ("under", under), "over": ("over", over)}
            answer = client.post(f"/fuse?weights={version}", files=files)
            assert answer.status_code == 200, answer.text
            assert answer.headers["X-Expofuse-Weights"] == version
