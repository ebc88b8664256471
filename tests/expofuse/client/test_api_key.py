"""How both clients come by a key, what they send, and what they tell where it is not taken."""

import pytest

from expofuse.client import ApiKeyError, UsageError
from expofuse.client.exchange import Connection
from expofuse.client.retries import Retries
from tests.expofuse.client.scripted_server import HEALTHY, answer, scripted_server

KEY = "xpf_aaaaaaaa_secret"
PROBLEM = b"""{"type": "/problems/unauthorized", "title": "A key is needed", "status": 401,
"detail": "expected a key, got none", "request_id": "id-7"}"""
REFUSAL = answer(
    "401 Unauthorized",
    PROBLEM,
    "Content-Type: application/problem+json",
    'WWW-Authenticate: Bearer realm="expofuse"',
)


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch):
    for name in ("EXPOFUSE_API_KEY", "EXPOFUSE_API_KEY_FILE"):
        monkeypatch.delenv(name, raising=False)


def sent(make_client, **options):
    """The header that a client sends; None where it sends none."""
    with scripted_server(HEALTHY) as server:
        make_client(server.url, **options).health()
    lines = server.heads[0].decode().split("\r\n")
    found = [line.partition(": ")[2] for line in lines if line.lower().startswith("authorization")]
    return found[0] if found else None


def test_a_key_is_given_or_that_of_the_environment(make_client, monkeypatch, tmp_path):
    assert sent(make_client) is None
    assert sent(make_client, api_key=KEY) == f"Bearer {KEY}"
    (tmp_path / "key").write_text("xpf_of_file\n")
    monkeypatch.setenv("EXPOFUSE_API_KEY_FILE", str(tmp_path / "key"))
    assert sent(make_client) == "Bearer xpf_of_file"
    monkeypatch.setenv("EXPOFUSE_API_KEY", "xpf_of_environment")
    assert sent(make_client) == "Bearer xpf_of_environment"
    assert sent(make_client, api_key=KEY) == f"Bearer {KEY}"
    assert sent(make_client, api_key="") is None
    assert sent(make_client, headers={"authorization": "Basic x"}) == "Basic x"


def test_a_file_that_is_not_there_is_an_error_of_files(make_client, monkeypatch):
    monkeypatch.setenv("EXPOFUSE_API_KEY_FILE", "/nowhere")
    with pytest.raises(FileNotFoundError):
        make_client("http://127.0.0.1:1")


@pytest.mark.parametrize("key", ["two words", "line\nbreak", "schlüssel"])
def test_a_key_that_no_header_takes_is_misuse_and_is_not_repeated(make_client, key):
    with pytest.raises(UsageError) as caught:
        make_client("http://127.0.0.1:1", api_key=key)
    assert key not in str(caught.value)


def test_a_service_that_takes_no_key_is_told_apart_and_not_asked_again(make_client):
    with scripted_server(REFUSAL, HEALTHY) as server, pytest.raises(ApiKeyError) as caught:
        make_client(server.url, api_key=KEY).version()
    assert len(server.heads) == 1
    assert (caught.value.code, caught.value.status) == ("unauthorized", 401)
    assert KEY not in str(caught.value)


def test_what_is_printed_of_a_connection_does_not_hold_its_key():
    assert KEY not in repr(Connection("http://x", 1.0, Retries(), {}, KEY))
