"""The manifests fit Kubernetes' schemas, its restricted profile and the service's settings."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from service.lifecycle import fit_limits
from service.settings import Settings, load_settings, setting_names
from service.worst_case import count_memory, count_stop_s

KUBERNETES_VERSION = "1.31"
GIBIBYTE = 2**30

Manifests = dict[str, dict[str, Any]]
Render = Callable[[str], Manifests]


@pytest.fixture(params=["base", "overlays/gpu"])
def manifests(request: pytest.FixtureRequest, render: Render) -> Manifests:
    return render(request.param)


def pod_of(manifests: Manifests) -> dict[str, Any]:
    return manifests["Deployment"]["spec"]["template"]["spec"]


def container_of(manifests: Manifests) -> dict[str, Any]:
    (container,) = pod_of(manifests)["containers"]
    return container


def settings_of(manifests: Manifests, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """What the service makes of the ConfigMap."""
    for name, value in manifests["ConfigMap"]["data"].items():
        monkeypatch.setenv(name, value)
    return load_settings()


def validate(document: dict[str, Any]) -> None:
    kubernetes_validate.validate(document, KUBERNETES_VERSION, strict=True)


@pytest.mark.parametrize("name", ["deployment.yaml", "service.yaml"])
def test_base_files_fit_the_schema(repository: Path, name: str) -> None:
    validate(yaml.safe_load((repository / "k8s/base" / name).read_text()))


def test_rendered_manifests_fit_the_schema(manifests: Manifests) -> None:
    assert set(manifests) == {"ConfigMap", "Deployment", "Service"}
    for document in manifests.values():
        validate(document)


def test_validation_refuses_a_misspelt_field(manifests: Manifests) -> None:
    pod_of(manifests)["terminationGracePeriodSecond"] = 1
    with pytest.raises(kubernetes_validate.ValidationError):
        validate(manifests["Deployment"])


def test_config_map_has_every_setting_and_the_service_takes_it(
    manifests: Manifests, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert set(manifests["ConfigMap"]["data"]) == set(setting_names())
    settings = settings_of(manifests, monkeypatch)
    (port,) = container_of(manifests)["ports"]
    assert (settings.host, settings.port) == ("0.0.0.0", port["containerPort"])


def test_container_reads_the_config_map_under_its_hashed_name(manifests: Manifests) -> None:
    name = manifests["ConfigMap"]["metadata"]["name"]
    assert re.fullmatch(r"expofuse-[a-z0-9]{10}", name)
    assert container_of(manifests)["envFrom"] == [{"configMapRef": {"name": name}}]


def test_service_selects_the_pods(manifests: Manifests) -> None:
    labels = manifests["Deployment"]["spec"]["template"]["metadata"]["labels"]
    service = manifests["Service"]["spec"]
    assert service["selector"].items() <= labels.items()
    assert service["ports"][0]["targetPort"] == container_of(manifests)["ports"][0]["name"]


def test_service_links_are_off(manifests: Manifests) -> None:
    # A Service called expofuse would inject EXPOFUSE_PORT=tcp://..., which stops the start.
    assert pod_of(manifests)["enableServiceLinks"] is False


def test_pod_keeps_to_the_restricted_profile(manifests: Manifests) -> None:
    pod, container = pod_of(manifests), container_of(manifests)
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] > 0
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.keys()
    assert all("emptyDir" in volume for volume in pod["volumes"])


def test_probes_ask_what_they_decide_on(manifests: Manifests) -> None:
    container = container_of(manifests)
    paths = {
        name: container[name]["httpGet"]["path"]
        for name in ("startupProbe", "livenessProbe", "readinessProbe")
    }
    assert paths == {
        "startupProbe": "/readyz",
        "livenessProbe": "/healthz",
        "readinessProbe": "/readyz",
    }


def test_startup_probe_waits_longer_than_the_worker_may_take(manifests: Manifests) -> None:
    probe = container_of(manifests)["startupProbe"]
    start_s = float(manifests["ConfigMap"]["data"]["EXPOFUSE_WORKER__START_TIMEOUT_S"])
    assert probe["failureThreshold"] * probe["periodSeconds"] > start_s


def test_grace_period_is_the_longest_that_an_end_takes(
    manifests: Manifests, monkeypatch: pytest.MonkeyPatch
) -> None:
    hook = container_of(manifests).get("lifecycle", {}).get("preStop", {}).get("sleep", {})
    stop_s = count_stop_s(settings_of(manifests, monkeypatch)) + hook.get("seconds", 0)
    grace_s = pod_of(manifests)["terminationGracePeriodSeconds"]
    assert stop_s <= grace_s <= stop_s + 15


def test_memory_limit_is_the_sum_of_all_bounds(
    manifests: Manifests, monkeypatch: pytest.MonkeyPatch
) -> None:
    most = sum(count_memory(settings_of(manifests, monkeypatch)).values())
    limit = gibibytes(container_of(manifests)["resources"]["limits"]["memory"]) * GIBIBYTE
    assert most <= limit <= most + 2 * GIBIBYTE


def test_shared_memory_holds_every_admitted_megapixel(
    manifests: Manifests, monkeypatch: pytest.MonkeyPatch
) -> None:
    pod, container = pod_of(manifests), container_of(manifests)
    volumes = {volume["name"]: volume["emptyDir"] for volume in pod["volumes"]}
    mounts = {mount["mountPath"]: volumes[mount["name"]] for mount in container["volumeMounts"]}
    assert mounts.keys() == {"/dev/shm", "/tmp"}
    assert mounts["/dev/shm"]["medium"] == "Memory"
    limits = settings_of(manifests, monkeypatch).limits
    assert fit_limits(limits, gibibytes(mounts["/dev/shm"]["sizeLimit"]) * GIBIBYTE) == limits


def gibibytes(quantity: str) -> int:
    return int(quantity.removesuffix("Gi"))


def test_network_uses_no_more_threads_than_the_container_may(manifests: Manifests) -> None:
    threads = int(manifests["ConfigMap"]["data"]["EXPOFUSE_WORKER__THREADS"])
    assert threads <= int(container_of(manifests)["resources"]["limits"]["cpu"])


def test_base_runs_on_a_cpu(render: Render) -> None:
    manifests = render("base")
    container = container_of(manifests)
    assert manifests["ConfigMap"]["data"]["EXPOFUSE_DEVICE"] == "cpu"
    assert "nvidia.com/gpu" not in container["resources"]["limits"]
    assert container["image"].endswith("-cpu")


def test_gpu_overlay_asks_for_one_gpu_and_uses_it(render: Render) -> None:
    manifests = render("overlays/gpu")
    container = container_of(manifests)
    assert manifests["ConfigMap"]["data"]["EXPOFUSE_DEVICE"] == "cuda:0"
    assert container["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert not container["image"].endswith("-cpu")
    assert manifests["Deployment"]["spec"]["strategy"]["rollingUpdate"]["maxSurge"] == 0


def test_pod_and_image_agree_on_user_and_weights(manifests: Manifests, repository: Path) -> None:
    dockerfile = (repository / "Dockerfile").read_text()
    context = pod_of(manifests)["securityContext"]
    assert f"USER {context['runAsUser']}:{context['runAsGroup']}\n" in dockerfile
    data = manifests["ConfigMap"]["data"]
    # Unset, the service looks beside its packages, and that is where the image has them.
    assert data["EXPOFUSE_WEIGHTS_DIR"] == ""
    assert f"ARG WEIGHTS={data['EXPOFUSE_WEIGHTS']}\n" in dockerfile
