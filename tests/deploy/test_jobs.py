"""Bulk work on Kubernetes: the Jobs agree with themselves, and their commands do what they say."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from service.console.exits import EXIT_MISUSED, EXIT_PARTLY
from tests.deploy.conftest import Manifest, Render
from tests.deploy.test_kubernetes import only
from tests.service.console.test_group_and_batch import write_frame

BRACKETS = 3


def container_of(job: Manifest) -> Manifest:
    (container,) = job["spec"]["template"]["spec"]["containers"]
    return container


@pytest.mark.parametrize("name", ["group", "batch", "training"])
def test_a_job_starts_pods_anew_and_takes_claims_that_outlive_it(render: Render, name: str) -> None:
    manifests = render(f"jobs/{name}")
    pod = only(manifests, "Job")["spec"]["template"]["spec"]
    assert pod["restartPolicy"] == "Never"
    claims = {one["metadata"]["name"] for one in render("jobs/claims")}
    used = {
        volume["persistentVolumeClaim"]["claimName"]
        for volume in pod["volumes"]
        if "persistentVolumeClaim" in volume
    }
    assert used
    assert used <= claims
    assert "PersistentVolumeClaim" not in {one["kind"] for one in manifests}


@pytest.mark.parametrize("name", ["group", "batch", "training"])
def test_a_jobs_policy_selects_its_pods(render: Render, name: str) -> None:
    manifests = render(f"jobs/{name}")
    labels = only(manifests, "Job")["spec"]["template"]["metadata"]["labels"]
    policy = only(manifests, "NetworkPolicy")["spec"]
    assert policy["podSelector"]["matchLabels"].items() <= labels.items()
    assert set(policy["policyTypes"]) == {"Ingress", "Egress"}


def test_there_are_as_many_shards_as_pods(render: Render) -> None:
    job = only(render("jobs/batch"), "Job")
    (shards,) = (one["value"] for one in container_of(job)["env"])
    assert job["spec"]["completionMode"] == "Indexed"
    assert job["spec"]["completions"] == job["spec"]["parallelism"] == int(shards)


def test_exit_codes_decide_whether_a_shard_is_tried_again(render: Render) -> None:
    job = only(render("jobs/batch"), "Job")
    assert job["spec"]["backoffLimitPerIndex"] > 0
    disrupted, misused, partly = job["spec"]["podFailurePolicy"]["rules"]
    assert (disrupted["action"], misused["action"], partly["action"]) == (
        "Ignore",
        "FailJob",
        "FailIndex",
    )
    assert misused["onExitCodes"]["values"] == [EXIT_MISUSED]
    assert partly["onExitCodes"]["values"] == [EXIT_PARTLY]
    for rule in (misused, partly):
        assert rule["onExitCodes"]["containerName"] == container_of(job)["name"]


def run_container(
    container: Manifest, folders: dict[str, Path], **environment: str
) -> subprocess.CompletedProcess[str]:
    """The container's own command line, on folders of this machine in the place of its mounts.

    It is run without a shell, as the image has none, and with variables as the kubelet writes them.
    """
    command = [*container["command"], *container.get("args", [])]
    mounts = {mount["mountPath"] for mount in container["volumeMounts"]}
    for mount, folder in folders.items():
        assert mount in mounts
        command = [re.sub(rf"{mount}(?=/|$)", str(folder), one) for one in command]
    given = {one["name"]: one["value"] for one in container.get("env", [])} | environment
    command = [re.sub(r"\$\((\w+)\)", lambda name: given[name[1]], one) for one in command]
    assert not [one for one in command if "$(" in one]
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return subprocess.run(
        command, env=os.environ | {"PATH": path} | given, capture_output=True, text=True
    )


@pytest.mark.e2e
def test_every_bracket_is_fused_by_the_pod_whose_shard_it_is_in(
    render: Render, tmp_path: Path
) -> None:
    photographs, fused = tmp_path / "photographs", tmp_path / "fused"
    for bracket in range(BRACKETS):
        for shot, gain in enumerate((1.0, 3.0)):
            number = 1 + 2 * bracket + shot
            path = photographs / f"IMG_{number:04}.JPG"
            write_frame(path, number, gain, 60.0 * bracket + shot)
    fused.mkdir()
    folders = {"/photographs": photographs, "/fused": fused}

    grouped = run_container(container_of(only(render("jobs/group"), "Job")), folders)
    assert grouped.returncode == 0, grouped.stderr
    assert len(json.loads((fused / "groups.json").read_text())["brackets"]) == BRACKETS

    batch = container_of(only(render("jobs/batch"), "Job"))
    for index, names in enumerate(([1, 5], [3])):
        done = run_container(batch, folders, SHARDS="2", JOB_COMPLETION_INDEX=str(index))
        assert done.returncode == 0, done.stderr
        report = (fused / f"report-{index + 1}-of-2.jsonl").read_text().splitlines()
        assert [json.loads(line)["status"] for line in report] == ["fused"] * len(names)
        assert all((fused / f"IMG_{name:04}-fused.jpg").exists() for name in names)
    again = run_container(batch, folders, SHARDS="2", JOB_COMPLETION_INDEX="0")
    assert "2 up to date" in again.stdout, again.stdout


@pytest.mark.e2e
def test_a_command_that_is_misused_ends_as_the_policy_expects(
    render: Render, tmp_path: Path
) -> None:
    batch = container_of(only(render("jobs/batch"), "Job"))
    folders = {"/photographs": tmp_path / "absent", "/fused": tmp_path}
    done = run_container(batch, folders, JOB_COMPLETION_INDEX="0")
    assert done.returncode == EXIT_MISUSED


def test_pods_of_a_training_find_the_first_by_the_name_that_the_service_gives(
    render: Render,
) -> None:
    manifests = render("jobs/training")
    job, service = only(manifests, "Job"), only(manifests, "Service")
    name = job["metadata"]["name"]
    pod = job["spec"]["template"]
    assert service["spec"]["clusterIP"] == "None"
    assert service["spec"]["publishNotReadyAddresses"] is True
    assert service["spec"]["selector"].items() <= pod["metadata"]["labels"].items()
    assert pod["spec"]["subdomain"] == service["metadata"]["name"]
    container = container_of(job)
    options = dict(one.split("=") for one in container["command"][1:])
    (port,) = service["spec"]["ports"]
    assert options["--master-addr"] == f"{name}-0.{service['metadata']['name']}"
    assert int(options["--master-port"]) == port["port"] == container["ports"][0]["containerPort"]
    assert options["--node-rank"] == "$(JOB_COMPLETION_INDEX)"
    assert int(options["--nnodes"]) == job["spec"]["completions"] == job["spec"]["parallelism"]
    assert options["--nproc-per-node"] == container["resources"]["limits"]["nvidia.com/gpu"]


def test_a_training_can_read_its_config_and_share_out_its_batch(
    render: Render, repository: Path
) -> None:
    from trainer.config import load_config

    job = only(render("jobs/training"), "Job")
    (path,) = (one for one in container_of(job)["args"] if one.endswith(".toml"))
    config = load_config(repository / path)
    assert config.optim.batch % job["spec"]["completions"] == 0
