"""The compose file fits the compose specification and the service's settings."""

import json
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from service.lifecycle import fit_limits
from service.settings import Settings, setting_names
from service.worst_case import count_stop_s

GIBIBYTE = 2**30


@pytest.fixture
def compose(repository: Path) -> dict[str, Any]:
    return yaml.safe_load((repository / "docker-compose.yml").read_text())


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    """The specification's own schema, as check-jsonschema carries it."""
    text = files("check_jsonschema.builtin_schemas").joinpath("vendor/compose-spec.json")
    return json.loads(text.read_text())


@pytest.fixture(params=["expofuse", "expofuse-cpu"])
def service(request: pytest.FixtureRequest, compose: dict[str, Any]) -> dict[str, Any]:
    return compose["services"][request.param]


def test_compose_file_fits_the_specification(
    compose: dict[str, Any], schema: dict[str, Any]
) -> None:
    jsonschema.validate(compose, schema)


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


def test_each_profile_has_one_service_and_prometheus(compose: dict[str, Any]) -> None:
    for profile, ours in {"gpu": "expofuse", "cpu": "expofuse-cpu"}.items():
        active = {n for n, s in compose["services"].items() if profile in s["profiles"]}
        assert active == {ours, "prometheus"}


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


def test_environment_names_known_settings_only(service: dict[str, Any]) -> None:
    assert service["environment"].keys() <= setting_names().keys()


def test_shared_memory_holds_every_admitted_megapixel(service: dict[str, Any]) -> None:
    limits = Settings.model_fields["limits"].default
    size_bytes = int(service["shm_size"].removesuffix("gb")) * GIBIBYTE
    assert fit_limits(limits, size_bytes) == limits


def test_grace_period_is_the_longest_that_an_end_takes(service: dict[str, Any]) -> None:
    grace_s = float(service["stop_grace_period"].removesuffix("s"))
    assert count_stop_s(Settings()) <= grace_s <= count_stop_s(Settings()) + 15


def test_no_memory_limit_is_below_the_sum_of_the_bounds(service: dict[str, Any]) -> None:
    # There is none: codec processes grow with the cores of the machine, and so does the sum.
    assert not {"mem_limit", "memswap_limit"} & service.keys()
    assert "limits" not in service.get("deploy", {}).get("resources", {})


def test_every_container_has_no_more_rights_than_it_needs(compose: dict[str, Any]) -> None:
    for service in compose["services"].values():
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]


def test_ports_are_published_on_loopback_only(compose: dict[str, Any]) -> None:
    for service in compose["services"].values():
        for port in service["ports"]:
            assert port.startswith(("127.0.0.1:", "${BIND_ADDRESS:-127.0.0.1}:"))


def test_prometheus_is_pinned_and_finds_the_service_in_both_profiles(
    compose: dict[str, Any], repository: Path
) -> None:
    prometheus = compose["services"]["prometheus"]
    assert prometheus["image"].partition(":")[2] not in {"", "latest"}
    config_path = prometheus["volumes"][0].split(":")[0]
    config = yaml.safe_load((repository / config_path).read_text())
    jobs = {
        job["job_name"]: job["static_configs"][0]["targets"] for job in config["scrape_configs"]
    }
    (target,) = jobs["expofuse"]
    host, port = target.split(":")
    assert host in compose["services"]
    assert host in compose["services"]["expofuse-cpu"]["networks"]["default"]["aliases"]
    assert int(port) == Settings.model_fields["port"].default
