"""Requests as they arrive on the wire: odd, damaged, endless and half-closed ones."""

import json
import re
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import httpx
import pytest

from tests import images
from tests.integration.conftest import make_client, metric, server_settings, wait_for
from tests.integration.test_bad_input import connect, form_body
from tests.server import running_server

pytestmark = pytest.mark.e2e

ORIGIN = "https://page.example"
GET = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
CLOSE = "Connection: close"
CLOSE_LINE = f"{CLOSE}\r\n\r\n".encode()
WEBSOCKET = (
    b"GET /fuse HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)


@pytest.fixture(scope="module")
def pair(under, over) -> bytes:
    return form_body(under=under, over=over)


def post_head(*headers: str, path: str = "/fuse", version: str = "1.1") -> bytes:
    lines = [
        f"POST {path} HTTP/{version}",
        "Host: x",
        "Content-Type: multipart/form-data; boundary=edge",
        *headers,
    ]
    return "".join(f"{line}\r\n" for line in lines).encode() + b"\r\n"


def length_of(body: bytes) -> str:
    return f"Content-Length: {len(body)}"


def read_all(connection: socket.socket) -> bytes:
    answer = b""
    while piece := connection.recv(65_536):
        answer += piece
    return answer


def ask(server, *pieces: bytes, ends: bool = False) -> tuple[int, bytes]:
    """Send pieces, half-close or not, and read to the end; the status and the body."""
    with connect(server) as connection:
        for piece in pieces:
            connection.sendall(piece)
        if ends:
            connection.shutdown(socket.SHUT_WR)
        head, _, body = read_all(connection).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 "), head
    return int(head[9:12]), body


def in_chunks(body: bytes, size: int, end: bytes = b"0\r\n\r\n") -> bytes:
    pieces = [body[at : at + size] for at in range(0, len(body), size)]
    return b"".join(b"%x;a=b\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + end


@pytest.mark.parametrize("offer", ["h2c", "TLS/1.0", "websocket", "h2c, irc/6.9", ""])
def test_an_offer_to_upgrade_is_ignored(server, pair, reference, offer):
    offered = ("Connection: Upgrade, HTTP2-Settings", f"Upgrade: {offer}", "HTTP2-Settings: AAE")
    head = post_head(*offered, length_of(pair), CLOSE)
    assert ask(server, head, pair) == (200, reference)
    assert ask(server, head, pair, ends=True) == (200, reference)


@pytest.mark.parametrize("version", ["1.1", "1.0"])
def test_a_client_that_only_ends_its_stream_gets_its_answer(server, pair, reference, version):
    head = post_head(length_of(pair), version=version)
    assert ask(server, head + pair, ends=True) == (200, reference)


def test_a_client_that_ends_its_stream_waits_for_a_long_answer(server):
    large = [images.encoded("jpeg", pixels=images.scene(1200, 1600, gain=g)) for g in (0.3, 1.0)]
    body = form_body(under=large[0], over=large[1])
    status, picture = ask(server, post_head(length_of(body)) + body, ends=True)
    assert (status, picture[:3]) == (200, b"\xff\xd8\xff")


def test_every_request_of_a_pipeline_is_answered_though_the_stream_has_ended(server):
    with connect(server) as connection:
        connection.sendall(GET * 5)
        connection.shutdown(socket.SHUT_WR)
        assert read_all(connection).count(b'{"status":"ok"}') == 5


def test_each_of_two_long_answers_is_whole_though_the_stream_has_ended(server, client):
    """Both are waited for, so the beginning of each is sent before the rest is known."""
    large = [images.encoded("jpeg", pixels=images.scene(1200, 1600, gain=g)) for g in (0.3, 1.0)]
    body = form_body(under=large[0], over=large[1])
    expected = client.post("/fuse", files={"under": large[0], "over": large[1]}).content
    status, answers = ask(server, (post_head(length_of(body)) + body) * 2, ends=True)
    first, _, second = answers.partition(b"HTTP/1.1 200 OK\r\n")
    assert (status, first) == (200, expected)
    assert second.partition(b"\r\n\r\n")[2] == expected


def test_a_client_that_ends_its_stream_and_then_leaves_has_its_job_dropped(server, client):
    large = [images.encoded("jpeg", pixels=images.scene(1500, 2000, gain=g)) for g in (0.3, 1.0)]
    body = form_body(under=large[0], over=large[1])
    before = metric(client, "requests_total", outcome="disconnected")
    with connect(server) as connection:
        connection.sendall(post_head(length_of(body)) + body)
        connection.shutdown(socket.SHUT_WR)
        wait_for(lambda: metric(client, "jobs_in_flight") == 1)
    wait_for(lambda: metric(client, "requests_total", outcome="disconnected") == before + 1)


@pytest.mark.parametrize(
    ("sent", "status", "code"),
    [
        (GET[:30], 400, "malformed-request"),
        (post_head("Content-Length: 999") + b"--edge", 400, "malformed-request"),
        (post_head("Transfer-Encoding: chunked") + b"5\r\n--", 400, "malformed-request"),
        (post_head(version="1.0") + b"--edge", 411, "length-required"),
    ],
)
def test_a_stream_that_ends_too_early_is_answered(server, sent, status, code):
    answer, body = ask(server, sent, ends=True)
    assert (answer, code.encode() in body) == (status, True)


def test_a_connection_that_ends_without_a_request_just_ends(server):
    with connect(server) as connection:
        connection.shutdown(socket.SHUT_WR)
        assert read_all(connection) == b""


@pytest.mark.parametrize(
    ("sent", "status", "sentence"),
    [
        (b"\x16\x03\x01\x02\x00\x01\x00\x01", 400, "damaged head"),
        (b"nonsense\r\n\r\n", 400, "damaged head"),
        (GET.replace(b"Host: x\r\n", b""), 400, "Missing mandatory Host"),
        (GET.replace(b"Host:", b"Host :"), 400, "damaged head"),
        (GET.replace(b"Host: x", b"Host: a b"), 400, "names a host"),
        (GET.replace(b"Host: x", b"Host: user@x/y"), 400, "names a host"),
        (GET.replace(b"Host: x", b"Host: x\r\nHost: y"), 400, "multiple Host"),
        (GET[:-2] + b"Expect: a-miracle\r\n\r\n", 417, "100-continue or none"),
        (b"CONNECT other.example:443 HTTP/1.1\r\nHost: x\r\n" + CLOSE_LINE, 404, "http-404"),
        (b"TRACE /fuse HTTP/1.1\r\nHost: x\r\n" + CLOSE_LINE, 405, "http-405"),
        (b"GET http://x/nothing HTTP/1.1\r\nHost: x\r\n" + CLOSE_LINE, 404, "http-404"),
        (WEBSOCKET + CLOSE_LINE, 405, "http-405"),
        (b"NONSENSE /fuse HTTP/1.1\r\nHost: x\r\n" + CLOSE_LINE, 405, "http-405"),
        (GET.replace(b"x\r\n", b"x\r\nA: \x00b\r\n", 1), 400, "damaged head"),
        (GET.replace(b"1.1", b"2.0"), 505, "HTTP/1.1 or HTTP/1.0"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505, "HTTP/1.1 or HTTP/1.0"),
        (post_head("Content-Length: 5", "Content-Length: 6"), 400, "conflicting Content-Length"),
        (post_head("Content-Length: 5, 6"), 400, "conflicting Content-Length"),
        (post_head("Content-Length: -5"), 400, "damaged head"),
        (post_head("Content-Length: +5"), 400, "damaged head"),
        (post_head("Content-Length: 5", "Transfer-Encoding: chunked"), 400, "got both"),
        (post_head("Transfer-Encoding: gzip, chunked"), 501, "chunked or none"),
        (post_head("Transfer-Encoding: chunked") + b"zz\r\n", 400, "damaged body"),
        (post_head("Transfer-Encoding: chunked") + b"5\r\n--edge\r\n", 400, "damaged body"),
        (post_head("Transfer-Encoding: chunked") + b"1" * 40_000, 400, "damaged body"),
    ],
)
def test_a_damaged_request_is_answered_with_the_cause(server, sent, status, sentence):
    with connect(server) as connection:
        connection.sendall(sent)
        head, _, body = read_all(connection).partition(b"\r\n\r\n")
    assert (int(head[9:12]), sentence.encode() in body) == (status, True), body
    fields = dict(line.split(": ", 1) for line in head.decode().lower().split("\r\n")[1:])
    assert fields["content-type"] == "application/problem+json"
    assert fields["x-content-type-options"] == "nosniff"
    assert int(fields["content-length"]) == len(body)
    problem = json.loads(body)
    assert problem["type"].startswith("/problems/")
    assert problem["request_id"] == fields["x-request-id"]


@pytest.mark.parametrize("size", [33_000, 200_000, 30_000_000])
@pytest.mark.parametrize(
    ("before", "after", "status"),
    [
        (b"GET /", b" HTTP/1.1\r\nHost: x\r\n\r\n", 414),
        (b"GET /healthz?", b" HTTP/1.1\r\nHost: x\r\n\r\n", 414),
        (b"GET /healthz HTTP/1.1\r\nHost: x\r\nA: ", b"\r\n\r\n", 431),
        (b"GET /healthz HTTP/1.1\r\nHost: x\r\n", b": b\r\n\r\n", 431),
        (post_head()[:-4], b"\r\n\r\n", 431),
    ],
)
def test_a_line_or_a_header_without_end_is_refused_at_once(
    server, client, size, before, after, status
):
    answer, body = ask(server, before + b"a" * size + after)
    assert answer == status
    assert b"at most 32768 bytes" in body
    assert client.get("/healthz").status_code == 200


@pytest.mark.parametrize("count", [6000, 1_000_000])
def test_many_headers_are_refused_too(server, count):
    assert ask(server, GET[:-2] + b"A: b\r\n" * count + b"\r\n")[0] == 431


@pytest.mark.parametrize(
    ("before", "size", "status"), [(GET[:-2] + b"A: ", 300_000_000, 431), (b"GET /", 10**8, 414)]
)
def test_others_are_served_beside_a_header_without_end(server, client, before, size, status):
    """What is sent behind the bound is thrown away; the answer is there before its end."""
    with connect(server) as connection, ThreadPoolExecutor(1) as pool:
        connection.sendall(before)
        sending = pool.submit(send_without_end, connection, size)
        longest_s = 0.0
        while not sending.done():
            begin = time.monotonic()
            assert client.get("/healthz").status_code == 200
            longest_s = max(longest_s, time.monotonic() - begin)
        assert longest_s < 5
        assert sending.result().startswith(b"HTTP/1.1 %d " % status)


def send_without_end(connection: socket.socket, size: int) -> bytes:
    """Send until all is sent or the server has enough; what it answers."""
    piece = b"a" * 1_000_000
    with suppress(ConnectionError):
        for _ in range(size // len(piece)):
            connection.sendall(piece)
    return connection.recv(65_536)


def test_headers_below_the_bound_are_taken(server):
    head = GET[:-2] + f"A: {'a' * 32_000}\r\n{CLOSE}\r\n\r\n".encode()
    assert ask(server, head) == (200, b'{"status":"ok"}')


def test_the_rest_of_a_refused_body_does_not_take_the_answer_with_it(server):
    """Closed at once, the connection would be reset under the client that still sends."""
    sent = post_head("Content-Length: 40000000") + bytes(30_000_000)
    assert ask(server, sent)[0] == 413
    sent = post_head("Content-Encoding: gzip", "Content-Length: 3000000") + bytes(2_000_000)
    assert ask(server, sent)[0] == 415
    status, body = ask(server, post_head(version="1.0"), bytes(1_000_000))
    assert (status, b"length-required" in body) == (411, True)


@pytest.mark.parametrize("size", [1, 7, 1_000_000])
@pytest.mark.parametrize("ends", [False, True])
def test_chunks_of_any_size_are_put_together(server, pair, reference, size, ends):
    end = b"0\r\nX-Checksum: none\r\n\r\n"
    head = post_head("Transfer-Encoding: Chunked", CLOSE)
    assert ask(server, head, in_chunks(pair, size, end), ends=ends) == (200, reference)


def test_a_body_in_tiny_chunks_does_not_hold_up_others(server, client):
    """A million chunks take the parser many seconds; in between, others are served."""
    sent = in_chunks(bytes(1_000_000), 1, b"")
    with connect(server) as connection, ThreadPoolExecutor(1) as pool:
        connection.sendall(post_head("Transfer-Encoding: chunked"))
        sending = pool.submit(connection.sendall, sent)
        for _ in range(20):
            assert client.get("/healthz").status_code == 200
        connection.shutdown(socket.SHUT_RDWR)
        with suppress(OSError):  # It was still sending, or had just ended.
            sending.result()


def test_leave_to_send_is_given(server, pair, reference):
    with connect(server) as connection:
        connection.sendall(post_head(length_of(pair), "Expect: 100-Continue", CLOSE))
        assert connection.recv(65_536).startswith(b"HTTP/1.1 100 ")
        connection.sendall(pair)
        answer = read_all(connection)
    assert answer.endswith(reference)


def test_a_refusal_instead_of_leave_ends_the_connection(server):
    head = post_head(f"Content-Length: {10**12}", "Expect: 100-continue")
    status, body = ask(server, head)
    assert (status, b"body-too-large" in body) == (413, True)


@pytest.mark.parametrize("target", ["http://other.example:81/fuse", "HTTP://x/fuse/", "//fuse/"])
def test_a_target_may_be_spelt_in_several_ways(server, pair, reference, target):
    for query in ("", "?align=auto"):
        head = post_head(length_of(pair), CLOSE, path=target + query)
        assert ask(server, head, pair) == (200, reference)


def test_several_accept_headers_are_one(server, pair):
    accepts = ("Accept: image/webp;q=0.1", "ACCEPT: Image/TIFF; Q=0.5", "Accept: text/html")
    status, picture = ask(server, post_head(*accepts, length_of(pair), CLOSE), pair)
    assert (status, picture[:2]) == (200, b"II")


@pytest.mark.parametrize("accept", ["application/json", "text/html", "image/gif", "*/*;q=0"])
def test_what_cannot_be_had_is_told_what_can(post, client, accept):
    seconds_before = metric(client, "stage_seconds_count", stage="decode")
    response = post(headers={"Accept": accept})
    assert response.status_code == 406
    assert "image/png, image/jpeg, image/webp, image/tiff" in response.json()["detail"]
    assert response.headers["vary"] == "Accept"
    assert metric(client, "stage_seconds_count", stage="decode") == seconds_before


def test_every_answer_of_the_negotiated_route_says_what_it_depends_on(post):
    for query in ("", "?format=webp", "?format=gif"):
        assert post(query).headers["vary"] == "Accept"


def test_options_and_head(client):
    for path in ("/", "/page/js/main.js", "/requests/some-id", "/limits", "/openapi.json"):
        head, get = client.head(path), client.get(path)
        assert (head.status_code, head.content) == (200, b"")
        assert head.headers["content-type"] == get.headers["content-type"]
        options = client.options(path)
        assert (options.status_code, options.headers["allow"]) == (204, "GET, HEAD, OPTIONS")
    assert client.options("/fuse").headers["allow"] == "OPTIONS, POST"
    assert client.head("/fuse").status_code == 405
    assert client.options("/nothing").status_code == 404


def test_no_page_of_another_origin_may_call_the_service_unless_it_is_listed(client):
    response = client.get("/healthz", headers={"Origin": ORIGIN})
    assert not [name for name in response.headers if name.startswith("access-control")]
    assert "vary" not in response.headers


def test_pages_of_listed_origins_may_call_the_service(weights, tmp_path, under, over):
    settings = server_settings(weights) | {"EXPOFUSE_CORS_ORIGINS": f"{ORIGIN}, http://localhost:1"}
    with running_server(settings, log_path=tmp_path / "log") as server, make_client(server) as one:
        check_listed_origin(one, under, over)


def check_listed_origin(client: httpx.Client, under: bytes, over: bytes) -> None:
    asked = {"Origin": ORIGIN, "Access-Control-Request-Method": "POST"}
    asked["Access-Control-Request-Headers"] = "x-request-id"
    preflight = client.options("/fuse", headers=asked)
    assert preflight.status_code == 200
    assert preflight.headers["access-control-allow-origin"] == ORIGIN
    assert "POST" in preflight.headers["access-control-allow-methods"]
    assert "x-request-id" in preflight.headers["access-control-allow-headers"].lower()
    other = client.options("/fuse", headers=asked | {"Origin": "https://other.example"})
    assert (other.status_code, other.json()["status"]) == (403, 403)
    assert "access-control-allow-origin" not in other.headers
    for query, status in (("", 200), ("?format=gif", 422)):
        files = {"under": under, "over": over}
        response = client.post(f"/fuse{query}", files=files, headers={"Origin": ORIGIN})
        assert response.status_code == status
        assert response.headers["access-control-allow-origin"] == ORIGIN
        assert set(re.split(", *", response.headers["vary"])) == {"Origin", "Accept"}
    assert "origin" in client.get("/limits").headers["vary"].lower()


@pytest.mark.parametrize("between", [b"\r\n", b"\r\n\r\n", b"\n"])
@pytest.mark.parametrize("pause_s", [0, 0.1])
def test_an_empty_line_behind_a_request_is_ignored(server, pair, reference, between, pause_s):
    last = post_head(length_of(pair), CLOSE) + pair + between
    with connect(server) as connection:
        for piece in (between + GET + between, GET, between + last):
            connection.sendall(piece)
            time.sleep(pause_s)
        answers = read_all(connection)
    assert answers.count(b'{"status":"ok"}') == 2
    assert answers.count(b"HTTP/1.1 ") == answers.count(b"HTTP/1.1 200 ") == 3
    assert answers.endswith(reference)
