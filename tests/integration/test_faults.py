"""Processes that are killed under load, and the end of the service: nothing lost, nothing twice."""

import os
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import httpx
import psutil
import pytest

from tests import images
from tests.integration.conftest import make_client, metric, problem_of, server_settings, wait_for
from tests.server import RunningServer, running_server

pytestmark = pytest.mark.e2e

CLIENTS = 6
REQUESTS = 24
TIMEOUT_S = 300.0
SLOW_WEIGHTS = "hyperp-mb-1.1.0"
"""A twentieth as fast as the default, so that a kill finds work under way."""


@pytest.fixture(scope="module")
def own_server(tmp_path_factory) -> Iterator[RunningServer]:
    log_path = tmp_path_factory.mktemp("faults") / "server.log"
    with running_server(server_settings(SLOW_WEIGHTS), log_path=log_path) as running:
        yield running


@pytest.fixture(scope="module")
def pair() -> dict[str, bytes]:
    """Large enough that a kill finds work under way, small enough for a busy machine."""
    return {
        "under": images.encoded("png", pixels=images.scene(200, 300, gain=0.3)),
        "over": images.encoded("png", pixels=images.scene(200, 300, gain=1.0)),
    }


def send_load(
    server: RunningServer, pair: dict[str, bytes], pool: ThreadPoolExecutor, name: str
) -> list[Future[httpx.Response]]:
    def send(index: int) -> httpx.Response:
        with make_client(server) as client:
            headers = {"X-Request-Id": f"{name}-{index}"}
            return client.post("/fuse", files=pair, headers=headers)

    return [pool.submit(send, index) for index in range(REQUESTS)]


def codec_processes(server: RunningServer) -> list[psutil.Process]:
    return children(server, "service.codec.child")


def device_workers(server: RunningServer) -> list[psutil.Process]:
    return children(server, "service.device.child")


def children(server: RunningServer, mark: str) -> list[psutil.Process]:
    found = []
    for process in psutil.Process(server.process.pid).children():
        try:
            if mark in " ".join(process.cmdline()):
                found.append(process)
        except psutil.NoSuchProcess:
            continue
    return found


def let_victims_finish(client: httpx.Client) -> None:
    """Wait until whatever was under way has been answered: a second death would fail it."""
    before = metric(client, "requests_total", outcome="fused")
    wait_for(lambda: metric(client, "requests_total", outcome="fused") >= before + CLIENTS)


def check_answers(
    answers: list[httpx.Response], name: str, reference: bytes, log: Callable[[], str]
) -> None:
    assert len(answers) == REQUESTS
    settled = '"request_id": "{}-{}", "route": "/fuse"'.format
    # A line is written just after its answer has left.
    wait_for(lambda: all(settled(name, index) in log() for index in range(REQUESTS)))
    assert all(log().count(settled(name, index)) == 1 for index in range(REQUESTS))
    for index, answer in enumerate(answers):
        assert answer.status_code == 200, answer.text
        assert answer.headers["x-request-id"] == f"{name}-{index}"
        assert answer.content == reference


@pytest.mark.slow
def test_where_memory_runs_out_the_process_that_knows_all_requests_is_the_last_to_go(own_server):
    """What the kernel then does is a row of `python -m bench faults`."""

    def read_score(process: psutil.Process) -> int:
        return int(Path(f"/proc/{process.pid}/oom_score_adj").read_text("ascii"))

    codecs = [read_score(one) for one in codec_processes(own_server)]
    workers = [read_score(one) for one in device_workers(own_server)]
    own = int(Path("/proc/self/oom_score_adj").read_text("ascii"))
    assert min(codecs) > max(workers) > own


def test_a_worker_killed_under_load_loses_no_request_and_answers_none_twice(own_server, pair):
    with make_client(own_server) as client, ThreadPoolExecutor(CLIENTS) as pool:
        reference = client.post("/fuse", files=pair).content
        fused_before = metric(client, "requests_total", outcome="fused")
        load = send_load(own_server, pair, pool, "worker")
        for restarts in range(2):
            wait_for(lambda: metric(client, "running_jobs") >= 2)
            (victim,) = device_workers(own_server)
            victim.kill()
            wait_for(lambda seen=restarts: metric(client, "worker_restarts_total") > seen)
            let_victims_finish(client)
        answers = [one.result() for one in load]
        check_answers(answers, "worker", reference, own_server.log)
        assert metric(client, "requests_total", outcome="fused") == fused_before + REQUESTS
        assert metric(client, "jobs_in_flight") == metric(client, "megapixels_in_flight") == 0
        wait_for(lambda: client.get("/readyz").status_code == 200)


def test_a_dead_worker_is_seen_by_readiness_but_not_by_health(own_server):
    with make_client(own_server) as client:
        (victim,) = device_workers(own_server)
        victim.kill()
        wait_for(lambda: client.get("/readyz").status_code == 503)
        assert client.get("/healthz").status_code == 200
        assert metric(client, "worker_up") == 0
        refused = client.get("/readyz")
        if refused.status_code == 503:
            assert "warmed up" in problem_of(refused)["detail"]
            assert refused.headers["retry-after"] == "5"
        wait_for(lambda: client.get("/readyz").status_code == 200)


@pytest.mark.slow
def test_codec_processes_killed_under_load_lose_no_request_and_answer_none_twice(own_server, pair):
    with make_client(own_server) as client, ThreadPoolExecutor(CLIENTS) as pool:
        reference = client.post("/fuse", files=pair).content
        load = send_load(own_server, pair, pool, "codec")
        victims = codec_processes(own_server)
        assert len(victims) == 2
        for killed, victim in enumerate(victims):
            wait_for(lambda: metric(client, "jobs_in_flight") >= 2)
            victim.kill()
            wait_for(lambda seen=killed: metric(client, "codec_restarts_total") > seen)
            let_victims_finish(client)
        answers = [one.result() for one in load]
        check_answers(answers, "codec", reference, own_server.log)
        assert metric(client, "jobs_in_flight") == 0
        wait_for(lambda: metric(client, "codec_processes") == 2)


def test_sigterm_finishes_what_was_accepted_and_ends_with_zero(weights, pair, tmp_path):
    settings = server_settings(weights) | {"EXPOFUSE_DRAIN_PAUSE_S": "1"}
    with (
        running_server(settings, log_path=tmp_path / "server.log") as server,
        ThreadPoolExecutor(CLIENTS) as pool,
        make_client(server) as client,
    ):
        load = send_load(server, pair, pool, "drain")
        wait_for(lambda: metric(client, "jobs_in_flight") >= 3)
        family = psutil.Process(server.process.pid).children(recursive=True)
        server.process.send_signal(signal.SIGTERM)
        wait_for(lambda: client.get("/readyz").status_code == 503)
        assert "draining" in problem_of(client.get("/readyz"))["detail"]
        outcomes = []
        for one in load:
            try:
                outcomes.append(one.result().status_code)
            except httpx.TransportError:
                outcomes.append(None)  # Came after the listener was closed: never accepted.
        assert server.process.wait(TIMEOUT_S) == 0
        assert outcomes.count(200) >= 3
        assert set(outcomes) <= {200, 503, None}
        wait_for(lambda: not any(one.is_running() for one in family))


def test_nothing_outlives_a_service_that_is_killed(weights, tmp_path):
    with running_server(server_settings(SLOW_WEIGHTS), log_path=tmp_path / "server.log") as server:
        family = psutil.Process(server.process.pid).children(recursive=True)
        assert len(family) >= 3
        os.kill(server.process.pid, signal.SIGKILL)
        server.process.wait(TIMEOUT_S)
        wait_for(lambda: not any(one.is_running() for one in family))


def test_a_refused_upload_is_let_go_at_once(weights, tmp_path):
    """Its error must not hold it until the garbage collector happens to run."""
    filler = os.urandom(40_000_000)
    refused = [{"under": filler, "over": b"a"}, {"under": filler, "no": b"1"}, {"under": filler}]
    settings = server_settings(weights) | {"EXPOFUSE_LIMITS__MAX_BODY_BYTES": "50000000"}
    with running_server(settings, log_path=tmp_path / "log") as server, make_client(server) as one:
        one.post("/fuse", files=refused[0])
        loop = psutil.Process(server.process.pid)
        before = loop.memory_info().rss
        for upload in refused * 2:
            assert one.post("/fuse", files=upload).status_code in (400, 415, 422)
            assert loop.memory_info().rss - before < 20_000_000
