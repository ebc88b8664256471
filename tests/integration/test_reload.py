"""Weights are changed under a running service: nothing lost, nothing left behind."""

import signal
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import psutil
import pytest

from tests import images
from tests.integration.conftest import make_client, metric, server_settings, wait_for
from tests.server import RunningServer, running_server
from tests.service.versions import write_blend_version

pytestmark = pytest.mark.e2e

OLD, NEW = "blend-0.1.0", "blend-0.2.0"
CLIENTS = 3
RELOADS = 10
SHARED = Path("/dev/shm")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Two versions, and a link that says which of them is served."""
    folder = tmp_path_factory.mktemp("weights")
    for label in (OLD, NEW):
        write_blend_version(folder, label)
    lead_to(folder, OLD)
    return folder


@pytest.fixture(scope="module")
def server(folder, tmp_path_factory) -> Iterator[RunningServer]:
    settings = server_settings(str(folder / "current"))
    log_path = tmp_path_factory.mktemp("reload") / "server.log"
    with running_server(settings, log_path=log_path) as running:
        yield running


def lead_to(folder: Path, label: str) -> None:
    """Let the link lead elsewhere in one step, as `ln -sfn` and a rename do."""
    (folder / "next").symlink_to(folder / label)
    (folder / "next").replace(folder / "current")


def reload(server: RunningServer, client: httpx.Client, outcome: str = "reloaded") -> None:
    before = metric(client, "weights_reloads_total", outcome=outcome)
    server.process.send_signal(signal.SIGHUP)
    wait_for(lambda: metric(client, "weights_reloads_total", outcome=outcome) == before + 1)


def send(client: httpx.Client) -> httpx.Response:
    files = {"under": images.encoded(pixels=images.scene(gain=0.3)), "over": images.encoded()}
    return client.post("/fuse?format=png", files=files)


def served_by(response: httpx.Response) -> str:
    assert response.status_code == 200, response.text
    return response.headers["x-expofuse-weights"]


class Load:
    """Clients that send one request after another until the `with` is over."""

    def __init__(self, server: RunningServer) -> None:
        self.answers: list[httpx.Response] = []
        self._server = server
        self._is_over = threading.Event()
        self._threads = [threading.Thread(target=self._run) for _ in range(CLIENTS)]

    def __enter__(self) -> "Load":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        with make_client(self._server) as client:
            while not self._is_over.is_set():
                self.answers.append(send(client))


def test_requests_under_way_are_answered_and_new_ones_get_the_new_version(server, folder):
    with make_client(server) as client:
        assert served_by(send(client)) == OLD
        with Load(server) as load:
            wait_for(lambda: len(load.answers) >= CLIENTS)
            lead_to(folder, NEW)
            reload(server, client)
            assert served_by(send(client)) == NEW
            assert client.get("/weights").json()["default"] == NEW
            before = len(load.answers)
            wait_for(lambda: len(load.answers) >= before + 3 * CLIENTS)
        labels = [served_by(answer) for answer in load.answers]
        assert set(labels) == {OLD, NEW}
        assert labels[-1] == NEW
        assert client.get("/version").json()["weights"]["version"] == "0.2.0"


def test_a_broken_version_leaves_the_old_one_serving_and_says_why(server, folder):
    broken = folder / "blend-0.3.0"
    broken.mkdir()
    for path in (folder / NEW).iterdir():
        (broken / path.name).write_bytes(path.read_bytes().replace(b"0.2.0", b"0.3.0"))
    parameters = broken / "network.safetensors"
    content = bytearray(parameters.read_bytes())
    content[-1] ^= 1
    parameters.write_bytes(content)
    with make_client(server) as client:
        served = client.get("/weights").json()["default"]
        lead_to(folder, broken.name)
        reload(server, client, outcome="refused")
        assert served_by(send(client)) == served
        assert client.get("/readyz").status_code == 200
        assert "weights are not reloaded" in server.log()
        assert "network.safetensors has SHA-256" in server.log()
        workers(server)[0].kill()
        wait_for(lambda: metric(client, "worker_restarts_total") >= 1)
        wait_for(lambda: client.get("/readyz").status_code == 200)
        assert served_by(send(client)) == served, "a replacement loads what was served"


def test_ten_reloads_leave_no_process_and_no_block_behind(server, folder):
    lead_to(folder, OLD)
    with make_client(server) as client:
        reload(server, client)
        wait_for(lambda: len(workers(server)) == 1)
        with Load(server) as load:
            for number in range(RELOADS):
                lead_to(folder, (NEW, OLD)[number % 2])
                reload(server, client)
        assert {served_by(answer) for answer in load.answers} <= {OLD, NEW}
        wait_for(lambda: len(workers(server)) == 1)
        assert len(processes(server, "service.codec.child")) == 2
        assert metric(client, "worker_up") == 1
        assert metric(client, "jobs_in_flight") == metric(client, "upload_bytes") == 0
        wait_for(lambda: metric(client, "shared_memory_bytes") == 0)
        assert not list(SHARED.glob(f"expofuse-{server.process.pid}-*"))


def workers(server: RunningServer) -> list[psutil.Process]:
    return processes(server, "service.device.child")


def processes(server: RunningServer, module: str) -> list[psutil.Process]:
    """Children that run a module; not the resource tracker of the interpreter."""
    found = []
    for process in psutil.Process(server.process.pid).children():
        with suppress(psutil.NoSuchProcess):
            if module in process.cmdline() or process.status() == psutil.STATUS_ZOMBIE:
                found.append(process)
    return found
