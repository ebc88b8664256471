"""A service with a certificate of its own: the same answers, and a new one while it runs."""

import os
import signal
import socket
import ssl
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
import trustme

from expofuse.client import Client
from tests.integration.conftest import TIMEOUT_S, server_settings, wait_for
from tests.integration.test_bad_input import form_body
from tests.integration.test_http_requests import GET, length_of, post_head, read_all
from tests.integration.test_slow_clients import HALF_A_HEAD, LARGE
from tests.paths import ROOT
from tests.server import free_port, running_server

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def folder(tmp_path_factory, authority) -> Path:
    folder = tmp_path_factory.mktemp("tls")
    authority.cert_pem.write_to_path(folder / "ca.pem")
    put_certificate(authority, folder)
    return folder


def put_certificate(authority: trustme.CA, folder: Path, name: str = "server") -> None:
    issued = authority.issue_cert("127.0.0.1", "localhost")
    chain = b"".join(one.bytes() for one in issued.cert_chain_pems)
    (folder / f"{name}.crt").write_bytes(chain)
    issued.private_key_pem.write_to_path(folder / f"{name}.key")


def tls_settings(folder: Path) -> dict[str, str]:
    return {
        "EXPOFUSE_TLS__CERTIFICATE": str(folder / "server.crt"),
        "EXPOFUSE_TLS__KEY": str(folder / "server.key"),
    }


@pytest.fixture(scope="module")
def trust(authority) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


@pytest.fixture(scope="module")
def secure(weights, folder, trust):
    settings = server_settings(weights) | tls_settings(folder)
    settings |= {
        "EXPOFUSE_TLS__HSTS_S": "3600",
        "EXPOFUSE_METRICS_PORT": str(free_port()),
        "EXPOFUSE_LIMITS__HEAD_TIMEOUT_S": "2",
        "EXPOFUSE_LIMITS__SEND_STALL_TIMEOUT_S": "3",
    }
    with running_server(settings, log_path=folder / "log", trust=trust) as server:
        yield server


@pytest.fixture
def secure_client(secure, trust):
    with httpx.Client(
        base_url=secure.base_url, verify=trust, trust_env=False, timeout=TIMEOUT_S
    ) as one:
        yield one


def connect(server, trust, *, receive_bytes: int | None = None) -> ssl.SSLSocket:
    plain = connect_plainly(server, receive_bytes=receive_bytes)
    return trust.wrap_socket(plain, server_hostname="127.0.0.1")


def connect_plainly(server, *, receive_bytes: int | None = None) -> socket.socket:
    connection = socket.socket()
    if receive_bytes is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
    connection.settimeout(60)
    connection.connect(("127.0.0.1", int(server.base_url.rpartition(":")[2])))
    return connection


def test_a_pair_is_fused_and_told_that_tls_is_to_stay(secure_client, under, over, reference):
    response = secure_client.post("/fuse", files={"under": under, "over": over})
    assert (response.status_code, response.content) == (200, reference)
    assert response.headers["strict-transport-security"] == "max-age=3600"


def test_a_large_body_comes_whole_and_a_large_answer_goes_whole(secure_client):
    files = {"under": os.urandom(2_500_000), "over": b"no picture"}
    assert secure_client.post("/fuse", files=files).status_code == 415
    assert len(secure_client.get("/reference/redoc.standalone.js").content) > 500_000


def test_a_refused_upload_has_its_answer_though_the_client_still_sends(secure, trust):
    with connect(secure, trust) as connection:
        connection.sendall(post_head("Content-Length: 40000000") + bytes(3_000_000))
        answer = read_all(connection)
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"body-too-large" in answer


def test_a_head_that_never_ends_is_answered(secure, trust):
    with connect(secure, trust) as connection:
        connection.sendall(HALF_A_HEAD)
        assert read_all(connection).startswith(b"HTTP/1.1 408 ")


def test_a_handshake_that_never_ends_is_cut(secure):
    with connect_plainly(secure) as connection:
        connection.sendall(b"\x16\x03\x01")
        assert connection.recv(100) == b""


def test_a_reader_that_stalls_is_cut(secure, trust, secure_client):
    metrics = f"http://127.0.0.1:{metrics_port(secure)}/metrics"

    def count_stalled() -> bool:
        return 'connections_cut_total{reason="stalled"} 1.0' in httpx.get(metrics).text

    with connect(secure, trust, receive_bytes=4096) as connection:
        connection.sendall(LARGE)
        wait_for(count_stalled)
    assert secure_client.get("/healthz").status_code == 200


def metrics_port(server) -> int:
    lines = [line for line in server.log().splitlines() if '"listening"' in line]
    return int(lines[1].partition('"port": ')[2].partition("}")[0].partition(",")[0])


def test_what_is_not_tls_is_closed(secure, secure_client):
    with connect_plainly(secure) as connection:
        connection.sendall(GET)
        assert b"HTTP" not in read_all(connection)
    assert secure_client.get("/healthz").status_code == 200


def test_the_client_and_the_health_check_trust_whom_they_are_told_to(
    secure, folder, trust, under, over, reference, tmp_path
):
    for name, content in (("under.png", under), ("over.png", over)):
        (tmp_path / name).write_bytes(content)
    with Client(secure.base_url, verify=trust) as client:
        fused = client.fuse([tmp_path / "under.png", tmp_path / "over.png"])
        assert fused.content == reference
    port = secure.base_url.rpartition(":")[2]
    told = {"SSL_CERT_FILE": str(folder / "ca.pem")}
    own = {"EXPOFUSE_PORT": port, **tls_settings(folder)}
    assert run_health("--server", secure.base_url, environment=told) == 0
    assert run_health("--server", secure.base_url) == 1
    assert run_health(environment=own) == 0


def run_health(*arguments: str, environment: dict[str, str] | None = None) -> int:
    command = [sys.executable, "-m", "service", "health", "--timeout", "60", *arguments]
    kept = {name: value for name, value in os.environ.items() if name != "SSL_CERT_FILE"}
    return subprocess.run(
        command, cwd=ROOT, env=kept | (environment or {}), capture_output=True
    ).returncode


def serial_number(server, trust) -> str:
    return str(certificate_of(server, trust)["serialNumber"])


def certificate_of(server, trust):
    with connect(server, trust) as connection:
        certificate = connection.getpeercert()
    assert certificate is not None
    return certificate


def count_reloads(server, outcome: str) -> float:
    return read_metric(server, f'expofuse_certificate_reloads_total{{outcome="{outcome}"}}')


def read_metric(server, series: str) -> float:
    """From the operators' port, which has no TLS."""
    text = httpx.get(f"http://127.0.0.1:{metrics_port(server)}/metrics", trust_env=False).text
    return next(float(line.split()[1]) for line in text.splitlines() if line.startswith(series))


def test_a_new_certificate_is_taken_up_and_a_bad_one_is_not(
    secure, authority, folder, trust, secure_client
):
    before = serial_number(secure, trust)
    assert secure_client.get("/healthz").status_code == 200
    put_certificate(authority, folder)
    os.kill(secure.process.pid, signal.SIGHUP)
    wait_for(lambda: serial_number(secure, trust) != before)
    assert secure_client.get("/healthz").status_code == 200  # On the connection of before.
    taken = serial_number(secure, trust)
    assert count_reloads(secure, "reloaded") == 1
    issued_until = certificate_of(secure, trust)["notAfter"]
    expiry_s = read_metric(secure, "expofuse_certificate_expiry_timestamp_seconds")
    assert expiry_s == ssl.cert_time_to_seconds(str(issued_until))
    put_certificate(authority, folder, "other")
    (folder / "other.key").replace(folder / "server.key")
    os.kill(secure.process.pid, signal.SIGHUP)
    wait_for(lambda: "reload failed, the old stays" in secure.log())
    assert serial_number(secure, trust) == taken
    assert count_reloads(secure, "refused") == 1


def test_only_clients_that_are_vouched_for_are_served(weights, folder, authority, trust, tmp_path):
    issued = authority.issue_cert("client.example")
    known = ssl.create_default_context()
    authority.configure_trust(known)
    issued.configure_cert(known)
    put_certificate(authority, folder, "server")
    settings = server_settings(weights) | tls_settings(folder)
    settings["EXPOFUSE_TLS__CLIENT_CA"] = str(folder / "ca.pem")
    with running_server(settings, log_path=tmp_path / "log", trust=known) as server:
        assert httpx.get(f"{server.base_url}/healthz", verify=known).status_code == 200
        with pytest.raises((httpx.TransportError, ssl.SSLError)):
            httpx.get(f"{server.base_url}/healthz", verify=trust)


def test_a_form_is_read_over_tls_in_small_pieces(secure, trust, under, over, reference):
    body = form_body(under=under, over=over)
    with connect(secure, trust) as connection:
        connection.sendall(post_head(length_of(body), "Connection: close"))
        for begin in range(0, len(body), 1000):
            connection.sendall(body[begin : begin + 1000])
        assert read_all(connection).endswith(reference)
