"""Kills that do not end, files that run out: no request is lost, and all comes back."""

import os
import random
import signal
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import httpx
import psutil
import pytest

from tests import images
from tests.integration.conftest import TIMEOUT_S, make_client, metric, server_settings, wait_for
from tests.integration.test_faults import children
from tests.server import RunningServer, running_server

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

REQUESTS = 25
CLIENTS = 4
PAIR = {
    "under": images.encoded("png", pixels=images.scene(200, 300, gain=0.3)),
    "over": images.encoded("png", pixels=images.scene(200, 300, gain=1.0)),
}
WORKER, CODEC = "service.device.child", "service.codec.child"


@pytest.fixture(scope="module")
def server(weights, tmp_path_factory) -> Iterator[RunningServer]:
    log_path = tmp_path_factory.mktemp("recovery") / "server.log"
    # Nobody is to wait for a deadline of a request that is run again and again on a busy machine.
    settings = server_settings(weights) | {"EXPOFUSE_LIMITS__DEADLINE_S": "600"}
    with running_server(settings, log_path=log_path) as running:
        yield running


@contextmanager
def killing(server: RunningServer, mark: str, pause_s: float) -> Iterator[list[int]]:
    """Kill one process of this kind again and again, some time after it has come up."""
    killed: list[int] = []
    over = threading.Event()

    def kill() -> None:
        chance = random.Random(1)
        while not over.wait(pause_s * chance.uniform(0.7, 1.3)):
            victims = [one for one in children(server, mark) if one.pid not in killed]
            if victims:
                victim = chance.choice(victims)
                killed.append(victim.pid)
                with suppress(psutil.NoSuchProcess):
                    victim.send_signal(signal.SIGKILL)

    thread = threading.Thread(target=kill)
    thread.start()
    try:
        yield killed
    finally:
        over.set()
        thread.join()


def fuse(server: RunningServer) -> httpx.Response:
    with httpx.Client(base_url=server.base_url, trust_env=False, timeout=600.0) as client:
        return client.post("/fuse", files=PAIR)


def count_of(server: RunningServer) -> tuple[int, int]:
    """Open files of the server, and its processes."""
    process = psutil.Process(server.process.pid)
    return process.num_fds(), len(process.children(recursive=True))


@pytest.mark.parametrize("mark", [WORKER, CODEC])
def test_processes_killed_every_second_or_two_lose_no_request(server, mark):
    with make_client(server) as client, ThreadPoolExecutor(CLIENTS) as pool:
        begin = time.monotonic()
        reference = fuse(server).content
        alone_s = time.monotonic() - begin
        fused = metric(client, "requests_total", outcome="fused")
        # On a machine that is ten times as slow a request must still fit between two kills.
        with killing(server, mark, max(1.5, 4 * alone_s)) as killed:
            answers = list(pool.map(lambda _: fuse(server), range(REQUESTS)))
            while len(killed) < 5:  # A fast machine is done too early.
                answers += list(pool.map(lambda _: fuse(server), range(CLIENTS)))
        assert [one.status_code for one in answers] == [200] * len(answers)
        assert all(one.content == reference for one in answers)
        assert metric(client, "requests_total", outcome="fused") == fused + len(answers)
        wait_for(lambda: client.get("/readyz").status_code == 200)
        wait_for(lambda: metric(client, "codec_processes") == 2)
        assert metric(client, "jobs_in_flight") == 0


def test_thirty_kills_leave_nothing_behind(server):
    with make_client(server) as client:
        for mark in (WORKER, CODEC):
            fuse(server)
            wait_for(lambda: metric(client, "codec_processes") == 2)
            wait_for(lambda: client.get("/readyz").status_code == 200)
            before = count_of(server)
            for _ in range(15):
                kill_one(server, mark)
                wait_for(lambda: client.get("/readyz").status_code == 200)
                wait_for(lambda: metric(client, "codec_processes") == 2)
            assert fuse(server).status_code == 200
            files, processes = count_of(server)
            assert files <= before[0] + 4  # A connection, blocks of the last pair.
            assert processes == before[1]
        own = psutil.Process(server.process.pid).children(recursive=True)
        assert not [one for one in own if one.status() == psutil.STATUS_ZOMBIE]
        # Blocks wait twenty seconds for their next job.
        wait_for(lambda: not blocks_of(server), timeout_s=90.0)


def kill_one(server: RunningServer, mark: str) -> None:
    """Kill a process of this kind and wait for the one that comes after it."""
    ups = children(server, mark)
    ups[0].kill()
    wait_for(lambda: ups[0] not in children(server, mark))
    wait_for(lambda: len(children(server, mark)) == len(ups))


def blocks_of(server: RunningServer) -> list[Path]:
    return list(Path("/dev/shm").glob(f"expofuse-{server.process.pid}-*"))


def test_a_server_that_was_stopped_holds_no_child_responsible(weights, tmp_path):
    settings = server_settings(weights) | {
        "EXPOFUSE_WORKER__STALL_TIMEOUT_S": "2",
        "EXPOFUSE_CODEC__TIMEOUT_S": "2",
        "EXPOFUSE_CODEC__PROCESSES": "1",
    }
    with (
        running_server(settings, log_path=tmp_path / "log") as server,
        make_client(server) as client,
        ThreadPoolExecutor(CLIENTS) as pool,
    ):
        fuse(server)
        answers = [pool.submit(fuse, server) for _ in range(CLIENTS)]
        wait_for(lambda: metric(client, "jobs_in_flight") >= 1 or all(a.done() for a in answers))
        server.process.send_signal(signal.SIGSTOP)
        time.sleep(5.0)  # Twice as long as any of the children may take.
        server.process.send_signal(signal.SIGCONT)
        assert [one.result().status_code for one in answers] == [200] * CLIENTS
        assert metric(client, "worker_restarts_total") == 0
        assert metric(client, "codec_restarts_total") == 0


def test_processes_come_back_within_seconds_of_the_files_being_free(weights, tmp_path):
    with (
        running_server(
            server_settings(weights), log_path=tmp_path / "log", open_files=64
        ) as server,
        ExitStack() as stack,
    ):
        place = httpx.URL(server.base_url)
        for _ in range(120):
            client = stack.enter_context(socket.socket())
            client.settimeout(TIMEOUT_S)
            client.connect((place.host, place.port))
        for mark in (WORKER, CODEC):
            for one in children(server, mark):
                one.kill()
        time.sleep(5.0)
        stack.close()
        begin = time.monotonic()
        with make_client(server) as client:
            wait_for(lambda: answers_ready(client))
            came_back_s = time.monotonic() - begin
            assert fuse(server).status_code == 200
            wait_for(lambda: metric(client, "codec_processes") == 2)
        assert came_back_s < 60.0


def answers_ready(client: httpx.Client) -> bool:
    try:
        return client.get("/readyz").status_code == 200
    except httpx.TransportError:
        return False


def test_a_worker_comes_back_when_there_are_processes_again(weights, tmp_path):
    """Limited by a group of processes where this system lets one be made."""
    groups = Path("/sys/fs/cgroup/pids")
    if os.getuid() != 0 or not (groups / "tasks").exists():
        pytest.skip("no group that limits processes can be made here")
    group = groups / f"expofuse-test-{os.getpid()}"
    group.mkdir()
    try:
        with running_server(server_settings(weights), log_path=tmp_path / "log") as server:
            (group / "cgroup.procs").write_text(str(server.process.pid))
            (group / "pids.max").write_text("1")
            (victim,) = children(server, WORKER)
            victim.kill()
            with make_client(server) as client:
                wait_for(lambda: metric(client, "worker_start_failures_total") >= 2)
                assert client.get("/healthz").status_code == 200
                (group / "pids.max").write_text("max")
                wait_for(lambda: client.get("/readyz").status_code == 200)
                assert fuse(server).status_code == 200
    finally:
        with suppress(OSError):
            group.rmdir()
