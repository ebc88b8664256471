"""What a service on the internet meets: clients and a system that behave badly, for a long time."""

import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import httpx
import numpy as np
import psutil
import pytest

from tests import images
from tests.integration.conftest import make_client, metric, problem_of, server_settings, wait_for
from tests.paths import ROOT
from tests.server import (
    RunningServer,
    free_port,
    limit_files,
    run_to_its_end,
    running_server,
    server_environment,
)

pytestmark = pytest.mark.e2e

STALL_S = 3.0
MAX_CONNECTIONS = 16


@contextmanager
def serving(weights, tmp_path, *, open_files=None, **settings) -> Iterator[RunningServer]:
    environment = server_settings(weights) | settings
    log_path = tmp_path / "server.log"
    with running_server(environment, log_path=log_path, open_files=open_files) as running:
        yield running


@pytest.fixture(scope="module")
def strict(weights: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server of few connections, and impatient with clients that do not read."""
    settings = {
        "EXPOFUSE_LIMITS__SEND_STALL_TIMEOUT_S": str(STALL_S),
        "EXPOFUSE_LIMITS__MAX_RESPONSE_BYTES": "8000000",
        "EXPOFUSE_LIMITS__MAX_CONNECTIONS": str(MAX_CONNECTIONS),
    }
    with serving(weights, tmp_path_factory.mktemp("strict"), **settings) as running:
        yield running


def children(server: RunningServer, name: str) -> list[psutil.Process]:
    family = psutil.Process(server.process.pid).children()
    return [one for one in family if f"service.{name}.child" in " ".join(one.cmdline())]


def form_of(files: dict[str, bytes], query: str = "") -> bytes:
    """A whole request to `/fuse`, as bytes for a socket."""
    request = httpx.Request("POST", f"http://x/fuse{query}", files=files)
    head = f"POST /fuse{query} HTTP/1.1\r\nhost: x\r\n".encode()
    for name in ("content-type", "content-length"):
        head += f"{name}: {request.headers[name]}\r\n".encode()
    return head + b"\r\n" + request.read()


def connect(server: RunningServer, *, receive_bytes: int | None = None) -> socket.socket:
    host, port = server.base_url.removeprefix("http://").split(":")
    client = socket.socket()
    if receive_bytes is not None:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
    client.settimeout(300)
    client.connect((host, int(port)))
    return client


@pytest.fixture(scope="module")
def small() -> dict[str, bytes]:
    return {
        "under": images.encoded("png", pixels=images.scene(64, 96, gain=0.3)),
        "over": images.encoded("png", pixels=images.scene(64, 96)),
    }


@pytest.fixture(scope="module")
def noisy() -> dict[str, bytes]:
    """A pair whose picture is some megabytes as PNG."""
    rng = np.random.default_rng(0)
    under = rng.integers(0, 128, (1100, 1500, 3), np.uint8)
    return {
        "under": images.encoded("jpeg", pixels=under),
        "over": images.encoded("jpeg", pixels=under + 100),
    }


@pytest.mark.slow
def test_a_stopped_worker_is_replaced_though_its_clients_give_up_in_turn(weights, small, tmp_path):
    with (
        serving(weights, tmp_path, EXPOFUSE_WORKER__STALL_TIMEOUT_S="3") as server,
        make_client(server) as client,
    ):
        (worker,) = children(server, "device")
        worker.send_signal(signal.SIGSTOP)
        request = form_of(small, "?align=off")
        begin = time.monotonic()
        while metric(client, "worker_restarts_total") == 0:
            with connect(server) as one:
                one.sendall(request)
                time.sleep(0.8)
            assert time.monotonic() < begin + 300, "a stopped worker is still held to be alive"
        wait_for(lambda: client.get("/readyz").status_code == 200)
        assert client.post("/fuse?align=off", files=small).status_code == 200


@pytest.mark.slow
def test_a_hundred_cancelled_jobs_before_a_hung_worker_do_not_block_the_service(
    weights, small, tmp_path
):
    settings = {"EXPOFUSE_WORKER__STALL_TIMEOUT_S": "6", "EXPOFUSE_WORKER__MAX_RUNNING": "2"}
    with serving(weights, tmp_path, **settings) as server, make_client(server) as client:
        (worker,) = children(server, "device")
        worker.send_signal(signal.SIGSTOP)
        request = form_of(small, "?align=off")
        for _ in range(100):
            with connect(server) as one:
                one.sendall(request)
            assert client.get("/healthz").status_code == 200
        assert metric(client, "running_jobs") <= 2
        wait_for(lambda: metric(client, "worker_restarts_total") == 1)
        wait_for(lambda: client.post("/fuse?align=off", files=small).status_code == 200)


def test_a_service_without_codec_processes_is_not_ready(weights, tmp_path):
    with serving(weights, tmp_path) as server, make_client(server) as client:
        for one in children(server, "codec"):
            one.kill()
        wait_for(lambda: client.get("/readyz").status_code == 503)
        answer = client.get("/readyz")
        if answer.status_code == 503:
            assert "no codec process" in problem_of(answer)["detail"]
        wait_for(lambda: client.get("/readyz").status_code == 200)


def test_clients_that_read_nothing_fill_a_budget_and_are_cut_off(strict, noisy):
    request = form_of(noisy, "?align=off&format=png")
    with make_client(strict) as client, ExitStack() as held:
        size = len(client.post("/fuse?align=off&format=png", files=noisy).content)
        assert size > 2_000_000
        loop = psutil.Process(strict.process.pid)
        before = loop.memory_info().rss
        for _ in range(4):
            held.enter_context(connect(strict, receive_bytes=4096)).sendall(request)
        wait_for(lambda: metric(client, "response_bytes") >= 8_000_000)
        refused = client.post("/fuse", files=noisy)
        assert refused.status_code == 503
        assert "clients have not read" in problem_of(refused)["detail"]
        wait_for(lambda: metric(client, "jobs_in_flight") == 0)
        wait_for(lambda: metric(client, "connections_cut_total", reason="stalled") >= 3)
        wait_for(lambda: metric(client, "response_bytes") == 0)
        assert loop.memory_info().rss - before < 60_000_000
        assert client.post("/fuse?align=off", files=noisy).status_code == 200


def test_a_client_that_reads_slowly_gets_its_picture(strict, noisy):
    with connect(strict, receive_bytes=65536) as one:
        one.sendall(form_of(noisy, "?align=off&format=png"))
        received = bytearray()
        while b"\r\n\r\n" not in received:
            received += one.recv(4096)
        head, _, body = bytes(received).partition(b"\r\n\r\n")
        size = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        received = bytearray(body)
        pause_s = 1.5 * STALL_S / (size / 100_000)  # In all longer than the timeout.
        while len(received) < size:
            time.sleep(pause_s)
            received += one.recv(100_000)
    assert received[:4] == b"\x89PNG"


def test_idle_connections_give_way_to_those_who_ask_for_something(strict):
    with ExitStack() as held:
        idle = [held.enter_context(connect(strict)) for _ in range(MAX_CONNECTIONS)]
        with make_client(strict) as client:
            assert client.get("/healthz").status_code == 200
            assert metric(client, "connections_cut_total", reason="idle") >= 1
        assert idle[0].recv(1) == b"", "the oldest one was closed"


def test_a_connection_too_many_is_told_so_and_closed(strict):
    begun = b"POST /fuse HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\n"
    begun += b"content-type: multipart/form-data; boundary=x\r\n\r\n--x\r\n"
    with ExitStack() as held:
        for _ in range(MAX_CONNECTIONS):
            held.enter_context(connect(strict)).sendall(begun)
        answer = b""
        deadline = time.monotonic() + 300
        while b" 503 " not in answer and time.monotonic() < deadline:
            answer = ask_health(strict)
        head, _, body = answer.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 503")
        assert b"retry-after" in head.lower()
        assert f"at most {MAX_CONNECTIONS} open connections" in json.loads(body)["detail"]
    with make_client(strict) as client:
        wait_for(lambda: is_healthy(client))
        assert metric(client, "connections_cut_total", reason="too-many") >= 1


def ask_health(server: RunningServer) -> bytes:
    """Everything that a connection of its own gets to hear."""
    answer = b""
    with connect(server) as one:
        one.sendall(b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        while piece := one.recv(65536):
            answer += piece
    return answer


@pytest.mark.slow
def test_a_standard_error_that_nobody_reads_stops_nothing(weights):
    port = free_port()
    settings = server_settings(weights) | {"EXPOFUSE_LOG_LEVEL": "debug"}
    process = subprocess.Popen(
        [sys.executable, "-m", "service", "serve"],
        cwd=ROOT,
        env=server_environment(port, settings),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
            wait_for(lambda: is_healthy(client))
            # A pipe holds 64 KiB, some 160 lines.
            assert [client.get("/healthz").status_code for _ in range(600)] == [200] * 600
        process.send_signal(signal.SIGTERM)
        assert process.wait(300) == 0
    finally:
        process.kill()
        process.wait()
        assert process.stderr is not None
        process.stderr.close()


def is_healthy(client: httpx.Client) -> bool:
    try:
        return client.get("/healthz").status_code == 200
    except httpx.TransportError:
        return False


def test_a_start_without_files_ends_with_a_sentence(weights, tmp_path):
    ended = run_to_its_end(server_settings(weights), *limit_files(24))
    assert ended.returncode == 1
    (sentence,) = (line for line in ended.stderr.splitlines() if line.startswith("expofuse: "))
    assert "open files to be allowed, got 24" in sentence


@pytest.mark.slow
def test_idle_connections_leave_room_for_processes_to_come_back(weights, small, tmp_path):
    with serving(weights, tmp_path, open_files=64) as server, ExitStack() as held:
        for _ in range(120):
            held.enter_context(connect(server))
        for one in [*children(server, "codec"), *children(server, "device")]:
            one.kill()
        time.sleep(2)
        held.close()
        with make_client(server) as client:
            wait_for(lambda: is_healthy(client))
            wait_for(lambda: client.get("/readyz").status_code == 200)
            assert client.post("/fuse?align=off", files=small).status_code == 200
