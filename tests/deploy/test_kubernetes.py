"""The service's manifests fit Kubernetes' schemas, each other and the service's settings."""

import itertools
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from deploy.write_monitoring import COMPONENT, make_component
from service.lifecycle import fit_limits
from service.metrics import Metrics
from service.settings import Settings, load_settings, setting_names
from service.worst_case import count_memory, count_stop_s
from tests.deploy.conftest import Manifest, Render
from tests.deploy.test_pod_security import FOLDERS
from tests.paths import ROOT

KUBERNETES_VERSIONS = ("1.30", "1.34", "1.37")
"""The oldest that has all that is used, the newest that the schemas are of, and one between."""

GIBIBYTE = 2**30
MEBIBYTE = 2**20

SERVICES = [folder for folder in FOLDERS if not folder.startswith("jobs/")]
CUSTOM = {"PrometheusRule", "ServiceMonitor", "ScaledObject"}
CLUSTER_SCOPED = {"Namespace", "PriorityClass"}


@pytest.fixture(params=SERVICES)
def manifests(request: pytest.FixtureRequest, render: Render) -> list[Manifest]:
    return render(request.param)


def only(manifests: list[Manifest], kind: str, name: str | None = None) -> Manifest:
    """The one object of a kind, or of a kind and a name."""
    (found,) = (
        one
        for one in manifests
        if one["kind"] == kind and (name is None or one["metadata"]["name"] == name)
    )
    return found


def config_of(manifests: list[Manifest]) -> Manifest:
    (name,) = {source["configMapRef"]["name"] for source in container_of(manifests)["envFrom"]}
    return only(manifests, "ConfigMap", name)


def pod_of(manifests: list[Manifest]) -> Manifest:
    return only(manifests, "Deployment")["spec"]["template"]["spec"]


def container_of(manifests: list[Manifest]) -> Manifest:
    (container,) = pod_of(manifests)["containers"]
    return container


def settings_of(manifests: list[Manifest], monkeypatch: pytest.MonkeyPatch) -> Settings:
    """What the service makes of the ConfigMap."""
    for name, value in config_of(manifests)["data"].items():
        monkeypatch.setenv(name, value)
    return load_settings()


def validate(document: Manifest, version: str) -> None:
    kubernetes_validate.validate(document, version, strict=True)


@pytest.mark.parametrize("version", KUBERNETES_VERSIONS)
@pytest.mark.parametrize("folder", [*FOLDERS, "jobs/claims"])
def test_rendered_manifests_fit_the_schema(render: Render, folder: str, version: str) -> None:
    for document in render(folder):
        if document["kind"] not in CUSTOM:
            validate(document, version)


@pytest.mark.parametrize("version", KUBERNETES_VERSIONS)
def test_validation_refuses_a_misspelt_field(render: Render, version: str) -> None:
    deployment = only(render("base"), "Deployment")
    deployment["spec"]["template"]["spec"]["terminationGracePeriodSecond"] = 1
    with pytest.raises(kubernetes_validate.ValidationError):
        validate(deployment, version)


def keeps_every_field(document: Manifest) -> bool:
    """Whether the model made of the operator's own definition knows all that the object says."""
    from cloudcoil.models.keda import v1alpha1
    from cloudcoil.models.prometheus_operator import v1

    models = {
        "PrometheusRule": v1.PrometheusRule,
        "ServiceMonitor": v1.ServiceMonitor,
        "ScaledObject": v1alpha1.ScaledObject,
    }
    model = models[document["kind"]].model_validate(document)
    return model.model_dump(mode="json", by_alias=True, exclude_unset=True) == document


def test_custom_objects_fit_the_definitions_of_their_operators(render: Render) -> None:
    found = itertools.chain(render("overlays/autoscale-keda"), render("overlays/monitoring"))
    custom = [one for one in found if one["kind"] in CUSTOM]
    assert {one["kind"] for one in custom} == CUSTOM
    for document in custom:
        assert keeps_every_field(document), document["kind"]
    scaled = only(custom, "ScaledObject")
    scaled["spec"]["minReplicaCont"] = 1
    assert not keeps_every_field(scaled)


def test_every_overlay_holds_the_service_itself(manifests: list[Manifest]) -> None:
    kinds = [document["kind"] for document in manifests]
    assert {"ConfigMap", "Deployment", "Service"} <= set(kinds)
    names = [(one["kind"], one["metadata"]["name"]) for one in manifests]
    assert len(set(names)) == len(names)


def test_config_map_has_every_setting_and_the_service_takes_it(
    manifests: list[Manifest], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert set(config_of(manifests)["data"]) == set(setting_names())
    settings = settings_of(manifests, monkeypatch)
    ports = {port["name"]: port["containerPort"] for port in container_of(manifests)["ports"]}
    assert settings.host == "0.0.0.0"
    assert ports == {"http": settings.port, "metrics": settings.metrics_port}


def test_a_changed_setting_rolls_the_pods(manifests: list[Manifest]) -> None:
    # The name carries a hash of the content, and the pods name it.
    assert re.fullmatch(r"expofuse-[a-z0-9]{10}", config_of(manifests)["metadata"]["name"])


def test_everything_that_selects_pods_selects_the_services(manifests: list[Manifest]) -> None:
    deployment = only(manifests, "Deployment")
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    selectors = [deployment["spec"]["selector"]["matchLabels"]]
    service = only(manifests, "Service")
    selectors.append(service["spec"]["selector"])
    for document in manifests:
        if document["kind"] == "PodDisruptionBudget":
            selectors.append(document["spec"]["selector"]["matchLabels"])
        if document["kind"] == "NetworkPolicy":
            selectors.append(document["spec"]["podSelector"]["matchLabels"])
        if document["kind"] == "ServiceMonitor":
            assert document["spec"]["selector"]["matchLabels"].items() <= (
                service["metadata"]["labels"].items()
            )
    for constraint in pod_of(manifests).get("topologySpreadConstraints", []):
        selectors.append(constraint["labelSelector"]["matchLabels"])
    assert all(selector.items() <= labels.items() for selector in selectors)


def test_every_port_that_is_named_is_one_of_the_container(manifests: list[Manifest]) -> None:
    ports = {port["name"] for port in container_of(manifests)["ports"]}
    services = {port["name"]: port for port in only(manifests, "Service")["spec"]["ports"]}
    assert {port["targetPort"] for port in services.values()} == ports
    for document in manifests:
        if document["kind"] == "NetworkPolicy":
            rules = document["spec"].get("ingress", [])
            assert {port["port"] for rule in rules for port in rule["ports"]} <= ports
        if document["kind"] == "ServiceMonitor":
            assert {one["port"] for one in document["spec"]["endpoints"]} <= services.keys()


def test_service_links_are_off(manifests: list[Manifest]) -> None:
    # A Service called expofuse would inject EXPOFUSE_PORT=tcp://..., which stops the start.
    assert pod_of(manifests)["enableServiceLinks"] is False


def test_probes_ask_what_they_decide_on(manifests: list[Manifest]) -> None:
    container = container_of(manifests)
    probes = {
        name: container[name]["httpGet"]
        for name in ("startupProbe", "livenessProbe", "readinessProbe")
    }
    assert probes == {
        "startupProbe": {"path": "/readyz", "port": "http"},
        "livenessProbe": {"path": "/healthz", "port": "http"},
        "readinessProbe": {"path": "/readyz", "port": "http"},
    }


def test_startup_probe_waits_longer_than_the_worker_may_take(manifests: list[Manifest]) -> None:
    probe = container_of(manifests)["startupProbe"]
    start_s = float(config_of(manifests)["data"]["EXPOFUSE_WORKER__START_TIMEOUT_S"])
    assert probe["failureThreshold"] * probe["periodSeconds"] > start_s


def test_grace_period_is_the_hook_and_the_longest_that_an_end_takes(
    manifests: list[Manifest], monkeypatch: pytest.MonkeyPatch
) -> None:
    hook_s = container_of(manifests)["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert hook_s > 0
    stop_s = hook_s + count_stop_s(settings_of(manifests, monkeypatch))
    grace_s = pod_of(manifests)["terminationGracePeriodSeconds"]
    assert stop_s <= grace_s <= stop_s + 15


def test_balancers_that_ask_for_readiness_see_the_end_before_it_comes(
    manifests: list[Manifest], monkeypatch: pytest.MonkeyPatch
) -> None:
    probe = container_of(manifests)["readinessProbe"]
    pause_s = settings_of(manifests, monkeypatch).drain_pause_s
    assert probe["periodSeconds"] <= pause_s


def test_memory_limit_is_the_sum_of_all_bounds(
    manifests: list[Manifest], monkeypatch: pytest.MonkeyPatch
) -> None:
    most = sum(count_memory(settings_of(manifests, monkeypatch)).values())
    limit = gibibytes(container_of(manifests)["resources"]["limits"]["memory"]) * GIBIBYTE
    assert most <= limit <= most + 2 * GIBIBYTE


def test_shared_memory_holds_every_admitted_megapixel(
    manifests: list[Manifest], monkeypatch: pytest.MonkeyPatch
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


def test_network_uses_no_more_threads_than_the_container_may(manifests: list[Manifest]) -> None:
    threads = int(config_of(manifests)["data"]["EXPOFUSE_WORKER__THREADS"])
    assert threads <= int(container_of(manifests)["resources"]["limits"]["cpu"])


def test_base_runs_on_a_cpu(render: Render) -> None:
    manifests = render("base")
    container = container_of(manifests)
    assert config_of(manifests)["data"]["EXPOFUSE_DEVICE"] == "cpu"
    assert "nvidia.com/gpu" not in container["resources"]["limits"]
    assert container["image"].endswith("-cpu")


@pytest.mark.parametrize("folder", ["overlays/gpu", "overlays/gpu-spare"])
def test_gpu_overlays_ask_for_one_gpu_and_use_it(render: Render, folder: str) -> None:
    manifests = render(folder)
    container = container_of(manifests)
    assert config_of(manifests)["data"]["EXPOFUSE_DEVICE"] == "cuda:0"
    assert container["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert not container["image"].endswith("-cpu")


def test_a_rollout_needs_one_device_more_only_where_one_is_spare(render: Render) -> None:
    rollouts = {
        folder: only(render(folder), "Deployment")["spec"]["strategy"]["rollingUpdate"]
        for folder in ("base", "overlays/gpu", "overlays/gpu-spare")
    }
    one_more = {"maxSurge": 1, "maxUnavailable": 0}
    # A second pod would wait for the GPU that the first one holds.
    in_place = {"maxSurge": 0, "maxUnavailable": 1}
    assert rollouts == {"base": one_more, "overlays/gpu": in_place, "overlays/gpu-spare": one_more}


def autoscaling(manifests: list[Manifest]) -> tuple[Manifest, Any, Any, str]:
    """Behaviour, least and most replicas and target, whichever autoscaler it is."""
    for document in manifests:
        spec = document.get("spec", {})
        if document["kind"] == "HorizontalPodAutoscaler":
            (metric,) = spec["metrics"]
            target = metric["pods"]["target"]["averageValue"]
            return spec["behavior"], spec["minReplicas"], spec["maxReplicas"], target
        if document["kind"] == "ScaledObject":
            (trigger,) = spec["triggers"]
            behaviour = spec["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]
            target = trigger["metadata"]["threshold"]
            return behaviour, spec["minReplicaCount"], spec["maxReplicaCount"], target
    raise AssertionError("no autoscaler")


def test_both_autoscalers_do_the_same(render: Render) -> None:
    assert autoscaling(render("overlays/autoscale")) == autoscaling(
        render("overlays/autoscale-keda")
    )


@pytest.mark.parametrize("folder", ["overlays/autoscale", "overlays/autoscale-keda"])
def test_the_autoscaler_owns_the_number_of_replicas(
    render: Render, folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifests = render(folder)
    deployment = only(manifests, "Deployment")
    assert "replicas" not in deployment["spec"]
    (scaler,) = (d for d in manifests if d["kind"] in {"HorizontalPodAutoscaler", "ScaledObject"})
    assert scaler["spec"]["scaleTargetRef"] == {
        "apiVersion": deployment["apiVersion"],
        "kind": "Deployment",
        "name": deployment["metadata"]["name"],
    }
    target = float(autoscaling(manifests)[3])
    budget = settings_of(manifests, monkeypatch).limits.max_megapixels_in_flight
    assert target == pytest.approx(budget / 3)


def known_metrics() -> set[str]:
    text = Metrics().exposition().decode()
    return {family.name for family in text_string_to_metric_families(text)}


def test_what_is_scaled_by_is_a_metric_of_the_service(render: Render, repository: Path) -> None:
    (metric,) = only(render("overlays/autoscale"), "HorizontalPodAutoscaler")["spec"]["metrics"]
    name = metric["pods"]["metric"]["name"]
    assert name in known_metrics()
    scaled = only(render("overlays/autoscale-keda"), "ScaledObject")
    assert name in scaled["spec"]["triggers"][0]["metadata"]["query"]
    adapter = repository / "k8s/components/autoscale-hpa/prometheus-adapter.yaml"
    (rule,) = yaml.safe_load(adapter.read_text())["rules"]["custom"]
    assert rule["seriesQuery"].startswith(name + "{")
    assert set(rule["resources"]["overrides"]) == {"namespace", "pod"}


def test_prometheus_takes_the_queries_of_both_autoscalers(
    render: Render, repository: Path, tmp_path: Path
) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed (Debian: apt-get install prometheus)")
    scaled = only(render("overlays/autoscale-keda"), "ScaledObject")
    adapter = repository / "k8s/components/autoscale-hpa/prometheus-adapter.yaml"
    (rule,) = yaml.safe_load(adapter.read_text())["rules"]["custom"]
    # As prometheus-adapter fills the places of its templates.
    asked = rule["metricsQuery"].replace("<<.Series>>", "expofuse_megapixels_in_flight")
    asked = asked.replace("<<.LabelMatchers>>", 'namespace="a",pod=~"b|c"')
    queries = [scaled["spec"]["triggers"][0]["metadata"]["query"], rule["seriesQuery"], asked]
    rules = [{"record": f"query:{number}", "expr": one} for number, one in enumerate(queries)]
    path = tmp_path / "rules.yml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "queries", "rules": rules}]}))
    done = subprocess.run([promtool, "check", "rules", path], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_rules_and_dashboard_are_those_of_deploy(render: Render, repository: Path) -> None:
    manifests = render("overlays/monitoring")
    rules = yaml.safe_load((repository / "deploy/prometheus/rules/expofuse.yml").read_text())
    assert only(manifests, "PrometheusRule")["spec"] == rules
    dashboard = only(manifests, "ConfigMap", "expofuse-dashboard")
    (text,) = dashboard["data"].values()
    assert text == (repository / "deploy/grafana/dashboards/expofuse.json").read_text()
    assert dashboard["metadata"]["labels"]["grafana_dashboard"] == "1"
    for name, made in make_component().items():
        assert (COMPONENT / name).read_text() == made, "make manifests"


def test_rules_that_name_a_job_name_that_of_the_service_monitor(
    render: Render, repository: Path
) -> None:
    # The operator gives targets the Service's name as job, unless a label is named for it.
    manifests = render("overlays/monitoring")
    rules = (repository / "deploy/prometheus/rules/expofuse.yml").read_text()
    jobs = set(re.findall(r'job="([^"]+)"', re.sub(r"#.*", "", rules)))
    assert jobs == {only(manifests, "Service")["metadata"]["name"]}
    assert "jobLabel" not in only(manifests, "ServiceMonitor")["spec"]


def test_production_denies_every_way_but_two(render: Render) -> None:
    manifests = render("overlays/production")
    deny = only(manifests, "NetworkPolicy", "expofuse-default-deny")["spec"]
    assert set(deny["policyTypes"]) == {"Ingress", "Egress"}
    assert not {"ingress", "egress"} & deny.keys()
    allow = only(manifests, "NetworkPolicy", "expofuse-allow")["spec"]
    assert "egress" not in allow
    ways = {
        port["port"]: rule["from"][0]["namespaceSelector"]["matchLabels"]
        for rule in allow["ingress"]
        for port in rule["ports"]
    }
    assert ways == {
        "http": {"kubernetes.io/metadata.name": "ingress-nginx"},
        "metrics": {"kubernetes.io/metadata.name": "monitoring"},
    }


def test_ingress_takes_what_the_service_takes_and_waits_as_long(
    render: Render, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifests = render("overlays/production")
    limits = settings_of(manifests, monkeypatch).limits
    notes = only(manifests, "Ingress")["metadata"]["annotations"]
    common = {
        name.partition("/")[2]: value
        for name, value in notes.items()
        if name.startswith("nginx.ingress.kubernetes.io/")
    }
    assert common["proxy-body-size"] == f"{limits.max_body_bytes // MEBIBYTE}m"
    assert limits.deadline_s < float(common["proxy-read-timeout"]) <= limits.deadline_s + 15
    assert float(common["proxy-send-timeout"]) > limits.receive_stall_timeout_s
    assert common["proxy-request-buffering"] == "off"
    assert notes["nginx.org/client-max-body-size"] == common["proxy-body-size"]
    for name in ("proxy-read-timeout", "proxy-send-timeout", "proxy-connect-timeout"):
        assert notes[f"nginx.org/{name}"] == common[name] + "s"


def test_ingress_leads_to_the_public_port_by_tls(render: Render) -> None:
    manifests = render("overlays/production")
    ingress = only(manifests, "Ingress")["spec"]
    (rule,) = ingress["rules"]
    (tls,) = ingress["tls"]
    assert tls["hosts"] == [rule["host"]]
    (path,) = rule["http"]["paths"]
    assert path["backend"]["service"] == {
        "name": only(manifests, "Service")["metadata"]["name"],
        "port": {"name": "http"},
    }


def test_production_runs_replicas_apart_that_leave_one_at_a_time(render: Render) -> None:
    manifests = render("overlays/production")
    spread = pod_of(manifests)["topologySpreadConstraints"]
    assert [one["topologyKey"] for one in spread] == [
        "topology.kubernetes.io/zone",
        "kubernetes.io/hostname",
    ]
    assert only(manifests, "PodDisruptionBudget")["spec"]["maxUnavailable"] == 1
    priority = only(manifests, "PriorityClass")
    assert pod_of(manifests)["priorityClassName"] == priority["metadata"]["name"]
    assert priority["value"] > 0
    assert autoscaling(manifests)[1] >= 2


def test_production_admits_restricted_pods_alone_in_its_namespace(render: Render) -> None:
    manifests = render("overlays/production")
    namespace = only(manifests, "Namespace")["metadata"]
    assert namespace["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    for document in manifests:
        if document["kind"] not in CLUSTER_SCOPED:
            assert document["metadata"]["namespace"] == namespace["name"]


def test_pod_and_image_agree_on_user_and_weights(
    manifests: list[Manifest], repository: Path
) -> None:
    dockerfile = (repository / "Dockerfile").read_text()
    context = pod_of(manifests)["securityContext"]
    assert f"USER {context['runAsUser']}:{context['runAsGroup']}\n" in dockerfile
    data = config_of(manifests)["data"]
    # Unset, the service looks beside its packages, and that is where the image has them.
    assert data["EXPOFUSE_WEIGHTS_DIR"] == ""
    assert f"ARG WEIGHTS={data['EXPOFUSE_WEIGHTS']}\n" in dockerfile


def test_every_component_is_in_an_overlay() -> None:
    used = {
        Path(line.split("components/")[1]).name
        for path in ROOT.glob("k8s/overlays/*/kustomization.yaml")
        for line in path.read_text().splitlines()
        if "components/" in line
    }
    assert used == {path.name for path in (ROOT / "k8s/components").iterdir()}
