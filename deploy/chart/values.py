"""Lists the values of the chart: what may be set, and where it goes."""

from dataclasses import dataclass
from typing import Any

from deploy.chart.template import Path

Json = dict[str, Any]

POD: Path = ("Deployment/expofuse", "spec", "template", "spec")
CONTAINER: Path = (*POD, "containers", "expofuse")
SETTINGS: Path = ("ConfigMap/expofuse", "data")
AUTOSCALER: Path = ("HorizontalPodAutoscaler/expofuse", "spec")
SCALED: Path = ("ScaledObject/expofuse", "spec")
INGRESS: Path = ("Ingress/expofuse", "spec")
TRIGGER: Path = (*SCALED, "triggers", "0", "metadata")
ALLOWED: Path = ("NetworkPolicy/expofuse-allow", "spec", "ingress")
NAMESPACE: Path = ("from", "0", "namespaceSelector", "matchLabels", "kubernetes.io/metadata.name")
IMAGE: Path = (*CONTAINER, "image")
FIXED = ("EXPOFUSE_HOST", "EXPOFUSE_PORT", "EXPOFUSE_METRICS_PORT")
"""Settings that other objects name: containers, probes, services and policies."""

SWITCHES = {
    "device": "cpu, gpu (an NVIDIA GPU a replica) or gpu-spare (with one free during a rollout)",
    "production": "Ingress, network policies, disruption budget, priority and spread",
    "monitoring": "Objects for the Prometheus operator and Grafana's sidecar",
    "autoscaler": "none, hpa (with prometheus-adapter) or keda (with KEDA)",
}
GROUPS = {
    "image": "Where the cluster finds the image",
    "resources": "Of a pod; docs/deployment.md says how much memory the settings come to",
    "ingress": "With production",
    "networkPolicy": "With production",
    "autoscaling": "With an autoscaler",
}


@dataclass(frozen=True, slots=True)
class Value:
    """A value that stands in the objects, and keeps what Kustomize renders there unless it is set.

    Attributes:
        name: In `values.yaml`; a dot parts a group from what is in it.
        about: A line for its reader.
        places: Where it goes.
        is_tree: It is a mapping, whose keys are set one by one.
    """

    name: str
    about: str
    places: tuple[Path, ...]
    is_tree: bool = False


VALUES = (
    Value(
        "replicas",
        "Unless it is set 1, and 2 with production; an autoscaler has its own",
        (("Deployment/expofuse", "spec", "replicas"),),
    ),
    Value("sharedMemory", "Size of /dev/shm", ((*POD, "volumes", "shm", "emptyDir", "sizeLimit"),)),
    Value(
        "terminationGracePeriodSeconds",
        "Longer than preStop, EXPOFUSE_DRAIN_PAUSE_S and EXPOFUSE_DRAIN_TIMEOUT_S together",
        ((*POD, "terminationGracePeriodSeconds"),),
    ),
    Value("resources.requests.cpu", "", ((*CONTAINER, "resources", "requests", "cpu"),)),
    Value("resources.requests.memory", "", ((*CONTAINER, "resources", "requests", "memory"),)),
    Value("resources.limits.cpu", "", ((*CONTAINER, "resources", "limits", "cpu"),)),
    Value("resources.limits.memory", "", ((*CONTAINER, "resources", "limits", "memory"),)),
    Value("ingress.className", "", ((*INGRESS, "ingressClassName"),)),
    Value(
        "ingress.host",
        "",
        ((*INGRESS, "rules", "0", "host"), (*INGRESS, "tls", "0", "hosts", "0")),
    ),
    Value("ingress.tlsSecret", "", ((*INGRESS, "tls", "0", "secretName"),)),
    Value(
        "ingress.annotations",
        "What they say of sizes and times follows the settings EXPOFUSE_LIMITS__",
        (("Ingress/expofuse", "metadata", "annotations"),),
        is_tree=True,
    ),
    Value("networkPolicy.ingressNamespace", "", ((*ALLOWED, "0", *NAMESPACE),)),
    Value("networkPolicy.monitoringNamespace", "", ((*ALLOWED, "1", *NAMESPACE),)),
    Value(
        "autoscaling.minReplicas", "", ((*AUTOSCALER, "minReplicas"), (*SCALED, "minReplicaCount"))
    ),
    Value(
        "autoscaling.maxReplicas", "", ((*AUTOSCALER, "maxReplicas"), (*SCALED, "maxReplicaCount"))
    ),
    Value(
        "autoscaling.megapixelsPerReplica",
        "",
        (
            (*AUTOSCALER, "metrics", "0", "pods", "target", "averageValue"),
            (*TRIGGER, "threshold"),
        ),
    ),
    Value("autoscaling.prometheus", "For keda", ((*TRIGGER, "serverAddress"),)),
    Value("autoscaling.query", "For keda", ((*TRIGGER, "query"),)),
)


@dataclass(frozen=True, slots=True)
class Addition:
    """A list or mapping that comes to what Kustomize renders; nothing unless it is set.

    Attributes:
        name: In `values.yaml`.
        about: A line for its reader.
        empty: `{}` or `[]`.
        places: The mappings or lists that it is added to.
        key: Of a mapping that is the value's own, which is not there without it.
    """

    name: str
    about: str
    empty: Json | list[Any]
    places: tuple[Path, ...]
    key: str = ""


ADDITIONS = (
    Addition("extraVolumes", "For instance the Secret of keys", [], ((*POD, "volumes"),)),
    Addition("extraVolumeMounts", "", [], ((*CONTAINER, "volumeMounts"),)),
    Addition("extraEnv", "Such as OTEL_EXPORTER_OTLP_ENDPOINT", [], (CONTAINER,), key="env"),
    Addition("imagePullSecrets", "", [], (POD,), key="imagePullSecrets"),
    Addition("nodeSelector", "", {}, (POD,), key="nodeSelector"),
    Addition(
        "monitorLabels",
        "What the operator selects by, such as release: kube-prometheus-stack",
        {},
        (
            ("ServiceMonitor/expofuse", "metadata", "labels"),
            ("PrometheusRule/expofuse", "metadata", "labels"),
        ),
    ),
)
CHECKSUM = (
    "annotations:",
    "  # A changed setting rolls the pods.",
    "  checksum/settings:",
    '    {{ include (print .Template.BasePath "/config-map.yaml") . | sha256sum }}',
)


def describe() -> dict[str, str]:
    """A line for the reader of each value and group, by their names."""
    ours = {"image.tag": "Unless it is set the chart's version, of the device's image"}
    ours["settings"] = "Settings of the service that differ, all of them strings: docs/settings.md"
    ours |= {one.name: one.about for one in (*VALUES, *ADDITIONS) if one.about}
    return SWITCHES | GROUPS | ours
