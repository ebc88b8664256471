"""The nginx configuration fits the service's bounds, and sends again only what is safe."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from service.settings import Settings, setting_names
from service.worst_case import count_stop_s

MEBIBYTE = 2**20


@pytest.fixture
def configuration(repository: Path) -> str:
    return (repository / "deploy/nginx/nginx.conf").read_text()


@pytest.fixture
def compose(repository: Path) -> dict[str, Any]:
    return yaml.safe_load((repository / "deploy/nginx/docker-compose.yml").read_text())


def value(configuration: str, directive: str) -> str:
    """What a directive that stands there once is set to."""
    (found,) = re.findall(rf"^\s*{directive} ([^;]+);$", configuration, re.MULTILINE)
    return found


def seconds(configuration: str, directive: str) -> float:
    return float(value(configuration, directive).removesuffix("s"))


def test_bodies_may_be_as_large_as_the_service_takes_them(configuration: str) -> None:
    size = int(value(configuration, "client_max_body_size").removesuffix("m")) * MEBIBYTE
    assert size == Settings().limits.max_body_bytes


def test_nginx_waits_longer_than_the_deadline_and_lets_go_of_idle_connections_first(
    configuration: str,
) -> None:
    limits = Settings().limits
    assert seconds(configuration, "proxy_read_timeout") > limits.deadline_s
    upstream = configuration[: configuration.index("log_format")]
    assert seconds(upstream, "keepalive_timeout") < limits.idle_timeout_s


def test_only_what_keeps_nothing_is_sent_again_after_it_may_have_begun(configuration: str) -> None:
    locations = dict(re.findall(r"location (?:[~=] )?(\S+) \{(.*?)\}", configuration, re.DOTALL))
    again = {path for path, body in locations.items() if "non_idempotent" in body}
    assert again == {"^/(fuse|group)$"}
    # A refusal is an answer: sent again elsewhere it would make a full fleet fuller.
    assert not re.search(r"proxy_next_upstream .*http_", configuration)


def test_nginx_asks_the_replicas_more_often_than_they_pause_before_they_refuse(
    compose: dict[str, Any], repository: Path
) -> None:
    script = (repository / "deploy/nginx/follow_readiness.sh").read_text()
    (timeout_s,) = re.findall(r"timeout (\d+) wget", script)
    (pause_s,) = re.findall(r"^    sleep (\d+)$", script, re.MULTILINE)
    replica = compose["services"]["replica-1"]
    drain_pause = replica["environment"]["EXPOFUSE_DRAIN_PAUSE_S"]
    (drain_pause_s,) = re.findall(r"^\$\{DRAIN_PAUSE_S:-(\d+)\}$", drain_pause)
    assert float(drain_pause_s) > float(timeout_s) + float(pause_s)
    stop_s = count_stop_s(Settings(drain_pause_s=float(drain_pause_s)))
    assert stop_s <= float(replica["stop_grace_period"].removesuffix("s"))


def test_replicas_have_known_settings_and_nginx_asks_all_of_them(compose: dict[str, Any]) -> None:
    services = compose["services"]
    replicas = {name for name in services if name != "nginx"}
    for name in replicas:
        assert services[name]["environment"].keys() <= setting_names().keys()
    (script,) = services["nginx"]["command"]
    assert set(re.findall(r"([\w-]+):8000", script)) == replicas
    (network,) = compose["networks"]["default"]["ipam"]["config"]
    proxies = services["replica-1"]["environment"]["EXPOFUSE_TRUSTED_PROXIES"]
    assert proxies == network["subnet"]
