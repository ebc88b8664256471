"""The server in this process, ended by real signals; its worker copies the under exposure."""

import os
import signal
import socket
import threading
import time
from collections.abc import Callable

import httpx
import pytest

from service.reloads import Reloads
from service.server import StartError, run_server
from service.settings import CodecSettings, LimitSettings, Settings
from tests import images
from tests.server import free_port
from tests.service.backends import HANG, backend_command, copying, failing_warm_up, hanging_at_start

TIMEOUT_S = 300.0


def make_settings(**settings) -> Settings:
    return Settings(
        port=free_port(),
        drain_pause_s=0.1,
        codec=CodecSettings(processes=1),
        limits=LimitSettings(deadline_s=30),
        log_level="error",
        **settings,
    )


def wait_for(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + TIMEOUT_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


class Visitor:
    """Visits the server from a thread while this one serves, and signals it to stop at the end."""

    def __init__(self, settings: Settings, visit: Callable[[httpx.Client], None], *, signals=None):
        self.failure: BaseException | None = None
        self._signals = signals or [signal.SIGTERM]
        self._settings = settings
        self._visit = visit
        self._thread = threading.Thread(target=self._run)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._thread.join()
        if self.failure is not None:
            raise self.failure

    def _run(self) -> None:
        base_url = f"http://127.0.0.1:{self._settings.port}"
        try:
            with httpx.Client(base_url=base_url, trust_env=False, timeout=TIMEOUT_S) as client:
                self._visit(client)
        except BaseException as error:
            self.failure = error
        for number in self._signals:
            os.kill(os.getpid(), number)
            time.sleep(0.3)


def is_ready(client: httpx.Client) -> bool:
    try:
        return client.get("/readyz").status_code == 200
    except httpx.TransportError:
        return False


def send(client: httpx.Client, deed: int = 1) -> httpx.Response:
    under = images.scene(gain=0.3)
    under[0, 0, 0] = deed
    files = {"under": images.encoded(pixels=under), "over": images.encoded()}
    return client.post("/fuse?align=off", files=files)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_drains_and_ends_the_server(number):
    def visit(client):
        wait_for(lambda: is_ready(client))
        assert send(client).status_code == 200
        assert client.get("/metrics").status_code == 200

    settings = make_settings()
    with Visitor(settings, visit, signals=[number]):
        run_server(settings, worker_command=backend_command(copying))


def test_metrics_may_have_a_port_of_their_own():
    settings = make_settings(metrics_port=free_port())

    def visit(client):
        wait_for(lambda: is_ready(client))
        assert client.get("/metrics").status_code == 404
        with httpx.Client(
            base_url=f"http://127.0.0.1:{settings.metrics_port}", trust_env=False
        ) as operator:
            assert "expofuse_worker_up 1.0" in operator.get("/metrics").text
            assert operator.get("/readyz").json() == {"status": "ready"}
            assert operator.get("/healthz").json() == {"status": "ok"}
            assert operator.head("/metrics").status_code == 200
            for answer, code in (
                (operator.get("/fuse"), "http-404"),
                (operator.post("/metrics"), "http-405"),
                (operator.post("/metrics", headers={"Origin": "null"}), "origin-not-allowed"),
            ):
                assert answer.headers["content-type"] == "application/problem+json"
                assert answer.headers["x-content-type-options"] == "nosniff"
                assert answer.json()["type"] == f"/problems/{code}"
            with socket.create_connection(("127.0.0.1", settings.metrics_port)) as one:
                one.sendall(b"nonsense\r\n\r\n")
                assert b"application/problem+json" in one.recv(65_536)

    with Visitor(settings, visit):
        run_server(settings, worker_command=backend_command(copying))


def test_a_second_signal_ends_the_wait_for_a_job_that_hangs():
    answers = []

    def get_stuck(base_url):
        with httpx.Client(base_url=base_url, trust_env=False, timeout=TIMEOUT_S) as own:
            answers.append(send(own, HANG).status_code)

    def visit(client):
        wait_for(lambda: is_ready(client))
        threading.Thread(target=get_stuck, args=(client.base_url,)).start()
        wait_for(lambda: "expofuse_running_jobs 1.0" in client.get("/metrics").text)

    settings = make_settings()
    with Visitor(settings, visit, signals=[signal.SIGTERM, signal.SIGTERM]):
        run_server(settings, worker_command=backend_command(copying))
    wait_for(lambda: answers)
    assert answers == [503]


def test_a_signal_while_starting_ends_the_start():
    with Visitor(make_settings(), lambda client: time.sleep(1.5)):
        run_server(make_settings(), worker_command=backend_command(hanging_at_start))


def test_a_worker_that_does_not_come_up_is_one_sentence():
    with pytest.raises(StartError, match="got 'cuda:7'"):
        run_server(make_settings(), worker_command=backend_command(failing_warm_up))


@pytest.mark.parametrize("name", ["port", "metrics_port"])
def test_a_taken_port_is_one_sentence(name):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = other.getsockname()[1]
        settings = make_settings().model_copy(update={name: taken})
        with pytest.raises(StartError, match=f"port {taken}: Address already in use"):
            run_server(settings, worker_command=backend_command(copying))


def test_a_hangup_reads_again_and_goes_on_serving(monkeypatch):
    runs = []

    async def run(self):
        runs.append(1)

    monkeypatch.setattr(Reloads, "run", run)

    def visit(client):
        wait_for(lambda: is_ready(client))
        for count in (1, 2):
            os.kill(os.getpid(), signal.SIGHUP)
            wait_for(lambda count=count: len(runs) == count)
        assert is_ready(client)

    settings = make_settings()
    with Visitor(settings, visit):
        run_server(settings, worker_command=backend_command(copying))
