"""Writes what the images install, with the hash of every file: `python -m deploy.release.lock`.

Versions are those of `constraints.txt`. The resolution holds for every platform, so that images of
both processors are made of one file.
"""

import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

from deploy.release.version import ROOT

LOCKS: dict[str, tuple[str, ...]] = {
    "requirements-cpu.lock": ("service", "raw"),
    "requirements-cuda.lock": ("service", "raw", "cuda"),
}
"""The extras of each image, as in the Dockerfile."""

PYTHON_VERSION = "3.11"
"""Of the images, and the oldest that the project takes."""

HEAD = (
    "# Written by `make lock` from pyproject.toml and constraints.txt.\n"
    "# pip install --require-hashes --no-deps --requirement {name}\n"
)


class LockError(RuntimeError):
    """The versions cannot be resolved, or no registry answers."""


def make_lock(name: str) -> str:
    """The content of a lock.

    Raises:
        LockError: See there.
    """
    command = [str(Path(sysconfig.get_path("scripts")) / "uv")]
    command += [
        *("pip", "compile", "pyproject.toml", "--constraint", "constraints.txt", "--universal"),
        *("--python-version", PYTHON_VERSION, "--generate-hashes", "--no-config", "--quiet"),
        *("--no-header", "--no-annotate", "--no-emit-index-url", "--no-emit-find-links"),
    ]
    for extra in LOCKS[name]:
        command += ["--extra", extra]
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / name
        # Where a version is free, as those of CUDA's libraries, it stays as it was.
        if (ROOT / name).exists():
            shutil.copy(ROOT / name, out)
        done = subprocess.run(
            [*command, "--output-file", str(out)],
            cwd=ROOT,
            env=os.environ | {"UV_NO_PROGRESS": "1"},
            capture_output=True,
            text=True,
        )
        if done.returncode:
            raise LockError(done.stderr)
        return HEAD.format(name=name) + out.read_text()


def main() -> None:
    """Write all locks."""
    for name in LOCKS:
        (ROOT / name).write_text(make_lock(name))
        sys.stdout.write(f"{name}\n")


if __name__ == "__main__":
    main()
