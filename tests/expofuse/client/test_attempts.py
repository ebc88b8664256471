"""Attempts of both clients at a real socket: what is tried again, when, and how often."""

import io
import socket
import threading

import pytest

from expofuse.client import (
    AnswerTimeoutError,
    BusyError,
    NoAnswerError,
    ProblemError,
    RequestError,
    Retries,
    UnexpectedAnswerError,
    UsageError,
)
from tests.expofuse.client.scripted_server import (
    HEALTHY,
    RESET,
    answer,
    busy,
    scripted_server,
)

VERSION = answer(
    "200 OK",
    b'{"service":"1.0.0","weights":{"name":"w","version":"1.0.0"},"weights_loaded":[],'
    b'"device":"cpu","precision":"float32"}',
)
QUICK = Retries(spread_s=0.01, longest_spread_s=0.01)
PROBLEM = b"""{"type": "/problems/queue-full", "title": "Full", "status": 503,
"detail": "expected room, got none", "request_id": "id-7"}"""
PROBLEM_TYPE = "Content-Type: application/problem+json"
TWO = [b"one", b"two"]


def test_a_busy_service_is_asked_again_and_not_before_the_time_that_it_names(make_client):
    with scripted_server(busy("1"), busy("0", "429 Too Many Requests"), VERSION) as server:
        assert make_client(server.url, retries=QUICK).version().service == "1.0.0"
    assert len(server.heads) == 3
    assert server.begins[1] - server.ends[0] >= 1.0


def test_a_connection_that_is_reset_before_an_answer_is_made_again(make_client):
    with scripted_server(RESET, RESET, VERSION) as server:
        assert make_client(server.url, retries=QUICK).version().device == "cpu"
    assert len(server.heads) == 3


def keys_of(server):
    lines = [line for head in server.heads for line in head.decode().split("\r\n")]
    found = [line.partition(": ") for line in lines]
    return [value for name, _, value in found if name.lower() == "idempotency-key"]


def test_all_attempts_at_a_fusion_have_one_key_and_another_fusion_has_another(make_client):
    with scripted_server(busy("0"), RESET, busy("0"), busy("0")) as server:
        client = make_client(server.url, retries=Retries(count=1, spread_s=0.01))
        for _ in range(2):
            with pytest.raises((BusyError, NoAnswerError)):
                client.fuse(TWO)
    first, again, other, once_more = keys_of(server)
    assert first == again != other == once_more
    assert len(first) == 38
    assert first.startswith('"')


def test_what_is_not_sent_again_and_what_is_only_asked_has_no_key(make_client):
    read_once = io.BytesIO(b"one")
    read_once.seekable = lambda: False
    with scripted_server(busy("0"), HEALTHY) as server:
        client = make_client(server.url, retries=QUICK)
        with pytest.raises(BusyError):
            client.fuse([read_once, b"two"])
        client.health()
    assert keys_of(server) == []


def test_a_connection_that_ends_within_the_head_of_its_answer_is_made_again(make_client):
    with scripted_server(b"HTTP/1.1 ", VERSION) as server:
        assert make_client(server.url, retries=QUICK).version().device == "cpu"


def test_a_service_that_is_not_there_yet_is_waited_for(make_client):
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))  # Without `listen` the kernel refuses connections.
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"

        def serve():
            listener.listen()
            with listener.accept()[0] as connection:
                connection.recv(65_536)
                connection.sendall(VERSION)

        timer = threading.Timer(0.3, serve)
        timer.start()
        retries = Retries(count=100_000, total_s=60, spread_s=0.02, longest_spread_s=0.02)
        assert make_client(url, retries=retries).version().device == "cpu"
        timer.join()


def test_all_attempts_send_the_whole_request(make_client, tmp_path):
    path = tmp_path / "one"
    path.write_bytes(bytes(200_000))
    exposures = [path, bytes(100_000), io.BytesIO(bytes(50_000))]
    with (
        scripted_server(busy("0"), RESET, busy("0")) as server,
        pytest.raises(BusyError, match="503"),
    ):
        make_client(server.url, retries=Retries(2, spread_s=0.01)).fuse(exposures, quality=7)
    assert len(server.bodies) == 3
    assert len(set(server.bodies)) == 1
    assert 350_000 < server.bodies[0] < 352_000
    assert {head.split()[1] for head in server.heads} == {b"/fuse?quality=7"}


@pytest.mark.parametrize(("retries", "attempts"), [(0, 1), (2, 3), (Retries(1), 2)])
def test_attempts_are_counted(make_client, retries, attempts):
    with (
        scripted_server(*[answer("503 X", PROBLEM, PROBLEM_TYPE, "Retry-After: 0")] * 4) as server,
        pytest.raises(BusyError) as caught,
    ):
        make_client(server.url, retries=retries).version()
    assert len(server.heads) == attempts
    error = caught.value
    assert (error.type, error.code) == ("/problems/queue-full", "queue-full")
    assert (error.title, error.detail) == ("Full", "expected room, got none")
    assert (error.status, error.request_id, error.retry_after_s) == (503, "id-7", 0.0)
    assert str(error) == error.message == "503: Full: expected room, got none"


def test_no_pause_is_begun_that_would_end_too_late(make_client):
    with scripted_server(busy("3600")) as server, pytest.raises(BusyError) as caught:
        make_client(server.url).version()
    assert len(server.heads) == 1
    assert caught.value.retry_after_s == 3600


@pytest.mark.parametrize(
    "status", ["400 Bad", "404 No", "413 Big", "422 Odd", "500 Broken", "504 Late"]
)
def test_other_problems_are_not_tried_again(make_client, status):
    with (
        scripted_server(answer(status, b"<html>", "Retry-After: 0"), VERSION) as server,
        pytest.raises(ProblemError) as caught,
    ):
        make_client(server.url, retries=QUICK).version()
    assert len(server.heads) == 1
    assert (caught.value.type, caught.value.code) == ("about:blank", "")
    assert str(caught.value) == status.replace(" ", ": ")


def test_what_can_be_read_only_once_is_sent_only_once(make_client):
    class Pipe(io.RawIOBase):
        def __init__(self):
            self.left = [b"abc"] * 3

        def readable(self):
            return True

        def read(self, size=-1):
            return self.left.pop() if self.left else b""

    with scripted_server(RESET, RESET) as server, pytest.raises(NoAnswerError):
        make_client(server.url, retries=QUICK).fuse([Pipe(), b"two"])
    assert len(server.heads) == 1
    assert b"chunked" in server.heads[0]


def test_a_service_that_does_not_answer_is_not_asked_again(make_client):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        with pytest.raises(AnswerTimeoutError, match=r"within 0\.2 s"):
            make_client(url, timeout_s=0.2, retries=QUICK).version()
        listener.accept()[0].close()
        listener.setblocking(False)
        with pytest.raises(BlockingIOError):
            listener.accept()


def test_how_things_are_is_asked_once(make_client):
    with scripted_server(busy("0"), HEALTHY) as server:
        state = make_client(server.url, retries=QUICK).ready()
    assert (bool(state), state.reason, len(server.heads)) == (False, "Service Unavailable", 1)
    with scripted_server(RESET, HEALTHY) as server, pytest.raises(NoAnswerError):
        make_client(server.url, retries=QUICK).health()
    assert len(server.heads) == 1


def test_a_service_that_cannot_be_reached_is_told(make_client):
    with pytest.raises(NoAnswerError, match=r"no answer from 127\.0\.0\.1:9: .*refused|attempts"):
        make_client("http://127.0.0.1:9", retries=0).version()


@pytest.mark.parametrize("url", ["ftp://x", "localhost:8000", "http://", "", "http://a:b"])
def test_a_url_that_is_none_is_told(make_client, url):
    with pytest.raises(UsageError, match="URL"):
        make_client(url)


def test_another_program_is_told_apart(make_client, tmp_path):
    page = answer("200 OK", b"<html>", "Content-Type: text/html")
    client_of = lambda server: make_client(server.url, retries=QUICK)  # noqa: E731
    with scripted_server(page, page, page, answer("301 Moved", b"", "Location: /x")) as server:
        for ask in ("version", "health"):
            with pytest.raises(UnexpectedAnswerError, match="got 200 with text/html") as caught:
                getattr(client_of(server), ask)()
            assert caught.value.status == 200
        with pytest.raises(UnexpectedAnswerError, match="from /fuse"):
            client_of(server).fuse_to(tmp_path / "out", TWO)
        with pytest.raises(UnexpectedAnswerError, match="got 301"):
            client_of(server).version()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "body", [b"[]", b"<html>", PROBLEM.replace(b'"detail"', b'"other"'), b"x" * 10_000_000]
)
def test_a_problem_document_that_is_none_goes_by_its_status(make_client, body):
    odd = answer("422 Odd", body, PROBLEM_TYPE, "X-Request-Id: 9")
    with scripted_server(odd) as server, pytest.raises(RequestError) as caught:
        make_client(server.url).version()
    assert (caught.value.type, caught.value.request_id) == ("about:blank", "9")
