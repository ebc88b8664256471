"""Writes the chart: `python -m deploy.chart`."""

import json
import re
import shutil
import sys
import tomllib
from collections import defaultdict
from typing import Any

import yaml

from deploy.chart.openings import Renderings, collect_defaults, make_openings, make_schema
from deploy.chart.renderings import KUBERNETES, Choice, drop_hash, name_object, render_all
from deploy.chart.template import write_template
from deploy.chart.values import describe
from deploy.release.version import ROOT

CHART = KUBERNETES / "chart"
HEAD = "# Written by `python -m deploy.chart` from what Kustomize renders.\n"


def make_chart(rendered: Renderings) -> dict[str, str]:
    """All files of the chart, by their paths within it.

    Args:
        rendered: What Kustomize makes of each choice.
    """
    renderings = {choice: drop_hash(manifests) for choice, manifests in rendered.items()}
    objects: dict[str, dict[Choice, Any]] = defaultdict(dict)
    for choice, manifests in renderings.items():
        for manifest in manifests:
            objects[name_object(manifest)][choice] = manifest
    openings = make_openings(renderings)
    defaults = collect_defaults(renderings)
    files = {
        "Chart.yaml": HEAD + yaml.safe_dump(_describe_chart(), sort_keys=False, width=100),
        "values.yaml": HEAD + "".join(_write_values(defaults)),
        "values.schema.json": json.dumps(make_schema(defaults), indent=2) + "\n",
    }
    for name, versions in objects.items():
        text = write_template(name, versions, renderings.keys(), openings)
        files[f"templates/{_name_file(name)}.yaml"] = HEAD + text
    return files


def _describe_chart() -> dict[str, Any]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return {
        "apiVersion": "v2",
        "name": project["name"],
        "description": project["description"],
        "type": "application",
        "version": project["version"],
        "appVersion": project["version"],
        # The oldest with a `sleep` in preStop hooks.
        "kubeVersion": ">=1.30.0-0",
    }


def _name_file(name: str) -> str:
    """File of an object.

    Example:
        >>> _name_file("ConfigMap/expofuse"), _name_file("NetworkPolicy/expofuse-allow")
        ('config-map', 'network-policy-allow')
    """
    kind, _, own = name.partition("/")
    words = re.findall(r"[A-Z][a-z]+", kind)
    return "-".join([*words, *own.split("-")[1:]]).lower()


def _write_values(tree: dict[str, Any], *, prefix: str = "") -> list[str]:
    """Lines of `values.yaml`, with what each value is above it."""
    about, indent = describe(), "  " * prefix.count(".")
    lines = []
    for name, value in tree.items():
        if said := about.get(prefix + name):
            lines.append(f"{indent}# {said}.\n")
        if isinstance(value, dict) and value:
            lines += [f"{indent}{name}:\n", *_write_values(value, prefix=f"{prefix}{name}.")]
        else:
            text = yaml.safe_dump({name: value}, width=float("inf"))
            lines.append(indent + text)
    return lines


def main() -> None:
    """Write the files in the place of those that are there."""
    files = make_chart(render_all())
    shutil.rmtree(CHART, ignore_errors=True)
    for name, text in files.items():
        path = CHART / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    sys.stdout.write(f"{CHART.relative_to(ROOT)}: {len(files)} files\n")


if __name__ == "__main__":
    main()
