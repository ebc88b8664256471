"""The values of the chart: what may be set, where it goes, and what it is unless it is set."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from deploy.chart.renderings import AXES, Choice, Manifest, name_object
from deploy.chart.template import OWN, TRUTHS, Openings, Path
from service.settings import setting_names

Renderings = Mapping[Choice, Sequence[Manifest]]
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


def make_openings(renderings: Renderings) -> Openings:
    """Where values come into the objects of these renderings.

    Raises:
        LookupError: A value has no place in any of them, or values differ between its places.
    """
    expressions: dict[Path, Callable[[object], str]] = {IMAGE: _express_image}
    for value in VALUES:
        _find_default(value, renderings)
        expressions |= dict.fromkeys(value.places, _express(value, renderings))
    for name in set(setting_names()).difference(FIXED):
        expressions[*SETTINGS, name] = _express_setting(name)
    blocks: dict[Path, list[str]] = {(*POD[:3], "metadata"): list(CHECKSUM)}
    for addition in ADDITIONS:
        for place in addition.places:
            blocks.setdefault(place, []).extend(_add(addition))
    return Openings(expressions, blocks)


def collect_defaults(renderings: Renderings) -> Json:
    """The content of `values.yaml`, as a tree in the order of its lines."""
    tree: Json = {}
    for axis, choices in AXES.items():
        first = next(iter(choices))
        tree[axis] = first == "true" if choices.keys() == TRUTHS else first
    tree["image"] = {"repository": "expofuse", "tag": ""}
    tree["settings"] = {}
    for value in VALUES:
        *groups, last = value.name.split(".")
        branch = tree
        for group in groups:
            branch = branch.setdefault(group, {})
        branch[last] = _find_default(value, renderings)
    return tree | {addition.name: addition.empty for addition in ADDITIONS}


def describe() -> dict[str, str]:
    """A line for the reader of each value and group, by their names."""
    ours = {"image.tag": "Unless it is set the chart's version, of the device's image"}
    ours["settings"] = "Settings of the service that differ, all of them strings: docs/settings.md"
    ours |= {one.name: one.about for one in (*VALUES, *ADDITIONS) if one.about}
    return SWITCHES | GROUPS | ours


def make_schema(defaults: Json) -> Json:
    """The schema that Helm holds values against; an unknown name, or a setting's, is an error."""
    schema = _make_schema(defaults)
    schema["$schema"] = "http://json-schema.org/draft-07/schema#"
    for axis, choices in AXES.items():
        if choices.keys() != TRUTHS:
            schema["properties"][axis]["enum"] = list(choices)
    schema["properties"]["replicas"] = {"type": ["integer", "null"], "minimum": 1}
    text = {"type": "string"}
    schema["properties"]["settings"] = {
        "type": "object",
        "properties": {name: text for name in setting_names() if name not in FIXED},
        "additionalProperties": False,
    }
    schema["properties"]["ingress"]["properties"]["annotations"] = {
        "type": "object",
        "additionalProperties": text,
    }
    return schema


def _make_schema(default: object) -> Json:
    kinds = {bool: "boolean", int: "integer", list: "array"}
    if not isinstance(default, dict):
        return {"type": kinds.get(type(default), "string")}
    if not default:
        return {"type": "object"}
    properties = {name: _make_schema(value) for name, value in default.items()}
    return {"type": "object", "properties": properties, "additionalProperties": False}


def _find_all(path: Path, renderings: Renderings) -> Iterator[object]:
    for manifests in renderings.values():
        for manifest in manifests:
            if name_object(manifest) == path[0]:
                try:
                    yield _walk(manifest, path[1:])
                except LookupError:
                    continue


def _walk(node: object, path: Sequence[str]) -> object:
    for key in path:
        if isinstance(node, list):
            named = {item.get("name"): item for item in node if isinstance(item, dict)}
            node = named[key] if key in named else node[int(key)]
        elif isinstance(node, dict):
            node = node[key]
        else:
            raise LookupError(key)
    return node


def _find_default(value: Value, renderings: Renderings) -> object:
    """What is rendered in the value's places; none where that depends on the choice."""
    found = [list(_find_all(path, renderings)) for path in value.places]
    if not all(found):
        raise LookupError(f"nothing is rendered where {value.name} goes")
    different = {json.dumps(one): one for place in found for one in place}
    if len(different) == 1:
        return next(iter(different.values()))
    if len(value.places) > 1:
        raise LookupError(f"the places of {value.name} differ: {sorted(different)}")
    return None


def _express(value: Value, renderings: Renderings) -> Callable[[object], str]:
    name = f".Values.{value.name}"
    depends = _find_default(value, renderings) is None

    def express(rendered: object) -> str:
        if value.is_tree:
            return f"{{{{- toYaml {name} | nindent 4 }}}}"
        if depends:
            return f"{{{{ {name} | default {json.dumps(rendered)} }}}}"
        return f"{{{{ {name} | quote }}}}" if isinstance(rendered, str) else f"{{{{ {name} }}}}"

    return express


def _express_image(rendered: object) -> str:
    tag = str(rendered).rpartition(":")[2]
    return f'"{{{{ .Values.image.repository }}}}:{{{{ .Values.image.tag | default "{tag}" }}}}"'


def _express_setting(name: str) -> Callable[[object], str]:
    return lambda value: f'{{{{ dig "{name}" {json.dumps(value)} .Values.settings | quote }}}}'


def _add(addition: Addition) -> list[str]:
    head = [f"{addition.key}:"] if addition.key else []
    return [
        f"{{{{- with .Values.{addition.name} }}}}",
        *head,
        f"{{{{- toYaml . | nindent {OWN} }}}}",
        "{{- end }}",
    ]
