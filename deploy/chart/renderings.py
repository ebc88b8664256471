"""Renders the base with every choice of components that the chart offers."""

import itertools
import os
import re
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import yaml

from deploy.release.version import ROOT

KUBERNETES = ROOT / "k8s"

AXES: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "device": {"cpu": (), "gpu": ("gpu",), "gpu-spare": ("gpu", "gpu-spare")},
    "production": {"false": (), "true": ("production",)},
    "monitoring": {"false": (), "true": ("monitoring",)},
    "autoscaler": {"none": (), "hpa": ("autoscale-hpa",), "keda": ("autoscale-keda",)},
}
"""What is chosen, and the components of each choice, in the order that they are applied in. The
first choice is the default. An autoscaler comes last: it takes away the number of replicas."""

_HASHED_NAME = re.compile(r"^expofuse-[a-z0-9]{10}$")

Choice = tuple[str, ...]
"""One choice for each of `AXES`."""
Manifest = dict[str, Any]


def list_choices() -> list[Choice]:
    """The default, everything that differs from it in one or two axes, and the last choices of all.

    Conditions of one axis are told apart by single differences, those of two by pairs. No part of
    the manifests depends on three.
    """
    default = tuple(next(iter(choices)) for choices in AXES.values())
    every = list(itertools.product(*AXES.values()))
    near = [one for one in every if sum(a != b for a, b in zip(one, default, strict=True)) <= 2]
    return [*near, every[-1]]


def list_components(choice: Choice) -> tuple[str, ...]:
    """Components of a choice, in the order that they are applied in.

    Example:
        >>> list_components(("gpu-spare", "false", "true", "none"))
        ('gpu', 'gpu-spare', 'monitoring')
    """
    chosen = zip(AXES.values(), choice, strict=True)
    return tuple(itertools.chain.from_iterable(axis[one] for axis, one in chosen))


def kustomize(folder: Path) -> list[Manifest]:
    """The objects of a kustomization.

    Raises:
        RuntimeError: It cannot be rendered, or uses what Kustomize is about to drop.
    """
    done = subprocess.run(["kubectl", "kustomize", folder], capture_output=True, text=True)
    if done.returncode or "deprecated" in done.stderr:
        raise RuntimeError(done.stderr)
    return list(yaml.safe_load_all(done.stdout))


def render_choice(choice: Choice) -> list[Manifest]:
    """The objects of the base with the components of a choice."""
    with tempfile.TemporaryDirectory() as folder:
        # Kustomize wants relative paths, and on some systems the temporary folder is a link.
        here = Path(folder).resolve()
        kustomization = {
            "resources": [os.path.relpath(KUBERNETES / "base", here)],
            "components": [
                os.path.relpath(KUBERNETES / "components" / name, here)
                for name in list_components(choice)
            ],
        }
        (here / "kustomization.yaml").write_text(yaml.safe_dump(kustomization))
        return kustomize(here)


def render_all() -> dict[Choice, list[Manifest]]:
    """The objects of every one of `list_choices`."""
    choices = list_choices()
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return dict(zip(choices, pool.map(render_choice, choices), strict=True))


def name_object(manifest: Manifest) -> str:
    """What tells an object from the others.

    Example:
        >>> name_object({"kind": "Service", "metadata": {"name": "expofuse"}})
        'Service/expofuse'
    """
    return f"{manifest['kind']}/{manifest['metadata']['name']}"


def drop_hash(manifests: Sequence[Manifest]) -> list[Manifest]:
    """The same objects with the ConfigMap by its plain name: a chart's has no hash in it."""

    def plain(node: object) -> object:
        if isinstance(node, dict):
            return {key: plain(value) for key, value in node.items()}
        if isinstance(node, list):
            return [plain(value) for value in node]
        if isinstance(node, str) and node in hashed:
            return "expofuse"
        return node

    hashed = set(_list_hashed(manifests))
    return [{key: plain(value) for key, value in manifest.items()} for manifest in manifests]


def _list_hashed(manifests: Sequence[Manifest]) -> Iterator[str]:
    for manifest in manifests:
        name = manifest["metadata"]["name"]
        if manifest["kind"] == "ConfigMap" and _HASHED_NAME.match(name):
            yield name
