"""Everything that makes pods, in every overlay, is admitted where `restricted` is enforced."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.conftest import Render
from tests.deploy.pod_security import list_violations, pod_of
from tests.paths import ROOT

FOLDERS = sorted(
    str(path.parent.relative_to(ROOT / "k8s"))
    for path in (ROOT / "k8s").rglob("kustomization.yaml")
    if not {"components", "claims"} & set(path.parts)
)

Pod = dict[str, Any]


@pytest.mark.parametrize("folder", FOLDERS)
def test_pods_keep_to_the_restricted_standard(render: Render, folder: str) -> None:
    pods = [pod for manifest in render(folder) if (pod := pod_of(manifest))]
    assert pods
    for pod in pods:
        assert list_violations(pod) == []


@pytest.mark.parametrize("folder", FOLDERS)
def test_pods_hold_no_token_and_write_nothing_but_volumes(render: Render, folder: str) -> None:
    for pod in filter(None, map(pod_of, render(folder))):
        assert pod["automountServiceAccountToken"] is False
        assert pod["securityContext"]["runAsUser"] >= 10000
        for container in pod["containers"]:
            assert container["securityContext"]["readOnlyRootFilesystem"] is True
            assert {"cpu", "memory"} <= container["resources"]["requests"].keys()
            assert "memory" in container["resources"]["limits"]


def change(*path: str | int, value: Any) -> Callable[[Pod], None]:
    """Sets one field of a pod."""

    def set_field(pod: Pod) -> None:
        node: Any = pod
        for key in path[:-1]:
            node = node.setdefault(key, {}) if isinstance(node, dict) else node[key]
        node[path[-1]] = value

    return set_field


CONTAINER = ("containers", 0)
CONTEXT = (*CONTAINER, "securityContext")
CHANGES = {
    "hostNetwork": change("hostNetwork", value=True),
    "hostPID": change("hostPID", value=True),
    "hostIPC": change("hostIPC", value=True),
    "volume hostPath": change("volumes", value=[{"name": "host", "hostPath": {"path": "/"}}]),
    "sysctl kernel.msgmax": change(
        "securityContext", "sysctls", value=[{"name": "kernel.msgmax", "value": "1"}]
    ),
    "runAsUser 0": change("securityContext", "runAsUser", value=0),
    "runAsNonRoot": change(*CONTEXT, "runAsNonRoot", value=False),
    "seccomp": change("securityContext", "seccompProfile", "type", value="Unconfined"),
    "AppArmor": change(*CONTEXT, "appArmorProfile", value={"type": "Unconfined"}),
    "SELinux": change("securityContext", "seLinuxOptions", value={"type": "spc_t"}),
    "hostProcess": change(*CONTEXT, "windowsOptions", value={"hostProcess": True}),
    "privileged": change(*CONTEXT, "privileged", value=True),
    "allowPrivilegeEscalation": change(*CONTEXT, "allowPrivilegeEscalation", value=True),
    "capabilities are kept": change(*CONTEXT, "capabilities", "drop", value=["NET_RAW"]),
    "capabilities are added": change(*CONTEXT, "capabilities", "add", value=["SYS_ADMIN"]),
    "procMount": change(*CONTEXT, "procMount", value="Unmasked"),
    "hostPort": change(*CONTAINER, "ports", value=[{"containerPort": 1, "hostPort": 1}]),
    "preStop host": change(*CONTAINER, "lifecycle", "preStop", "httpGet", value={"host": "a"}),
    "livenessProbe host": change(*CONTAINER, "livenessProbe", "httpGet", "host", value="a"),
}


@pytest.mark.parametrize("said", CHANGES)
def test_each_rule_of_the_standard_refuses_what_breaks_it(render: Render, said: str) -> None:
    (pod,) = filter(None, map(pod_of, render("base")))
    pod = copy.deepcopy(pod)
    CHANGES[said](pod)
    assert list_violations(pod) == [said]


def test_every_folder_of_manifests_is_judged() -> None:
    assert {Path(folder).parts[0] for folder in FOLDERS} == {"base", "jobs", "overlays"}
