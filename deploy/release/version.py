"""The version stands in `pyproject.toml`; this makes the images' tags everywhere follow it.

`python -m deploy.release.version 1.1.0` sets it.
"""

import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

PLACES = (
    "Dockerfile",
    "docker-compose*.yml",
    "README.md",
    "deploy/**/*",
    "docs/**/*.md",
    "k8s/**/*",
)
"""Patterns of files that may name an image. `make manifests` writes the chart's tags."""

TAG = re.compile(r"(\bexpofuse(?:-trainer)?:|newTag: |ARG VERSION=)(\d+\.\d+\.\d+)")
NUMBER = re.compile(r"\d+\.\d+\.\d+")
_LINE = re.compile(r'^version = "(.*)"$', re.MULTILINE)


class VersionError(ValueError):
    """It is no version, or not the project's."""


def read_version(root: Path = ROOT) -> str:
    """The version of the project."""
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    return str(project["version"])


def find_tags(root: Path = ROOT) -> dict[Path, set[str]]:
    """The versions in the tags of our images, by the file that names them."""
    found = {}
    for path in _list_places(root):
        if tags := TAG.findall(path.read_text()):
            found[path] = {version for _, version in tags}
    return found


def set_version(version: str, root: Path = ROOT) -> None:
    """Write the version to its place, and to the tags that follow it.

    Raises:
        VersionError: It is not three numbers with dots between them.
    """
    if not NUMBER.fullmatch(version):
        raise VersionError(f"expected a version as 1.2.3, got {version!r}")
    project = root / "pyproject.toml"
    project.write_text(_LINE.sub(f'version = "{version}"', project.read_text(), count=1))
    for path in find_tags(root):
        path.write_text(TAG.sub(rf"\g<1>{version}", path.read_text()))


def _list_places(root: Path) -> Iterator[Path]:
    for pattern in PLACES:
        for path in sorted(root.glob(pattern)):
            if path.is_file() and "__pycache__" not in path.parts:
                yield path


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m deploy.release.version VERSION")
    set_version(sys.argv[1])
