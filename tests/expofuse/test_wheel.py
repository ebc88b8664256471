"""The wheel in an environment of its own, outside the checkout: the front door finds its weights.

The dependencies are those of this environment, which the other one is shown by a path file. The
build fetches its compiler from the package registry, as an installation does.
"""

import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

from tests.paths import ROOT

pytestmark = pytest.mark.slow

SOURCES = ("expofuse", "model", "service", "trainer", "weights")
FILES = ("pyproject.toml", "setup.py", "README.md", "LICENSE", "NOTICE")
LEFT = ("__pycache__", "*.so")
PIP = ("-m", "pip", "--disable-pip-version-check", "--quiet")

FUSE = """
import sys
from pathlib import Path

import expofuse
from expofuse import fuse

under, over, out = map(Path, sys.argv[1:])
picture, report = fuse(under, over, return_report=True)
out.write_bytes(picture)
print(expofuse.__file__)
print(report.weights)
"""


def run(*command, cwd):
    ended = subprocess.run(
        [str(part) for part in command], cwd=cwd, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The folder of an environment into which the project's wheel was installed."""
    folder = tmp_path_factory.mktemp("wheel")
    source, built, environment = folder / "source", folder / "built", folder / "environment"
    source.mkdir()
    # A copy: a build leaves folders of its own beside the sources.
    for name in SOURCES:
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns(*LEFT))
    for name in FILES:
        shutil.copy(ROOT / name, source / name)
    build = ("wheel", "--no-deps", "--wheel-dir", built)
    run(sys.executable, *PIP, *build, source, cwd=folder)
    shutil.rmtree(source)
    venv.create(environment, with_pip=False, symlinks=True)
    python = environment / "bin" / "python"
    (wheel,) = built.glob("*.whl")
    install = ("--python", python, "install", "--no-deps", "--no-index", wheel)
    run(sys.executable, *PIP, *install, cwd=folder)
    code = "import sysconfig; print(sysconfig.get_path('purelib'))"
    packages = run(python, "-c", code, cwd=folder).strip()
    places = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    Path(packages, "dependencies.pth").write_text("\n".join(sorted(places)))
    return environment


@pytest.fixture
def elsewhere(installed, tmp_path, monkeypatch):
    monkeypatch.delenv("PYTHONPATH", raising=False)
    for name in ("under.jpg", "over.jpg"):
        shutil.copy(ROOT / "examples" / name, tmp_path / name)
    return tmp_path


def test_python_and_the_console_fuse_alike_outside_the_checkout(installed, elsewhere):
    python, console = (installed / "bin" / name for name in ("python", "expofuse"))
    files = ("under.jpg", "over.jpg")
    file, weights = run(python, "-c", FUSE, *files, "a.jpg", cwd=elsewhere).split()
    assert file.startswith(str(installed))
    assert weights == "pyramid-blend-2.1.0"
    said = run(console, "fuse", *files, "b.jpg", cwd=elsewhere)
    assert said.startswith("pyramid-blend-2.1.0; identity; inliers=")
    picture = (elsewhere / "a.jpg").read_bytes()
    assert picture.startswith(b"\xff\xd8")
    assert picture == (elsewhere / "b.jpg").read_bytes()
    packages = next(installed.glob("lib/python*/site-packages"))
    assert (packages / "expofuse" / "py.typed").is_file()
    assert (packages / "model" / "py.typed").is_file()
