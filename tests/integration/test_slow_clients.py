"""Clients that send or read slowly, or nothing at all: each is cut in time, others are served."""

import re
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import psutil
import pytest

from tests.integration.conftest import make_client, metric, server_settings, wait_for
from tests.integration.test_bad_input import form_body, form_head
from tests.integration.test_endurance import connect
from tests.integration.test_http_requests import GET, read_all
from tests.server import running_server

pytestmark = pytest.mark.e2e

HEAD_S = IDLE_S = 2.0
HALF_A_HEAD = GET[:-2] + b"X-Slow: "
LARGE = b"GET /reference/redoc.standalone.js HTTP/1.1\r\nHost: x\r\n\r\n"
"""An answer of a megabyte that costs nothing."""

SLOW_LORISES = 52
READERS = 300


@pytest.fixture(scope="module")
def strict(weights, tmp_path_factory):
    """A server of little patience."""
    settings = server_settings(weights) | {
        "EXPOFUSE_LIMITS__FIRST_BYTE_TIMEOUT_S": str(IDLE_S),
        "EXPOFUSE_LIMITS__IDLE_TIMEOUT_S": str(IDLE_S),
        "EXPOFUSE_LIMITS__HEAD_TIMEOUT_S": str(HEAD_S),
        "EXPOFUSE_LIMITS__RECEIVE_STALL_TIMEOUT_S": "3",
        "EXPOFUSE_LIMITS__MIN_RECEIVE_BYTES_PER_S": "100",
        "EXPOFUSE_LIMITS__SEND_STALL_TIMEOUT_S": "5",
        "EXPOFUSE_LIMITS__MIN_SEND_BYTES_PER_S": "10000",
    }
    log_path = tmp_path_factory.mktemp("strict") / "log"
    with running_server(settings, log_path=log_path) as server:
        yield server


@pytest.fixture
def client(strict):
    with make_client(strict) as one:
        yield one


def cut(client, reason):
    return metric(client, "connections_cut_total", reason=reason)


def read_problem(connection):
    head, _, body = read_all(connection).partition(b"\r\n\r\n")
    assert b"\r\ncontent-type: application/problem+json\r\n" in head.lower()
    assert b"\r\nconnection: close\r\n" in head.lower()
    return int(head[9:12]), body


def test_heads_that_never_end_are_answered_and_connections_that_say_nothing_are_closed(
    strict, client
):
    heads, idle = cut(client, "slow-head"), cut(client, "no-request")
    with ExitStack() as held:
        half = [held.enter_context(connect(strict)) for _ in range(SLOW_LORISES // 2)]
        silent = [held.enter_context(connect(strict)) for _ in range(SLOW_LORISES // 2)]
        for one in half:
            one.sendall(HALF_A_HEAD)
        assert client.get("/healthz").status_code == 200
        for one in half:
            status, body = read_problem(one)
            assert (status, b"request-timeout" in body) == (408, True)
        assert [read_all(one) for one in silent] == [b""] * len(silent)
    assert cut(client, "slow-head") == heads + SLOW_LORISES // 2
    assert cut(client, "no-request") >= idle + SLOW_LORISES // 2


def test_a_head_that_comes_byte_by_byte_is_cut_at_the_same_time(strict):
    with connect(strict) as connection, ThreadPoolExecutor(1) as pool:
        reading = pool.submit(read_problem, connection)
        connection.sendall(HALF_A_HEAD)
        while not reading.done():
            connection.sendall(b"x")
            time.sleep(0.2)
        assert reading.result()[0] == 408


def test_a_connection_whose_second_request_does_not_come_is_closed(strict):
    with connect(strict) as connection:
        connection.sendall(GET)
        answer = read_all(connection)
    assert answer.endswith(b'{"status":"ok"}')
    assert answer.count(b"HTTP/1.1 ") == 1


def test_the_second_head_of_a_connection_has_its_time_too(strict):
    with connect(strict) as connection:
        connection.sendall(GET + HALF_A_HEAD)
        answer = read_all(connection)
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert b"HTTP/1.1 408 " in answer


@pytest.mark.parametrize("framing", ["length", "chunks"])
def test_a_body_that_stops_is_answered_and_counted_as_what_it_is(strict, client, framing):
    outcome = {"outcome": "request-timeout"}
    before, bodies = metric(client, "requests_total", **outcome), cut(client, "slow-body")
    head, rest = form_head(1000), b""
    if framing == "chunks":
        head = re.sub(rb"content-length: \d+", b"transfer-encoding: chunked", head, flags=re.I)
        rest = b"1\r\n-\r\n"
    with connect(strict) as connection:
        connection.sendall(head + rest)
        status, body = read_problem(connection)
    assert (status, b"request-timeout" in body) == (408, True)
    request_id = re.search(rb'"request_id":"(\w+)"', body)[1].decode()
    wait_for(lambda: metric(client, "requests_total", **outcome) == before + 1)
    assert cut(client, "slow-body") == bodies + 1
    (line,) = (line for line in strict.log().splitlines() if request_id in line)
    assert '"outcome": "request-timeout"' in line
    assert metric(client, "upload_bytes") == 0


def test_a_body_above_the_least_rate_takes_its_time(strict, under, over):
    body = form_body(under=under, over=over)
    step = len(body) // 20 + 1
    with connect(strict) as connection:
        connection.sendall(form_head(len(body)))
        for begin in range(0, len(body), step):
            connection.sendall(body[begin : begin + step])
            time.sleep(0.25)  # In all longer than one may stand still.
        assert connection.recv(12) == b"HTTP/1.1 200"


def test_a_reader_below_the_least_rate_is_cut_whatever_it_reads(strict, client):
    def count():  # Its system takes 64 KiB at a time: in between it reads nothing, as seen here.
        return cut(client, "slow-reader") + cut(client, "stalled")

    before = count()
    with connect(strict, receive_bytes=4096) as connection:
        connection.sendall(LARGE)
        deadline = time.monotonic() + 60
        while count() == before:
            assert time.monotonic() < deadline
            connection.recv(200)
            time.sleep(0.1)
    wait_for(lambda: metric(client, "connections") <= 2)


def test_a_reader_above_the_least_rate_has_its_answer_whole(strict, client):
    size = len(client.get("/reference/redoc.standalone.js").content)
    received = bytearray()
    with connect(strict, receive_bytes=65_536) as connection:
        connection.sendall(LARGE.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        while piece := connection.recv(size // 40):
            received += piece
            time.sleep(0.2)
    assert len(received.partition(b"\r\n\r\n")[2]) == size


def test_three_hundred_slow_readers_hold_up_nobody_and_fill_no_memory(
    weights, tmp_path, under, over
):
    """As many as may be slow: their answers wait where they are made, 128 KiB of each."""
    with running_server(server_settings(weights), log_path=tmp_path / "log") as own:
        with make_client(own) as client, ExitStack() as held:
            files = {"under": under, "over": over}
            assert client.post("/fuse", files=files).status_code == 200
            loop = psutil.Process(own.process.pid)
            before = loop.memory_info().rss
            readers = [held.enter_context(connect(own, receive_bytes=4096)) for _ in range(READERS)]
            for reader in readers:
                reader.sendall(LARGE)
            wait_for(lambda: metric(client, "connections") > READERS)
            for _ in range(5):
                for reader in readers:
                    assert reader.recv(1000)
                assert client.get("/healthz").status_code == 200
                assert client.post("/fuse", files=files).status_code == 200
            assert loop.memory_info().rss - before < READERS * 300_000
            assert metric(client, "connections") > READERS
        with make_client(own) as client:
            wait_for(lambda: metric(client, "connections") <= 2)
            assert client.post("/fuse", files=files).status_code == 200
