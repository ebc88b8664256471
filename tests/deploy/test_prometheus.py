"""A real Prometheus scrapes the real service; its API gives back what the service counted."""

import math
import shutil
import subprocess
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, get_args

import httpx
import pytest
import yaml

from service.keys.secret import Key
from service.request_record import Stage
from tests.deploy.promql import (
    RULES,
    capacity_queries,
    panel_expressions,
    read_rules,
    selectors_in,
)
from tests.server import RunningServer, free_port, running_server
from tests.service.keys.conftest import KeyFile

START_TIMEOUT_S = 300
SCRAPE_TIMEOUT_S = 300
MAX_SERIES = 600
"""Of one replica with one weights version and one key."""

Sample = dict[str, Any]


def tool(name: str) -> str:
    path = shutil.which(name)
    if path is None:
        pytest.skip(f"{name} is not installed (Debian: apt-get install prometheus)")
    return path


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> KeyFile:
    return KeyFile(tmp_path_factory.mktemp("keys") / "keys.json")


@pytest.fixture(scope="module")
def key(keys: KeyFile) -> Key:
    return keys.add()


@pytest.fixture(scope="module")
def metrics_address() -> str:
    return f"127.0.0.1:{free_port()}"


@pytest.fixture(scope="module")
def server(
    keys: KeyFile, key: Key, metrics_address: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningServer]:
    """A service with everything that has metrics, which are on a port that needs no key."""
    tool("prometheus")
    place = tmp_path_factory.mktemp("service")
    settings = {
        "EXPOFUSE_KEYS__FILE": str(keys.path),
        "EXPOFUSE_KEYS__REQUESTS_PER_MINUTE": "100000",
        "EXPOFUSE_METRICS_PORT": metrics_address.rpartition(":")[2],
        "EXPOFUSE_STATE_DIR": str(place / "state"),
    }
    with running_server(settings, log_path=place / "service.log") as server:
        yield server


@pytest.fixture(scope="module")
def asking(server: RunningServer, key: Key) -> Iterator[httpx.Client]:
    """A client with a key."""
    with httpx.Client(
        base_url=server.base_url,
        headers={"Authorization": f"Bearer {key.text}"},
        timeout=300,
        trust_env=False,
    ) as client:
        yield client


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
    repository: Path,
    server: RunningServer,
    metrics_address: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[httpx.Client]:
    """Prometheus with the repository's configuration; addresses and pace are the test's."""
    folder = tmp_path_factory.mktemp("prometheus")
    config = yaml.safe_load((repository / "deploy/prometheus/prometheus.yml").read_text())
    paces = ("scrape_interval", "scrape_timeout", "evaluation_interval")
    config["global"] = dict.fromkeys(paces, "1s")
    config["rule_files"] = [str(RULES)]
    (ours,) = (job for job in config["scrape_configs"] if job["job_name"] == "expofuse")
    ours["static_configs"][0]["targets"] = [metrics_address]
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


def form_of(pair: tuple[bytes, bytes]) -> dict[str, tuple[str, bytes]]:
    return {"under": ("under.png", pair[0]), "over": ("over.png", pair[1])}


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
    asking: httpx.Client, prometheus: httpx.Client, pair_png: tuple[bytes, bytes]
) -> None:
    answer = asking.post("/fuse", files=form_of(pair_png))
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
    asking: httpx.Client, prometheus: httpx.Client
) -> None:
    (sample,) = wait_for(prometheus, "expofuse_weights_info")
    served = asking.get("/version").json()
    labels = sample["metric"]
    assert value(sample) == 1
    assert {"name": labels["name"], "version": labels["version"]} == served["weights"]
    assert labels["device"] == served["device"] == "cpu"


@pytest.mark.e2e
def test_prometheus_sees_the_service_and_its_worker_up(prometheus: httpx.Client) -> None:
    for expression in ('up{job="expofuse"}', "expofuse_worker_up"):
        (sample,) = wait_for(prometheus, expression)
        assert value(sample) == 1, expression


@pytest.fixture(scope="module")
def load(asking: httpx.Client, pair_png: tuple[bytes, bytes]) -> Iterator[None]:
    """One request after another while the tests ask: pictures, a job, and what is refused."""
    is_over = threading.Event()
    statuses: set[int] = set()
    asking.post("/jobs", files=form_of(pair_png)).raise_for_status()

    def ask() -> None:
        while not is_over.wait(0.05):
            for query in ("", "?format=none"):
                statuses.add(asking.post(f"/fuse{query}", files=form_of(pair_png)).status_code)

    thread = threading.Thread(target=ask)
    thread.start()
    yield
    is_over.set()
    thread.join()
    assert statuses == {200, 422}


@pytest.mark.e2e
def test_every_query_of_the_dashboard_and_the_capacity_gets_numbers_from_a_service_under_load(
    prometheus: httpx.Client, load: None
) -> None:
    left = [expression for _, expression in panel_expressions()]
    assert capacity_queries()
    left += capacity_queries()
    deadline = time.monotonic() + SCRAPE_TIMEOUT_S
    while left and time.monotonic() < deadline:
        left = [
            expression
            for expression in left
            if all(math.isnan(value(sample)) for sample in query(prometheus, expression))
        ]
        time.sleep(0.3)
    assert not left


@pytest.mark.e2e
def test_every_series_that_a_rule_looks_at_is_there_and_every_rule_is_evaluated(
    prometheus: httpx.Client, load: None
) -> None:
    for rule in read_rules():
        if "record" in rule:
            wait_for(prometheus, rule["expr"])
            wait_for(prometheus, rule["record"])
        for selector in selectors_in(rule["expr"]):
            wait_for(prometheus, selector)
    groups = prometheus.get("/api/v1/rules").json()["data"]["groups"]
    evaluated = [rule for group in groups for rule in group["rules"]]
    assert len(evaluated) == len(read_rules())
    assert {rule["health"] for rule in evaluated} == {"ok"}
    assert not [rule["name"] for rule in evaluated if rule.get("state") == "firing"]


@pytest.mark.e2e
def test_the_exposition_passes_prometheus_own_check_and_has_few_series(
    asking: httpx.Client, metrics_address: str, load: None
) -> None:
    before = read_exposition(metrics_address)
    done = subprocess.run(
        [tool("promtool"), "check", "metrics"], input=before, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    for number in range(50):
        name = uuid.uuid4().hex
        asking.get(f"/{name}", headers={"X-Request-Id": name, "User-Agent": name})
        asking.post(f"/fuse?{name}={number}", headers={"Content-Type": name})
        httpx.get(f"{asking.base_url}/limits", headers={"Authorization": f"Bearer {name}"})
    assert series_in(before) == series_in(read_exposition(metrics_address))
    assert len(series_in(before)) <= MAX_SERIES


def read_exposition(address: str) -> str:
    return httpx.get(f"http://{address}/metrics", trust_env=False).text


def series_in(exposition: str) -> set[str]:
    return {line.rpartition(" ")[0] for line in exposition.splitlines() if not line.startswith("#")}
