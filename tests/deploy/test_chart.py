"""The Helm chart says what Kustomize says, whatever is chosen; Helm itself renders it."""

import json
import platform
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.chart.__main__ import CHART, make_chart
from deploy.chart.renderings import AXES, Choice, drop_hash, list_choices, name_object, render_all
from deploy.chart.template import (
    TRUTHS,
    ConditionError,
    Openings,
    find_condition,
    write_template,
)
from deploy.chart.values import ADDITIONS, VALUES
from deploy.release.version import read_version
from service.settings import setting_names
from tests.deploy.conftest import Manifest

helm = pytest.importorskip(
    "helm_python", reason=f"Helm's library has no build for {platform.machine()}"
)

CHECKSUM = "checksum/settings"

Objects = dict[str, Manifest]


@pytest.fixture(scope="module")
def renderings(kubectl: str) -> dict[Choice, list[Manifest]]:
    return render_all()


@pytest.fixture(scope="module")
def chart() -> Iterator[Any]:
    with helm.Chart.load(str(CHART)) as chart:
        yield chart


def values_of(choice: Choice) -> dict[str, Any]:
    chosen = dict(zip(AXES, choice, strict=True))
    return {
        axis: one == "true" if AXES[axis].keys() == TRUTHS else one for axis, one in chosen.items()
    }


def render_chart(chart: Any, values: dict[str, Any]) -> Objects:
    """What Helm would install, by kind and name, without the checksum that is the chart's own."""
    texts = chart.render(values, name="expofuse", namespace="default").values()
    documents = [one for text in texts for one in yaml.safe_load_all(text) if one]
    for document in documents:
        if document["kind"] == "Deployment":
            metadata = document["spec"]["template"]["metadata"]
            assert len(metadata["annotations"].pop(CHECKSUM)) == 64
            assert metadata.pop("annotations") == {}
    return by_name(documents)


def by_name(documents: list[Manifest]) -> Objects:
    named = {name_object(document): document for document in documents}
    assert len(named) == len(documents)
    return named


@pytest.mark.parametrize("choice", list_choices(), ids="-".join)
def test_helm_renders_what_kustomize_renders(
    renderings: dict[Choice, list[Manifest]], chart: Any, choice: Choice
) -> None:
    assert render_chart(chart, values_of(choice)) == by_name(drop_hash(renderings[choice]))


def test_every_component_is_a_choice_of_the_chart(repository: Any) -> None:
    offered = {name for axis in AXES.values() for names in axis.values() for name in names}
    assert offered == {path.name for path in (repository / "k8s/components").iterdir()}


def test_the_chart_is_what_its_source_makes(renderings: dict[Choice, list[Manifest]]) -> None:
    there = {
        str(path.relative_to(CHART)): path.read_text()
        for path in CHART.rglob("*")
        if path.is_file()
    }
    assert there == make_chart(renderings), "make manifests"


def test_helm_finds_nothing_to_complain_of() -> None:
    found = helm.lint(str(CHART))
    said = [one["error"] for one in found["messages"]]
    assert found["errors"] == []
    assert said == ["icon is recommended"]


def test_a_setting_that_is_set_is_the_services(chart: Any) -> None:
    values = {"settings": {"EXPOFUSE_LIMITS__MAX_JOBS": "7", "EXPOFUSE_WEIGHTS": ""}}
    before, after = (render_chart(chart, one)["ConfigMap/expofuse"] for one in ({}, values))
    changed = {name for name, value in after["data"].items() if value != before["data"][name]}
    assert changed == {"EXPOFUSE_LIMITS__MAX_JOBS", "EXPOFUSE_WEIGHTS"}
    assert after["data"]["EXPOFUSE_LIMITS__MAX_JOBS"] == "7"
    assert after["data"]["EXPOFUSE_WEIGHTS"] == ""


def test_a_changed_setting_rolls_the_pods(chart: Any) -> None:
    def checksum(settings: dict[str, str]) -> str:
        texts = chart.render({"settings": settings}, name="expofuse", namespace="default")
        (text,) = (text for name, text in texts.items() if name.endswith("/deployment.yaml"))
        return yaml.safe_load(text)["spec"]["template"]["metadata"]["annotations"][CHECKSUM]

    assert checksum({}) == checksum({"EXPOFUSE_LOG_LEVEL": "info"})
    assert checksum({}) != checksum({"EXPOFUSE_LOG_LEVEL": "debug"})


@pytest.mark.parametrize(
    "values",
    [
        {"devise": "gpu"},
        {"device": "tpu"},
        {"production": "yes"},
        {"settings": {"EXPOFUSE_LIMITS__MAX_JOB": "7"}},
        {"settings": {"EXPOFUSE_LIMITS__MAX_JOBS": 7}},
        {"settings": {"EXPOFUSE_PORT": "9999"}},
        {"resources": {"limits": {"memroy": "1Gi"}}},
    ],
    ids=json.dumps,
)
def test_values_that_mean_nothing_are_refused(chart: Any, values: dict[str, Any]) -> None:
    with pytest.raises(helm.HelmValuesError):
        chart.render(values, name="expofuse", namespace="default")


def place(tree: Any, name: str, value: Any) -> dict[str, Any]:
    for part in reversed(name.split(".")):
        value = {part: value}
    return value


SAMPLES = {int: 3, str: "5", dict: {"added": "yes"}, list: [{"name": "added"}], type(None): 3}
EVERYTHING = {"production": True, "monitoring": True}


@pytest.mark.parametrize("name", [one.name for one in (*VALUES, *ADDITIONS)])
def test_every_value_changes_what_is_rendered(chart: Any, name: str) -> None:
    default = chart.values
    for part in name.split("."):
        default = default.get(part)
    sample = place(chart, name, SAMPLES[type(default)])
    changed = False
    for scaler in AXES["autoscaler"]:
        chosen = EVERYTHING | {"autoscaler": scaler}
        changed |= render_chart(chart, chosen) != render_chart(chart, chosen | sample)
    assert changed


def test_another_image_keeps_the_tag_of_the_device(chart: Any) -> None:
    version = read_version()
    for device, tag in {"cpu": f"{version}-cpu", "gpu": version}.items():
        values = {"device": device, "image": {"repository": "registry.example/expofuse"}}
        deployment = render_chart(chart, values)["Deployment/expofuse"]
        (container,) = deployment["spec"]["template"]["spec"]["containers"]
        assert container["image"] == f"registry.example/expofuse:{tag}"


def test_the_schema_knows_every_setting_but_the_ports() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())
    known = schema["properties"]["settings"]["properties"]
    fixed = {"EXPOFUSE_HOST", "EXPOFUSE_PORT", "EXPOFUSE_METRICS_PORT"}
    assert set(known) == set(setting_names()) - fixed


def test_differences_that_no_condition_tells_apart_are_an_error() -> None:
    universe = list_choices()
    with pytest.raises(ConditionError):
        find_condition([universe[0], universe[-1]], universe)


@pytest.mark.parametrize(
    "text",
    [
        "a\nb\n",
        "a\n\n  b",
        "a\nb\n\n",
        " a\nb",
        "a\n   ",
        "a\u2028b\nc\n",
        "# a\nb: {{ $labels.job }}\n",
        "{{ .Values.device }}",
        "",
        "yes",
    ],
)
def test_helm_gives_a_text_back_as_it_was(text: str, tmp_path: Path) -> None:
    choice = list_choices()[0]
    manifest = {"data": {"text": text, "next": "n"}}
    template = write_template("ConfigMap/a", {choice: manifest}, [choice], Openings({}, {}))
    (tmp_path / "templates").mkdir()
    (tmp_path / "Chart.yaml").write_text("apiVersion: v2\nname: one\nversion: 1.0.0\n")
    (tmp_path / "templates/one.yaml").write_text(template)
    with helm.Chart.load(str(tmp_path)) as chart:
        (rendered,) = chart.render({}, name="one", namespace="default").values()
    assert yaml.safe_load(rendered) == manifest
