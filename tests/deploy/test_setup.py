"""The pins cover the extras, and make says plainly what is missing."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version


@pytest.fixture
def pins(repository: Path) -> dict[str, Version]:
    lines = (repository / "constraints.txt").read_text().splitlines()
    pairs = [line.split("==") for line in lines if not line.startswith("#")]
    return {canonicalize_name(name): Version(version) for name, version in pairs}


def test_every_dependency_is_pinned_within_its_range(
    repository: Path, pins: dict[str, Version]
) -> None:
    project = tomllib.loads((repository / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    expected = {"client", "cuda", "heic", "jxl", "nvimagecodec", "otel", "raw", "ray", "service"}
    expected |= {"trainer", "docs", "dev"}
    assert extras.keys() == expected
    names = [*project["dependencies"], *(name for extra in extras.values() for name in extra)]
    for requirement in map(Requirement, names):
        version = pins.get(canonicalize_name(requirement.name))
        assert version is not None, f"{requirement.name} is not pinned"
        assert version in requirement.specifier, requirement


def test_torch_is_pinned_without_its_build_and_without_cuda_packages(
    pins: dict[str, Version],
) -> None:
    assert pins["torch"].local is None
    of_cuda = {name for name in pins if re.match(r"nvidia-|cuda-|triton$", name)}
    # What an extra has without torch, and what compiles the GPU's kernels in tests.
    of_extra = {"nvidia-nvimgcodec-cu13", "nvidia-nvjpeg"}
    assert of_cuda == of_extra | {"cuda-bindings", "cuda-pathfinder", "nvidia-cuda-nvrtc"}


def run_make(repository: Path, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    names = ["Makefile", "pyproject.toml", "constraints.txt", "setup.py"]
    kernels = sorted((repository / "model" / "kernels").glob("*.[ch]"))
    names += [str(path.relative_to(repository)) for path in kernels]
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(repository / name, folder / name)
    return subprocess.run(["make", *arguments], cwd=folder, capture_output=True, text=True)


def test_make_says_which_python_is_missing(repository: Path, tmp_path: Path) -> None:
    done = run_make(repository, tmp_path, "venv", "PYTHON=no-such-python")
    assert done.returncode != 0
    assert "no-such-python not found: expofuse needs Python 3.11 or newer" in done.stderr
    assert not (tmp_path / ".venv").exists()


def test_make_names_a_python_that_is_too_old(repository: Path, tmp_path: Path) -> None:
    # The real interpreter under an older version number: what matters is make's own check.
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.version_info = (3, 10, 4)\n")
    old = tmp_path / "old-python"
    old.write_text(f'#!/bin/sh\nPYTHONPATH="$(dirname "$0")" exec {sys.executable} "$@"\n')
    old.chmod(0o755)
    done = run_make(repository, tmp_path, "venv", f"PYTHON={old}")
    assert done.returncode != 0
    assert f"expofuse needs Python 3.11 or newer; {old} is 3.10" in done.stderr
    assert not (tmp_path / ".venv").exists()


def test_make_serve_and_test_stand_on_the_virtual_environment(
    repository: Path, tmp_path: Path
) -> None:
    for target in ("serve", "test"):
        plan = run_make(repository, tmp_path, "--dry-run", target).stdout
        installs = [line for line in plan.splitlines() if " pip install " in line]
        assert installs, target
        assert all("--constraint constraints.txt" in line for line in installs)


def test_make_installs_torch_for_cuda_alone(repository: Path, tmp_path: Path) -> None:
    for device, extras in (
        ("cpu", ".[service,client,raw]"),
        ("cuda", ".[service,client,raw,cuda]"),
    ):
        plan = run_make(repository, tmp_path, "--dry-run", "serve", f"DEVICE={device}").stdout
        (install,) = [line for line in plan.splitlines() if " pip install " in line]
        assert install.endswith(f"--editable '{extras}'")
        assert f"EXPOFUSE_DEVICE=${{EXPOFUSE_DEVICE:-{device}}}" in plan


@pytest.mark.parametrize(("answer", "device"), [("exit 9", "cpu"), ("echo GPU 0: X", "cuda")])
def test_make_takes_the_device_that_the_driver_names(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: str, device: str
) -> None:
    tool = tmp_path / "bin/nvidia-smi"
    tool.parent.mkdir()
    tool.write_text(f"#!/bin/sh\n{answer}\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tool.parent}:{os.environ['PATH']}")
    plan = run_make(repository, tmp_path, "--dry-run", "serve").stdout
    assert f"EXPOFUSE_DEVICE:-{device}" in plan


def test_make_refuses_a_device_that_is_none(repository: Path, tmp_path: Path) -> None:
    done = run_make(repository, tmp_path, "serve", "DEVICE=tpu")
    assert done.returncode != 0
    assert "expected DEVICE=cpu or DEVICE=cuda, got 'tpu'" in done.stderr


def test_torch_is_of_the_extras_for_cuda_and_the_trainer_alone(repository: Path) -> None:
    project = tomllib.loads((repository / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    needing = {name for name, needs in extras.items() if any("torch" in one for one in needs)}
    assert needing == {"cuda", "trainer"}
    assert not any("torch" in one for one in project["dependencies"])
