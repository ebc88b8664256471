"""An `HttpServer` in this process with an application that tells what it was told."""

import asyncio
import json
import socket
from contextlib import asynccontextmanager

import httpx
import pytest

from service.errors import AddressError
from service.http.connections import ConnectionGuard
from service.http.server import HttpServer
from service.listening import claim_address
from service.settings import LimitSettings, Settings, SettingsError, load_settings


async def tell_client(scope, receive, send):
    told = json.dumps({"client": scope["client"][0], "scheme": scope["scheme"]}).encode()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": told})


@asynccontextmanager
async def serving(metrics, *, proxies=(), host="127.0.0.1"):
    with claim_address(host, 0) as listener:
        guard = ConnectionGuard(LimitSettings(), metrics)
        server = HttpServer(tell_client, listener, guard, trusted_proxies=proxies)
        task = asyncio.create_task(server.run_until_stopped())
        try:
            async with httpx.AsyncClient(
                base_url=f"http://127.0.0.1:{server.address[1]}", trust_env=False
            ) as client:
                yield client
        finally:
            server.stop()
            await task


FORWARDED = {"X-Forwarded-For": "203.0.113.9", "X-Forwarded-Proto": "https"}
AS_IT_IS = {"client": "127.0.0.1", "scheme": "http"}


@pytest.mark.parametrize("proxies", [(), ("10.0.0.0/8",), ("192.0.2.1", "::1")])
async def test_nobody_s_word_about_the_client_is_taken_but_a_listed_proxy_s(metrics, proxies):
    async with serving(metrics, proxies=proxies) as client:
        assert (await client.get("/", headers=FORWARDED)).json() == AS_IT_IS


@pytest.mark.parametrize("proxies", [("127.0.0.1",), ("10.0.0.0/8", "127.0.0.0/8")])
async def test_a_listed_proxy_is_believed_and_what_its_client_claims_is_not(metrics, proxies):
    async with serving(metrics, proxies=proxies) as client:
        told = (await client.get("/", headers=FORWARDED)).json()
        assert told == {"client": "203.0.113.9", "scheme": "https"}
        claimed = {"X-Forwarded-For": "198.51.100.1, 127.0.0.1, 203.0.113.9"}
        assert (await client.get("/", headers=claimed)).json()["client"] == "203.0.113.9"
        assert (await client.get("/")).json() == AS_IT_IS


async def test_an_address_of_version_4_is_the_same_on_a_socket_of_both(metrics):
    if not socket.has_dualstack_ipv6():
        pytest.skip("there is no IPv6 here")
    async with serving(metrics, host="::", proxies=("127.0.0.1",)) as client:
        assert (await client.get("/")).json() == AS_IT_IS
        assert (await client.get("/", headers=FORWARDED)).json()["client"] == "203.0.113.9"


@pytest.mark.parametrize("given", ["10.0.0.1/8", "proxy.example", "10.0.0.1,", "*"])
def test_what_is_no_address_is_no_proxy(monkeypatch, given):
    monkeypatch.setenv("EXPOFUSE_TRUSTED_PROXIES", given)
    with pytest.raises(SettingsError, match="EXPOFUSE_TRUSTED_PROXIES: expected addresses"):
        load_settings()


def test_proxies_are_listed():
    assert Settings(trusted_proxies="10.0.0.7, fd00::/8").proxies == ["10.0.0.7", "fd00::/8"]
    assert Settings().proxies == []


@pytest.mark.parametrize(
    ("host", "reason"),
    [
        ("no-such-host.invalid", "."),
        ("192.0.2.1", "Cannot assign requested address"),
        ("a" * 70, "not a name of a host"),
    ],
)
def test_an_address_that_is_not_of_this_machine_is_one_sentence(host, reason):
    with pytest.raises(AddressError, match=rf"^cannot listen on {host} port 0: {reason}"):
        claim_address(host, 0)


async def test_of_two_that_have_bound_one_address_the_second_is_told(metrics):
    with claim_address("127.0.0.1", 0) as first:
        port = first.getsockname()[1]
        with claim_address("127.0.0.1", port) as second:
            first.listen()
            server = HttpServer(tell_client, second, ConnectionGuard(LimitSettings(), metrics))
            with pytest.raises(AddressError, match=f"port {port}: "):
                await server.run_until_stopped()
