"""The workflows of the hosting service have its form, few rights, and do what a release needs."""

import re
import subprocess
import sysconfig
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.paths import ROOT

WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))

Workflow = dict[Any, Any]


def read(name: str) -> Workflow:
    return yaml.safe_load((ROOT / ".github/workflows" / name).read_text())


def steps_of(workflow: Workflow) -> list[Workflow]:
    return [step for job in workflow["jobs"].values() for step in job.get("steps", [])]


def commands_of(workflow: Workflow) -> str:
    return "\n".join(step.get("run", "") for step in steps_of(workflow))


def check_schema(path: Path) -> subprocess.CompletedProcess[str]:
    tool = Path(sysconfig.get_path("scripts")) / "check-jsonschema"
    command = [tool, "--builtin-schema", "vendor.github-workflows", path]
    return subprocess.run(command, capture_output=True, text=True)


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_has_the_form_of_the_hosting_service(path: Path, tmp_path: Path) -> None:
    done = check_schema(path)
    assert done.returncode == 0, done.stdout + done.stderr
    broken = tmp_path / path.name
    broken.write_text(path.read_text().replace("runs-on:", "run-on:"))
    assert check_schema(broken).returncode == 1


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_has_no_more_rights_than_its_jobs_name(path: Path) -> None:
    workflow = read(path.name)
    assert workflow["permissions"] == {}
    for job in workflow["jobs"].values():
        assert job["permissions"]
        assert "uses" in job or "timeout-minutes" in job
    for step in steps_of(workflow):
        if step.get("uses", "").startswith("actions/checkout@"):
            assert step["with"]["persist-credentials"] is False


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_actions_are_pinned_and_no_expression_becomes_shell(path: Path) -> None:
    workflow = read(path.name)
    for step in steps_of(workflow):
        if "uses" in step:
            assert re.fullmatch(r"[\w-]+/[\w-]+@(v\d+|[0-9a-f]{40})", step["uses"])
        # What a run of a workflow is told by others would be read as commands.
        assert "${{" not in step.get("run", "")


def test_ci_runs_the_script_that_everybody_runs() -> None:
    workflow = read("ci.yml")
    assert ".ci/run" in commands_of(workflow).splitlines()
    assert {"push", "pull_request", "workflow_call"} == workflow[True].keys()  # YAML's `on`


def test_a_release_needs_what_ci_and_the_check_pass() -> None:
    workflow = read("release.yml")
    jobs = workflow["jobs"]
    assert jobs["ci"]["uses"] == "./.github/workflows/ci.yml"
    assert set(jobs["images"]["needs"]) == {"ci", "check"}
    assert jobs["release"]["needs"] == "images"
    assert "make release-check" in commands_of({"jobs": {"check": jobs["check"]}})
    assert workflow[True] == {"push": {"tags": ["v[0-9]+.[0-9]+.[0-9]+"]}}


def test_images_are_for_both_processors_signed_and_say_what_is_in_them() -> None:
    images = read("release.yml")["jobs"]["images"]
    (build,) = (one for one in images["steps"] if "build-push-action" in one.get("uses", ""))
    assert build["with"]["platforms"] == "linux/amd64,linux/arm64"
    assert build["with"]["sbom"] is True
    assert build["with"]["provenance"] == "mode=max"
    commands = commands_of({"jobs": {"images": images}})
    assert "cosign sign --yes --recursive" in commands
    assert "cosign attest --yes --type cyclonedx" in commands
    assert images["permissions"]["id-token"] == "write"


def test_every_image_that_the_manifests_name_is_built_under_that_name() -> None:
    rows = read("release.yml")["jobs"]["images"]["strategy"]["matrix"]["include"]
    built = {f"{row['name']}:1.2.3{row['suffix']}" for row in rows}
    named = set()
    for path in (ROOT / "k8s").rglob("kustomization.yaml"):
        for image in yaml.safe_load(path.read_text()).get("images", []):
            tag = re.sub(r"^\d+\.\d+\.\d+", "1.2.3", image["newTag"])
            named.add(f"{image['name']}:{tag}")
    assert built == named
    assert all((ROOT / row["file"]).exists() for row in rows)
    wanted = (ROOT / "Dockerfile").read_text()
    for row in rows:
        if row["file"] == "Dockerfile":
            assert row["device"] in re.findall(r"cpu|cuda", wanted)
