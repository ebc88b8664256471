"""The compose file fits the compose specification and the service's settings."""

import json
import re
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from service.lifecycle import fit_limits
from service.settings import CodecSettings, Settings, setting_names
from service.worst_case import count_memory, count_stop_s

GIBIBYTE = 2**30


@pytest.fixture
def compose(repository: Path) -> dict[str, Any]:
    return yaml.safe_load((repository / "docker-compose.yml").read_text())


@pytest.fixture(params=["docker-compose.yml", "deploy/nginx/docker-compose.yml"])
def any_compose(request: pytest.FixtureRequest, repository: Path) -> dict[str, Any]:
    return yaml.safe_load((repository / request.param).read_text())


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    """The specification's own schema, as check-jsonschema carries it."""
    text = files("check_jsonschema.builtin_schemas").joinpath("vendor/compose-spec.json")
    return json.loads(text.read_text())


@pytest.fixture(params=["expofuse", "expofuse-cpu"])
def service(request: pytest.FixtureRequest, compose: dict[str, Any]) -> dict[str, Any]:
    return compose["services"][request.param]


def test_compose_file_fits_the_specification(
    any_compose: dict[str, Any], schema: dict[str, Any]
) -> None:
    jsonschema.validate(any_compose, schema)


def test_specification_refuses_a_misspelt_key(
    compose: dict[str, Any], schema: dict[str, Any]
) -> None:
    compose["services"]["expofuse"]["shm_sise"] = "2gb"
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(compose, schema)


def test_a_plain_up_starts_the_gpu_profile(compose: dict[str, Any], repository: Path) -> None:
    lines = (repository / ".env").read_text().splitlines()
    settings = dict(line.split("=", 1) for line in lines if not line.startswith("#"))
    assert settings == {"COMPOSE_PROFILES": "gpu"}
    assert "gpu" in compose["services"]["expofuse"]["profiles"]


def test_each_profile_has_one_service_and_what_watches_it(compose: dict[str, Any]) -> None:
    for profile, ours in {"gpu": "expofuse", "cpu": "expofuse-cpu"}.items():
        active = {n for n, s in compose["services"].items() if profile in s["profiles"]}
        assert active == {ours, "prometheus", "grafana"}


def test_gpu_service_reserves_an_nvidia_device_and_uses_it(compose: dict[str, Any]) -> None:
    service = compose["services"]["expofuse"]
    (device,) = service["deploy"]["resources"]["reservations"]["devices"]
    assert (device["driver"], device["capabilities"]) == ("nvidia", ["gpu"])
    assert service["environment"]["EXPOFUSE_DEVICE"] == "cuda:0"
    assert service["build"]["args"]["DEVICE"] == "cuda"


def test_cpu_service_reserves_nothing(compose: dict[str, Any]) -> None:
    service = compose["services"]["expofuse-cpu"]
    assert "deploy" not in service
    assert service["environment"]["EXPOFUSE_DEVICE"] == "cpu"
    assert service["build"]["args"]["DEVICE"] == "cpu"


def test_profiles_run_the_same_but_for_the_device(compose: dict[str, Any]) -> None:
    # So what a run of the one shows holds for the other, which needs a GPU.
    gpu, cpu = (compose["services"][name] for name in ("expofuse", "expofuse-cpu"))
    differing = {key for key in gpu.keys() | cpu.keys() if gpu.get(key) != cpu.get(key)}
    assert differing == {"profiles", "image", "build", "environment", "deploy", "networks"}
    differing = {
        key for key, value in gpu["environment"].items() if cpu["environment"].get(key) != value
    }
    assert differing == {"EXPOFUSE_DEVICE"}
    assert gpu["environment"].keys() == cpu["environment"].keys()


def test_environment_names_known_settings_only(service: dict[str, Any]) -> None:
    assert service["environment"].keys() <= setting_names().keys()


def test_shared_memory_holds_every_admitted_megapixel(service: dict[str, Any]) -> None:
    limits = Settings.model_fields["limits"].default
    size_bytes = int(service["shm_size"].removesuffix("gb")) * GIBIBYTE
    assert fit_limits(limits, size_bytes) == limits


def test_grace_period_is_the_longest_that_an_end_takes(service: dict[str, Any]) -> None:
    grace_s = float(service["stop_grace_period"].removesuffix("s"))
    assert count_stop_s(Settings()) <= grace_s <= count_stop_s(Settings()) + 15


def test_memory_limit_is_the_sum_of_the_bounds_with_two_codec_processes(
    service: dict[str, Any],
) -> None:
    (limit_gib,) = re.findall(r"^\$\{MEMORY_LIMIT:-(\d+)g\}$", service["mem_limit"])
    assert service["memswap_limit"] == service["mem_limit"]
    settings = Settings(codec=CodecSettings(processes=2))
    most = sum(count_memory(settings).values())
    assert most <= int(limit_gib) * GIBIBYTE <= most + GIBIBYTE


def test_every_container_has_no_more_rights_than_it_needs(any_compose: dict[str, Any]) -> None:
    for service in any_compose["services"].values():
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]


def test_ports_are_published_on_loopback_only(any_compose: dict[str, Any]) -> None:
    for service in any_compose["services"].values():
        for port in service.get("ports", []):
            assert port.startswith(("127.0.0.1:", "${BIND_ADDRESS:-127.0.0.1}:"))


def test_every_container_is_bounded_in_memory_and_processes(any_compose: dict[str, Any]) -> None:
    for service in any_compose["services"].values():
        assert service["mem_limit"] == service["memswap_limit"]
        assert service["pids_limit"] > 0


def test_images_are_pinned(any_compose: dict[str, Any]) -> None:
    for service in any_compose["services"].values():
        assert service["image"].partition(":")[2] not in {"", "latest"}


def test_grafana_finds_prometheus_and_lets_everybody_look(
    compose: dict[str, Any], repository: Path
) -> None:
    grafana = compose["services"]["grafana"]
    assert grafana["environment"]["GF_AUTH_ANONYMOUS_ORG_ROLE"] == "Viewer"
    sources, provider = (
        yaml.safe_load((repository / "deploy/grafana/provisioning" / name).read_text())
        for name in ("datasources/prometheus.yaml", "dashboards/expofuse.yaml")
    )
    (source,) = sources["datasources"]
    assert source["url"] == "http://prometheus:9090"
    mounted = dict(reversed(volume.split(":")[:2]) for volume in grafana["volumes"])
    assert mounted["/etc/grafana/provisioning"] == "./deploy/grafana/provisioning"
    assert mounted[provider["providers"][0]["options"]["path"]] == "./deploy/grafana/dashboards"


def test_prometheus_finds_the_service_in_both_profiles(
    compose: dict[str, Any], repository: Path
) -> None:
    folder, inside = compose["services"]["prometheus"]["volumes"][0].split(":")[:2]
    assert inside == "/etc/prometheus"
    config = yaml.safe_load((repository / folder / "prometheus.yml").read_text())
    jobs = {
        job["job_name"]: job["static_configs"][0]["targets"] for job in config["scrape_configs"]
    }
    (target,) = jobs["expofuse"]
    host, port = target.split(":")
    assert host in compose["services"]
    assert host in compose["services"]["expofuse-cpu"]["networks"]["default"]["aliases"]
    assert int(port) == Settings.model_fields["port"].default
