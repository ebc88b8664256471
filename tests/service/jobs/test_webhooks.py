"""Webhooks go where they may, signed, and nowhere else; against a real receiver."""

import asyncio
import shutil
import ssl
import subprocess
import time

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from expofuse.errors import OptionError
from service.errors import JobsSetupError
from service.jobs import webhooks
from service.jobs.webhooks import ListedHosts, WebhookError, read_secret, send, sign
from service.settings import JobSettings
from tests.webhooks import SECRET, receiving

BODY = b'{"type": "job.done"}'


@pytest.fixture
def receiver():
    with receiving() as one:
        yield one


def listing(text, **more):
    return JobSettings(webhook_hosts=text, **more)


async def call(receiver, hosts=None, url=None):
    listed = ListedHosts.read(hosts or f"http://127.0.0.1:{receiver.port}")
    secret = read_secret(listing("x", webhook_secret=SECRET))
    headers = sign(secret, message_id="msg_1", timestamp_s=int(time.time()), body=BODY)
    await send(listed.check(url or receiver.url), listed, headers, BODY)


async def test_a_webhook_is_verified_by_the_scheme_s_own_library(receiver):
    await call(receiver)
    ((headers, body),) = receiver.calls
    assert Webhook(SECRET).verify(body, dict(headers)) == {"type": "job.done"}
    assert headers["webhook-id"] == "msg_1"
    assert (headers["host"], headers[":target"]) == (f"127.0.0.1:{receiver.port}", "/hook?shop=1")
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify(body + b" ", dict(headers))


@pytest.mark.parametrize("status", [301, 302, 307, 308, 400, 404, 429, 500, 503])
async def test_an_answer_other_than_of_success_is_a_failure_and_no_redirect_followed(
    receiver, status
):
    receiver.answers = [status]
    receiver.location = receiver.url
    with pytest.raises(WebhookError, match=str(status)) as caught:
        await call(receiver)
    assert not caught.value.is_final
    assert len(receiver.calls) == 1


async def test_a_receiver_that_is_gone_asks_to_be_left_alone(receiver):
    receiver.answers = [410]
    with pytest.raises(WebhookError) as caught:
        await call(receiver)
    assert caught.value.is_final


async def test_of_a_large_answer_a_little_is_read(receiver):
    receiver.body = bytes(50 * 2**20)
    await call(receiver)


async def test_who_does_not_answer_in_time_is_left(monkeypatch):
    monkeypatch.setattr(webhooks, "TIMEOUT_S", 0.3)

    async def hold(reader, writer):
        await reader.read()
        writer.close()

    server = await asyncio.start_server(hold, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        listed = ListedHosts.read(f"http://127.0.0.1:{port}")
        with pytest.raises(WebhookError, match="no answer within"):
            await send(listed.check(f"http://127.0.0.1:{port}/"), listed, {}, BODY)


async def test_a_name_whose_address_is_neither_public_nor_listed_is_not_connected_to(receiver):
    url = f"http://localhost:{receiver.port}/"
    with pytest.raises(WebhookError, match="address"):
        await call(receiver, f"http://localhost:{receiver.port}", url)
    assert receiver.calls == []
    await call(receiver, f"http://localhost:{receiver.port}, 127.0.0.0/8", url)
    assert len(receiver.calls) == 1


async def test_a_closed_port_is_a_failure(receiver):
    with pytest.raises(WebhookError, match="no answer"):
        await call(receiver, "http://127.0.0.1:1", "http://127.0.0.1:1/")


@pytest.mark.parametrize(
    "url",
    [
        "http://hooks.example/",
        "https://hooks.example:8443/",
        "https://other.example/",
        "https://hooks.example./",
        "https://hooks.example@other.example/",
        "https://other.example\\@hooks.example/",
        "https://hooks.example/#part",
        "https://hooks.example/\r\nHost: x",
        "https://hooks.example/a b",
        "https://hooks.example:99999/",
        "http://127.1:9000/",
        "http://2130706433:9000/",
        "http://127.0.0.1:9001/",
        "ftp://hooks.example/",
        "//hooks.example/",
        "hooks.example",
        "https://hooks.example/" + "a" * 240,
    ],
)
def test_a_url_that_is_not_listed_is_refused(url):
    listed = ListedHosts.read("hooks.example, http://127.0.0.1:9000, 10.0.0.0/8")
    with pytest.raises(OptionError, match="expected webhook"):
        listed.check(url)


def test_a_url_that_is_listed_is_taken_apart():
    listed = ListedHosts.read("hooks.example, HOOKS.example:8443, http://[::1]:9000")
    assert listed.check("https://Hooks.Example").path == "/"
    assert listed.check("https://hooks.example:8443/a?b=c").origin.port == 8443
    assert listed.check("http://[::1]:9000/a").origin.host == "[::1]"
    assert listed.admits("::1")


def test_without_a_list_every_webhook_is_refused():
    with pytest.raises(OptionError, match="lists no hosts"):
        ListedHosts.read(None).check("https://hooks.example/")


@pytest.mark.parametrize(
    "text", ["https://a.example/path", "a b", "a.example:123456", "10.0.0.1/8"]
)
def test_what_is_no_host_ends_the_start(text):
    with pytest.raises(JobsSetupError, match="WEBHOOK_HOSTS"):
        ListedHosts.read(text)


def test_the_secret_comes_from_the_setting_or_a_file(tmp_path):
    path = tmp_path / "secret"
    path.write_text(SECRET + "\n")
    by_file = read_secret(listing("a.example", webhook_secret_file=path))
    assert by_file == read_secret(listing("a.example", webhook_secret=SECRET))
    assert len(by_file) == 24
    assert read_secret(JobSettings()) == b""


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"webhook_secret": "whsec_"},
        {"webhook_secret": "whsec_c2hvcnQ="},
        {"webhook_secret": "no base64 at all, but long enough"},
        {"webhook_secret_file": "/nowhere"},
    ],
)
def test_hosts_without_a_sound_secret_end_the_start_and_the_secret_is_not_told(given):
    with pytest.raises(JobsSetupError, match=r"secret|SECRET") as caught:
        read_secret(listing("a.example", **given))
    assert "c2hvcnQ" not in caught.value.message
    assert "base64 at all" not in caught.value.message


@pytest.fixture
def certificate(tmp_path):
    """A certificate of the name localhost alone, and its key."""
    if shutil.which("openssl") is None:
        pytest.skip("no openssl to make a certificate with")
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
            *("-keyout", str(key), "-out", str(certificate), "-subj", "/CN=localhost"),
            *("-addext", "subjectAltName=DNS:localhost"),
        ],
        check=True,
        capture_output=True,
    )
    return certificate, key


async def test_the_certificate_has_to_be_of_the_name_though_the_address_is_connected_to(
    certificate, monkeypatch
):
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*certificate)
    seen = []

    async def answer(reader, writer):
        seen.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context)
    async with server:
        port = server.sockets[0].getsockname()[1]
        listed = ListedHosts.read(f"localhost:{port}, 127.0.0.1:{port}")
        await send(listed.check(f"https://localhost:{port}/"), listed, {}, BODY)
        assert f"Host: localhost:{port}".encode() in seen[0]
        with pytest.raises(WebhookError, match="no answer"):
            await send(listed.check(f"https://127.0.0.1:{port}/"), listed, {}, BODY)
