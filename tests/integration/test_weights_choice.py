"""Two weights versions in one service: each request gets what the version it asks for gives."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import psutil
import pytest

from service.cli import main
from tests.integration.conftest import (
    RELEASED,
    Post,
    make_client,
    metric,
    problem_of,
    server_settings,
    wait_for,
)
from tests.server import REPOSITORY, RunningServer, running_server

pytestmark = pytest.mark.e2e

OLDER = "hyperp-mb-1.0.0"
NAME = RELEASED.rpartition("-")[0]


@pytest.fixture(scope="module", autouse=True)
def _both_are_there(weights: str) -> None:
    if weights != RELEASED or not (REPOSITORY / "weights" / OLDER).is_dir():
        pytest.skip(f"there are no {RELEASED} and {OLDER} below weights/")


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """The older version is the default, so that a bare name asks for another one."""
    log_path = tmp_path_factory.mktemp("both") / "server.log"
    with running_server(server_settings(f"{OLDER},{RELEASED}"), log_path=log_path) as running:
        yield running


@pytest.fixture(scope="module")
def answers(reference: bytes, under: bytes, over: bytes, tmp_path_factory) -> dict[str, bytes]:
    """What a service that has only one version answers to the sound pair, by its label."""
    log_path = tmp_path_factory.mktemp("older") / "server.log"
    with (
        running_server(server_settings(OLDER), log_path=log_path) as alone,
        make_client(alone) as client,
    ):
        older = client.post("/fuse", files={"under": under, "over": over})
    assert older.headers["x-expofuse-weights"] == OLDER
    assert older.content != reference
    return {RELEASED: reference, OLDER: older.content}


@pytest.fixture(scope="module")
def client_of_both(both: RunningServer) -> Iterator[httpx.Client]:
    with make_client(both) as client:
        yield client


@pytest.fixture(scope="module")
def ask(client_of_both: httpx.Client, under: bytes, over: bytes) -> Post:
    def send(query: str = "", **fields: str) -> httpx.Response:
        files = {"under": under, "over": over}
        return client_of_both.post(f"/fuse{query}", files=files, data=fields)

    return send


@pytest.mark.parametrize(
    ("query", "fields", "label"),
    [
        ("", {}, OLDER),
        (f"?weights={OLDER}", {}, OLDER),
        (f"?weights={RELEASED}", {}, RELEASED),
        (f"?weights={NAME}", {}, RELEASED),
        ("", {"weights": RELEASED}, RELEASED),
    ],
)
def test_a_request_gets_the_bytes_of_a_service_that_has_only_that_version(
    ask, answers, query, fields, label
):
    response = ask(query, **fields)
    assert response.status_code == 200, response.text
    assert response.headers["x-expofuse-weights"] == label
    assert response.content == answers[label]


def test_requests_for_two_versions_at_one_time_keep_their_bytes(ask, answers, client_of_both):
    labels = [OLDER, RELEASED] * 6
    before = {
        label: metric(client_of_both, "fuse_seconds_count", weights=label) for label in answers
    }
    with ThreadPoolExecutor(6) as pool:
        responses = list(pool.map(lambda label: ask(f"?weights={label}"), labels))
    for label, response in zip(labels, responses, strict=True):
        assert response.headers["x-expofuse-weights"] == label
        assert response.content == answers[label]
    for label, count in before.items():
        assert metric(client_of_both, "fuse_seconds_count", weights=label) == count + 6


@pytest.mark.parametrize("given", ["hyperp-mb-9.9.9", "mertens", ""])
def test_weights_that_are_not_loaded_are_a_422_that_names_those_that_are(ask, both, given):
    response = ask(f"?weights={given}")
    assert response.status_code == 422
    problem = problem_of(response)
    assert problem["type"] == "urn:expofuse:problem:bad-option"
    assert problem["detail"] == (
        f"expected weights as one of {OLDER}, {RELEASED}, {NAME}, got another"
    )
    assert "mertens" not in both.log()


def test_what_may_be_asked_for_is_published(client_of_both):
    weights = client_of_both.get("/weights").json()
    assert weights["default"] == OLDER
    assert weights["names"] == {OLDER: OLDER, RELEASED: RELEASED, NAME: RELEASED}
    assert [one["label"] for one in weights["loaded"]] == [OLDER, RELEASED]
    assert {one["architecture"] for one in weights["loaded"]} == {"hyperp-mb"}
    version = client_of_both.get("/version").json()
    assert version["weights"] == {"name": NAME, "version": OLDER.rpartition("-")[2]}
    assert version["weights_loaded"] == weights["loaded"]
    assert [one["is_default"] for one in version["weights_loaded"]] == [True, False]
    paths = client_of_both.get("/openapi.json").json()["paths"]
    assert "200" in paths["/weights"]["get"]["responses"]
    options = {one["name"] for one in paths["/fuse"]["post"]["parameters"]}
    assert "weights" in options


def test_metrics_show_every_version_and_mark_the_default(client_of_both):
    text = client_of_both.get("/metrics").text
    shown = [line for line in text.splitlines() if line.startswith("expofuse_weights_info{")]
    assert len(shown) == 2
    for line, label in zip(shown, (OLDER, RELEASED), strict=True):
        assert f'version="{label.rpartition("-")[2]}"' in line
        assert ('default="true"' in line) == (label == OLDER)


def test_the_log_line_of_a_request_names_its_weights(both, client_of_both, under, over):
    for index, label in enumerate((OLDER, RELEASED)):
        client_of_both.post(
            f"/fuse?weights={label}",
            files={"under": under, "over": over},
            headers={"X-Request-Id": f"choice-{index}"},
        )
        mark = f'"choice-{index}"'
        wait_for(lambda mark=mark: mark in both.log())
        (line,) = [line for line in both.log().splitlines() if mark in line]
        assert json.loads(line)["weights"] == label


def test_the_command_line_asks_for_a_version(both, answers, tmp_path, capsys, under, over):
    (tmp_path / "under.png").write_bytes(under)
    (tmp_path / "over.png").write_bytes(over)
    files = [str(tmp_path / name) for name in ("under.png", "over.png", "fused.png")]
    command = ["fuse", *files, "--url", both.base_url, "--weights"]
    assert main([*command, NAME]) == 0
    assert (tmp_path / "fused.png").read_bytes() == answers[RELEASED]
    assert capsys.readouterr().out.startswith(f"{RELEASED}; ")
    assert main([*command, "none"]) == 1
    assert f"expected weights as one of {OLDER}, {RELEASED}" in capsys.readouterr().err


def test_a_worker_that_is_replaced_serves_every_version_again(both, ask, answers, client_of_both):
    (worker,) = [
        one
        for one in psutil.Process(both.process.pid).children()
        if "spawn_main" in " ".join(one.cmdline())
    ]
    labels = [OLDER, RELEASED] * 3
    with ThreadPoolExecutor(6) as pool:
        load = [pool.submit(ask, f"?weights={label}") for label in labels]
        worker.kill()
        responses = [one.result() for one in load]
    assert [response.content for response in responses] == [answers[label] for label in labels]
    wait_for(lambda: metric(client_of_both, "worker_restarts_total") == 1)
