"""A real Prometheus scrapes the real service; its API gives back what the service counted."""

import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, get_args

import httpx
import pytest
import yaml

from service.request_record import Stage
from tests.server import RunningServer, free_port, running_server

START_TIMEOUT_S = 300
SCRAPE_TIMEOUT_S = 300

Sample = dict[str, Any]


def tool(name: str) -> str:
    path = shutil.which(name)
    if path is None:
        pytest.skip(f"{name} is not installed (Debian: apt-get install prometheus)")
    return path


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    tool("prometheus")
    log_path = tmp_path_factory.mktemp("service") / "service.log"
    with running_server(log_path=log_path) as server:
        yield server


@contextmanager
def running_prometheus(config: Path, folder: Path) -> Iterator[httpx.Client]:
    """Prometheus with this configuration; yields a client of its API."""
    address = f"127.0.0.1:{free_port()}"
    log_path = folder / "prometheus.log"
    with log_path.open("wb") as log:
        process = subprocess.Popen(
            [
                tool("prometheus"),
                f"--config.file={config}",
                f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address={address}",
            ],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        with httpx.Client(base_url=f"http://{address}", trust_env=False) as client:
            deadline = time.monotonic() + START_TIMEOUT_S
            while not is_ready(client):
                assert process.poll() is None, log_path.read_text()
                assert time.monotonic() < deadline, log_path.read_text()
                time.sleep(0.2)
            yield client
    finally:
        process.terminate()
        process.wait(300)


def is_ready(client: httpx.Client) -> bool:
    try:
        return client.get("/-/ready").status_code == 200
    except httpx.TransportError:
        return False


@pytest.fixture(scope="module")
def prometheus(
    repository: Path, server: RunningServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[httpx.Client]:
    """Prometheus with the repository's configuration; addresses and pace are the test's."""
    folder = tmp_path_factory.mktemp("prometheus")
    config = yaml.safe_load((repository / "deploy/prometheus/prometheus.yml").read_text())
    config["global"] = {"scrape_interval": "1s", "scrape_timeout": "1s"}
    (ours,) = (job for job in config["scrape_configs"] if job["job_name"] == "expofuse")
    ours["static_configs"][0]["targets"] = [server.base_url.removeprefix("http://")]
    config["scrape_configs"] = [ours]
    path = folder / "prometheus.yml"
    path.write_text(yaml.safe_dump(config))
    with running_prometheus(path, folder) as client:
        yield client


def query(client: httpx.Client, expression: str) -> list[Sample]:
    answer = client.get("/api/v1/query", params={"query": expression})
    assert answer.status_code == 200, answer.text
    return answer.json()["data"]["result"]


def wait_for(client: httpx.Client, expression: str) -> list[Sample]:
    """The first non-empty answer; Prometheus knows a number after its next scrape only."""
    deadline = time.monotonic() + SCRAPE_TIMEOUT_S
    while time.monotonic() < deadline:
        if samples := query(client, expression):
            return samples
        time.sleep(0.3)
    raise AssertionError(f"nothing for {expression} within {SCRAPE_TIMEOUT_S} s")


def value(sample: Sample) -> float:
    return float(sample["value"][1])


def test_configuration_passes_prometheus_own_check(repository: Path) -> None:
    config = repository / "deploy/prometheus/prometheus.yml"
    done = subprocess.run(
        [tool("promtool"), "check", "config", config], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.e2e
def test_prometheus_counts_every_stage_of_a_fused_pair(
    server: RunningServer, prometheus: httpx.Client, pair_png: tuple[bytes, bytes]
) -> None:
    under, over = pair_png
    answer = httpx.post(
        f"{server.base_url}/fuse",
        files={"under": ("under.png", under), "over": ("over.png", over)},
        timeout=120,
        trust_env=False,
    )
    assert answer.status_code == 200, answer.text

    wait_for(prometheus, 'expofuse_requests_total{outcome="fused"} == 1')
    counts = {
        sample["metric"]["stage"]: value(sample)
        for sample in query(prometheus, "expofuse_stage_seconds_count")
    }
    assert counts == dict.fromkeys(get_args(Stage), 1.0)
    (spent,) = query(prometheus, 'expofuse_stage_seconds_sum{stage="fuse"}')
    (bucket,) = query(prometheus, 'expofuse_stage_seconds_bucket{stage="fuse", le="+Inf"}')
    assert value(spent) > 0
    assert value(bucket) == 1


@pytest.mark.e2e
def test_prometheus_knows_which_weights_are_served(
    server: RunningServer, prometheus: httpx.Client
) -> None:
    (sample,) = wait_for(prometheus, "expofuse_weights_info")
    served = httpx.get(f"{server.base_url}/version", trust_env=False).json()
    labels = sample["metric"]
    assert value(sample) == 1
    assert {"name": labels["name"], "version": labels["version"]} == served["weights"]
    assert labels["device"] == served["device"] == "cpu"


@pytest.mark.e2e
def test_prometheus_sees_the_service_and_its_worker_up(prometheus: httpx.Client) -> None:
    for expression in ('up{job="expofuse"}', "expofuse_worker_up"):
        (sample,) = wait_for(prometheus, expression)
        assert value(sample) == 1, expression
