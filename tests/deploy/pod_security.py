"""Kubernetes' Pod Security Standard `restricted`, field by field."""

from collections.abc import Iterator
from typing import Any

Manifest = dict[str, Any]

VOLUMES = {
    "configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim",
    "projected", "secret",
}  # fmt: skip
SECCOMP = {"RuntimeDefault", "Localhost"}
SELINUX_TYPES = {None, "", "container_t", "container_init_t", "container_kvm_t"}
CONTAINERS = ("initContainers", "containers", "ephemeralContainers")
SYSCTLS: set[str] = set()
"""Those that the standard takes are safe, and nothing here needs one."""


def pod_of(manifest: Manifest) -> Manifest | None:
    """The pod that an object makes, if it makes any."""
    if manifest["kind"] in {"Deployment", "Job", "StatefulSet", "DaemonSet"}:
        return manifest["spec"]["template"]["spec"]
    return None


def list_violations(pod: Manifest) -> list[str]:
    """What the standard refuses of a pod, one line each; none where the pod is admitted.

    Source: "Pod Security Standards", Kubernetes' documentation, the policies baseline and
    restricted together.
    """
    return list(_find_violations(pod))


def _find_violations(pod: Manifest) -> Iterator[str]:
    for shared in ("hostNetwork", "hostPID", "hostIPC"):
        if pod.get(shared):
            yield shared
    for volume in pod.get("volumes", []):
        yield from (f"volume {kind}" for kind in volume.keys() - VOLUMES - {"name"})
    context = pod.get("securityContext", {})
    yield from _judge_context(context)
    for sysctl in context.get("sysctls", []):
        if sysctl["name"] not in SYSCTLS:
            yield f"sysctl {sysctl['name']}"
    for container in (one for kind in CONTAINERS for one in pod.get(kind, [])):
        yield from _judge_container(container, context)


def _judge_context(context: Manifest) -> Iterator[str]:
    """What holds of a pod's and a container's context alike."""
    if context.get("runAsUser") == 0:
        yield "runAsUser 0"
    if "seccompProfile" in context and context["seccompProfile"]["type"] not in SECCOMP:
        yield "seccomp"
    if context.get("appArmorProfile", {}).get("type") == "Unconfined":
        yield "AppArmor"
    selinux = context.get("seLinuxOptions", {})
    if selinux.get("type") not in SELINUX_TYPES or selinux.keys() & {"user", "role"}:
        yield "SELinux"
    if context.get("windowsOptions", {}).get("hostProcess"):
        yield "hostProcess"


def _judge_container(container: Manifest, pod: Manifest) -> Iterator[str]:
    context = container.get("securityContext", {})
    yield from _judge_context(context)
    if context.get("privileged"):
        yield "privileged"
    if context.get("allowPrivilegeEscalation") is not False:
        yield "allowPrivilegeEscalation"
    if context.get("runAsNonRoot", pod.get("runAsNonRoot")) is not True:
        yield "runAsNonRoot"
    if "seccompProfile" not in context and "seccompProfile" not in pod:
        yield "seccomp"
    capabilities = context.get("capabilities", {})
    if "ALL" not in capabilities.get("drop", []):
        yield "capabilities are kept"
    if set(capabilities.get("add", [])) - {"NET_BIND_SERVICE"}:
        yield "capabilities are added"
    if context.get("procMount", "Default") != "Default":
        yield "procMount"
    if any(port.get("hostPort") for port in container.get("ports", [])):
        yield "hostPort"
    for hook in ("postStart", "preStop"):
        if "host" in container.get("lifecycle", {}).get(hook, {}).get("httpGet", {}):
            yield f"{hook} host"
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        if "host" in container.get(probe, {}).get("httpGet", {}):
            yield f"{probe} host"
