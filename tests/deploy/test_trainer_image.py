"""The trainer's image is made of what is there, and runs with as few rights as the Job gives it."""

import re
import tomllib
from fnmatch import fnmatch

import pytest
import yaml

from tests.paths import ROOT

DOCKERFILE = ROOT / "deploy/trainer.Dockerfile"


@pytest.fixture(scope="module")
def text() -> str:
    return DOCKERFILE.read_text()


def list_copied(text: str) -> list[str]:
    """What comes from the repository, not from another stage."""
    lines = re.findall(r"^COPY (?!--from)(.+)$", text, re.MULTILINE)
    return [name for line in lines for name in line.split()[:-1]]


def test_everything_that_is_copied_is_there_and_let_in(text: str) -> None:
    ignore = DOCKERFILE.with_name(f"{DOCKERFILE.name}.dockerignore").read_text().splitlines()
    assert "*" in ignore
    let_in = {line[1:] for line in ignore if line.startswith("!")}
    copied = list_copied(text)
    assert all((ROOT / name).exists() for name in copied)
    assert set(copied) == let_in


def test_what_the_package_is_built_of_is_all_copied(text: str) -> None:
    tools = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]
    packages = {name.rstrip("*") for name in tools["setuptools"]["packages"]["find"]["include"]}
    assert "trainer" in packages
    assert packages <= set(list_copied(text))


def test_the_config_of_the_job_and_what_it_goes_on_from_are_in_the_image(text: str) -> None:
    from trainer.config import load_config

    job = yaml.safe_load((ROOT / "k8s/jobs/training/job.yaml").read_text())
    (container,) = job["spec"]["template"]["spec"]["containers"]
    (path,) = (one for one in container["args"] if one.endswith(".toml"))
    start = load_config(ROOT / path).optim.start_weights
    assert "WORKDIR /opt/expofuse\n" in text
    assert "COPY docs/runs /opt/expofuse/docs/runs\n" in text
    for name in (path, start):
        assert any(fnmatch(str(name), f"{copied}/*") for copied in list_copied(text)), name


def test_the_image_has_the_service_images_user_and_one_base(text: str) -> None:
    service = (ROOT / "Dockerfile").read_text()
    users = [re.findall(r"^USER (\S+)$", one, re.MULTILINE) for one in (text, service)]
    assert users[0] == users[1] == ["10001:10001"]
    # The virtual environment of the first stage points to the interpreter of the second.
    first, second = re.findall(r"^FROM (\S+)", text, re.MULTILINE)
    assert first == second


def test_registry_settings_come_in_as_secrets_only(text: str) -> None:
    installs = re.findall(r"^RUN (?:.*\\\n)*.*pip install.*", text, re.MULTILINE)
    assert len(installs) == 2
    assert all("--mount=type=secret,id=pip_conf" in install for install in installs)
