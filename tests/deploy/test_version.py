"""The version stands in one place, and everything that names an image follows it."""

import shutil
from pathlib import Path

import pytest

from deploy.release.version import VersionError, find_tags, read_version, set_version
from expofuse.package_version import package_version

NAMES_AN_IMAGE = {
    "Dockerfile",
    "docker-compose.yml",
    "deploy/build_image.sh",
    "docs/deployment.md",
    "k8s/base/kustomization.yaml",
    "k8s/components/gpu/kustomization.yaml",
    "k8s/jobs/batch/kustomization.yaml",
    "k8s/jobs/group/kustomization.yaml",
    "k8s/jobs/training/kustomization.yaml",
}


def test_every_image_carries_the_version_of_the_project(repository: Path) -> None:
    tags = {str(path.relative_to(repository)): found for path, found in find_tags().items()}
    assert tags.keys() >= NAMES_AN_IMAGE
    assert {name for name, found in tags.items() if found != {read_version()}} == set()


def test_the_installed_package_is_of_this_version() -> None:
    assert package_version() == read_version(), "make venv-dev"


def test_a_new_version_is_set_in_one_place_and_follows_in_all_others(
    repository: Path, tmp_path: Path
) -> None:
    for name in ("pyproject.toml", *sorted(NAMES_AN_IMAGE)):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(repository / name, tmp_path / name)
    set_version("12.34.56", tmp_path)
    assert read_version(tmp_path) == "12.34.56"
    assert set(map(frozenset, find_tags(tmp_path).values())) == {frozenset({"12.34.56"})}
    base = (tmp_path / "k8s/base/kustomization.yaml").read_text()
    assert "newTag: 12.34.56-cpu" in base


@pytest.mark.parametrize("version", ["1.2", "v1.2.3", "1.2.3rc1", ""])
def test_what_is_no_version_changes_nothing(version: str, tmp_path: Path) -> None:
    with pytest.raises(VersionError, match="expected a version"):
        set_version(version, tmp_path)
    assert list(tmp_path.iterdir()) == []
