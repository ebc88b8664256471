"""How the server process ends: in order at the first signal, at once at the second."""

import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import httpx
import psutil
import pytest

from tests import images
from tests.integration.conftest import make_client, metric, server_settings, wait_for
from tests.integration.test_bad_input import connect, form_head
from tests.integration.test_faults import SLOW_WEIGHTS
from tests.integration.test_http_requests import read_all
from tests.server import running_server

pytestmark = pytest.mark.e2e

CLIENTS = 2


def test_no_request_fails_where_clients_heed_readiness(weights, under, over, tmp_path):
    settings = server_settings(weights) | {"EXPOFUSE_DRAIN_PAUSE_S": "10"}
    with (
        running_server(settings, log_path=tmp_path / "log") as server,
        ThreadPoolExecutor(CLIENTS) as pool,
    ):

        def send_while_ready() -> list[int]:
            statuses = []
            with make_client(server) as client:
                while client.get("/readyz").status_code == 200:
                    files = {"under": under, "over": over}
                    statuses.append(client.post("/fuse?align=off", files=files).status_code)
            return statuses

        load = [pool.submit(send_while_ready) for _ in range(CLIENTS)]
        with make_client(server) as client:
            wait_for(lambda: metric(client, "requests_total", outcome="fused") >= 20)
        server.process.send_signal(signal.SIGTERM)
        statuses = [status for one in load for status in one.result()]
        assert server.process.wait(90) == 0
    assert len(statuses) >= 20
    assert set(statuses) == {200}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_ends_at_once_and_leaves_no_process(number, tmp_path, noisy_pair):
    settings = server_settings(SLOW_WEIGHTS) | {"EXPOFUSE_DRAIN_PAUSE_S": "60"}
    with (
        running_server(settings, log_path=tmp_path / "log") as server,
        ThreadPoolExecutor(1) as pool,
        make_client(server) as client,
    ):
        sent = pool.submit(client.post, "/fuse?align=off", files=noisy_pair)
        with make_client(server) as other:
            wait_for(lambda: metric(other, "running_jobs") == 1)
        family = psutil.Process(server.process.pid).children(recursive=True)
        assert len(family) >= 3
        begin = time.monotonic()
        server.process.send_signal(number)
        wait_for(lambda: '"draining"' in server.log())
        server.process.send_signal(number)
        assert server.process.wait(30) == 128 + number
        assert time.monotonic() - begin < 25  # Neither the pause nor the job was waited for.
        wait_for(lambda: not any(one.is_running() for one in family))
        with suppress(httpx.TransportError):  # It may have been cut.
            assert sent.result().status_code == 503


@pytest.fixture
def noisy_pair():
    return {
        "under": images.encoded("png", pixels=images.scene(900, 1200, gain=0.3)),
        "over": images.encoded("png", pixels=images.scene(900, 1200, gain=1.0)),
    }


def test_a_body_that_is_on_its_way_at_the_end_is_told_so(weights, tmp_path):
    with running_server(server_settings(weights), log_path=tmp_path / "log") as server:
        with connect(server) as connection:
            connection.sendall(form_head(1000) + b"--edge")
            with make_client(server) as client:
                wait_for(lambda: metric(client, "connections") >= 2)
            server.process.send_signal(signal.SIGTERM)
            answer = read_all(connection)
        assert server.process.wait(60) == 0
    assert answer.startswith(b"HTTP/1.1 503 ")
    assert b"worker-stopped" in answer


def test_a_hangup_does_not_end_it(weights, tmp_path):
    with running_server(server_settings(weights), log_path=tmp_path / "log") as server:
        os.kill(server.process.pid, signal.SIGHUP)
        with make_client(server) as client:
            for _ in range(5):
                assert client.get("/readyz").status_code == 200
