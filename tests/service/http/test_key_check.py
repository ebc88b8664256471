"""What a service with keys answers, with real codec processes and a worker that copies."""

import asyncio
import json
import logging
from contextlib import asynccontextmanager

import httpx
import pytest

from service.http.app import create_app
from service.http.key_check import PATHS
from service.lifecycle import Service
from service.settings import DOORS, CodecSettings, KeySettings, LimitSettings, Settings
from tests import images
from tests.service.backends import HANG, RAISE, backend_command, copying
from tests.service.keys.conftest import CREATED, KeyFile

CLOSED = ("/limits", "/version", "/weights", "/requests/any", "/nothing", "/fuse", "/group")
MEGAPIXELS = 48 * 64 / 1e6


@asynccontextmanager
async def serving(key_file, *, is_started=False, **settings):
    """A service with keys; only one that is started can fuse."""
    service = Service(
        Settings(
            keys=KeySettings(file=key_file.path, **settings.pop("keys", {})),
            codec=CodecSettings(processes=1),
            limits=LimitSettings(deadline_s=settings.pop("deadline_s", 60.0)),
            log_level="error",
            **settings,
        ),
        backend_command(copying),
    )
    if is_started:
        await service.start()
    transport = httpx.ASGITransport(create_app(service), client=("192.0.2.1", 5))
    async with httpx.AsyncClient(transport=transport, base_url="http://x") as client:
        client.service = service
        try:
            yield client
        finally:
            await service.stop()


def bearing(key):
    return {"Authorization": f"Bearer {key.text}"}


def fuse(client, key, deed=1, query="?align=off&format=png"):
    under = images.scene(48, 64, gain=0.3)
    under[0, 0, 0] = deed
    files = {"under": images.encoded(pixels=under), "over": images.encoded(pixels=images.scene())}
    return client.post(f"/fuse{query}", files=files, headers=bearing(key))


def below(path):
    """A path behind a door, where all those below one are."""
    return path if path == "/" or not path.endswith("/") else f"{path}any"


def sample(client, name, **labels):
    return client.service.metrics.registry.get_sample_value(f"expofuse_{name}", labels)


def read_levels(response):
    """What is left of each limit."""
    levels = (item.split(";") for item in response.headers["ratelimit"].split(", "))
    return {name.strip('"'): int(left.removeprefix("r=")) for name, left, *_ in levels}


async def test_what_is_closed_is_closed_by_every_method_and_the_body_is_not_read(key_file):
    key_file.add()
    taken = []

    async def body():
        taken.append(1)
        yield b"x"

    async with serving(key_file) as client:
        for path in CLOSED:
            for method in ("GET", "HEAD", "POST", "PUT", "DELETE"):
                answer = await client.request(method, path)
                assert answer.status_code == 401, (method, path)
                assert answer.headers["www-authenticate"] == 'Bearer realm="expofuse"'
        answer = await client.post("/fuse", content=body())
        assert answer.json()["type"] == "/problems/unauthorized"
        assert (answer.headers["connection"], taken) == ("close", [])
        assert sample(client, "requests_total", outcome="unauthorized") == 2


async def test_a_key_that_is_not_in_force_is_not_told_from_a_wrong_one(key_file):
    key = key_file.add()
    others = [key_file.add(revoked=CREATED), key_file.add(expires=CREATED)]
    others.append(KeyFile(key_file.path.with_name("other.json")).add())
    async with serving(key_file) as client:
        assert (await client.get("/limits", headers=bearing(key))).status_code == 200
        answers = [await client.get("/limits", headers=bearing(other)) for other in others]
    told = {
        (one.status_code, one.headers["www-authenticate"], one.json()["detail"]) for one in answers
    }
    assert len(told) == 1
    assert told.pop()[:2] == (401, 'Bearer realm="expofuse", error="invalid_token"')


async def test_a_key_comes_in_one_way_only(key_file):
    key = key_file.add()
    async with serving(key_file) as client:
        answer = await client.get("/limits", headers={"X-API-Key": key.text})
        assert answer.status_code == 401
        assert (await client.get(f"/limits?api_key={key.text}")).status_code == 401


@pytest.mark.parametrize("door", DOORS)
async def test_each_door_is_open_or_closed_by_the_setting(key_file, door):
    key = key_file.add()
    for doors, is_open in ((door, True), ("none", False)):
        async with serving(key_file, keys={"open": doors}) as client:
            for path in map(below, PATHS[door]):
                answer = await client.get(path)
                assert (answer.status_code != 401) == is_open, path
                assert (await client.get(path, headers=bearing(key))).status_code != 401
            for path in CLOSED:
                assert (await client.get(path)).status_code == 401


async def test_by_default_metrics_are_closed_and_what_people_open_first_is_not(key_file):
    key_file.add()
    async with serving(key_file) as client:
        for path in ("/", "/page/js/main.js", "/docs", "/openapi.json", "/healthz", "/problems"):
            assert (await client.get(path)).status_code == 200
        assert (await client.get("/metrics")).status_code == 401


async def test_a_page_of_another_origin_may_ask_with_a_key_and_is_told_of_refusals(key_file):
    key = key_file.add()
    origin = "https://example.org"
    async with serving(key_file, cors_origins=origin) as client:
        asked = {
            "Origin": origin,
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "authorization, x-request-id",
        }
        answer = await client.options("/fuse", headers=asked)
        assert answer.status_code == 200
        allowed = answer.headers["access-control-allow-headers"].lower()
        # The wildcard does not stand for this one (Fetch, section 3.3.3).
        assert "authorization" in allowed
        answer = await client.get("/limits", headers={"Origin": origin})
        assert answer.status_code == 401
        assert answer.headers["access-control-allow-origin"] == origin
        answer = await client.get("/limits", headers={"Origin": origin} | bearing(key))
        assert answer.status_code == 200
        assert (await client.options("/limits")).status_code == 204


async def test_requests_above_the_rate_are_told_when_to_come_back(key_file):
    key, other = key_file.add(requests_per_minute=2), key_file.add()
    async with serving(key_file) as client:
        answers = [await client.post("/fuse", headers=bearing(key)) for _ in range(3)]
        assert [answer.status_code for answer in answers[:2]] == [415, 415]
        answer = answers[2]
        assert answer.status_code == 429
        assert answer.json()["type"] == "/problems/rate-limited"
        assert 1 <= int(answer.headers["retry-after"]) <= 30
        assert '"requests";q=2;w=60, ' in answer.headers["ratelimit-policy"]
        assert read_levels(answer)["requests"] == 0
        # Others of the same address, and looking how something fares, are not concerned.
        assert (await client.post("/fuse", headers=bearing(other))).status_code == 415
        assert (await client.get("/limits", headers=bearing(key))).status_code == 200
        assert sample(client, "rate_limited_total", limit="requests") == 1
        assert sample(client, "requests_total", outcome="rate-limited") == 1
        assert sample(client, "key_requests_total", key=key.id) == 2


async def test_the_headers_are_structured_fields_of_the_draft(key_file):
    key = key_file.add(megapixels_per_minute=50)
    async with serving(key_file) as client:
        answer = await client.get("/limits", headers=bearing(key))
        assert answer.headers["ratelimit-policy"] == (
            '"requests";q=120;w=60, "megapixels";q=50;w=60;qu="megapixels", '
            '"concurrency";q=8;qu="concurrent-requests"'
        )
        assert answer.headers["ratelimit"] == (
            '"requests";r=120;t=0, "megapixels";r=50;t=0, "concurrency";r=8'
        )
        assert "ratelimit" not in (await client.get("/healthz")).headers


async def test_megapixels_are_charged_once_the_headers_are_judged(key_file):
    key = key_file.add(megapixels_per_minute=1)
    async with serving(key_file, is_started=True) as client:
        client.service.keys._uses[key.id]._megapixels.take(1.0 - MEGAPIXELS)
        answer = await fuse(client, key)
        assert answer.status_code == 200
        levels = read_levels(answer)
        assert (levels["megapixels"], levels["concurrency"]) == (0, 7)
        assert sample(client, "key_megapixels_total", key=key.id) == pytest.approx(MEGAPIXELS)
        client.service.keys._uses[key.id]._megapixels.take(1.0)
        answer = await fuse(client, key)
        assert (answer.status_code, answer.json()["type"]) == (429, "/problems/rate-limited")
        assert 1 <= int(answer.headers["retry-after"]) <= 61
        assert sample(client, "rate_limited_total", limit="megapixels") == 1


async def test_what_the_service_refuses_for_its_own_sake_is_given_back(key_file):
    key = key_file.add(megapixels_per_minute=1)
    async with serving(key_file, is_started=True) as client:
        bucket = client.service.keys._uses[key.id]._megapixels
        given_back = []
        real = bucket.give_back
        bucket.give_back = lambda cost: given_back.append(cost) or real(cost)
        assert (await fuse(client, key, RAISE)).status_code == 500
        assert given_back == []
        most = client.service.limits.max_megapixels_in_flight
        with client.service.admission.admit(most - MEGAPIXELS / 2):
            answer = await fuse(client, key)
        assert answer.status_code == 503
        assert given_back == [pytest.approx(MEGAPIXELS)]


async def test_more_requests_at_one_time_than_a_key_may_have_are_refused(key_file):
    key = key_file.add(concurrency=1)
    async with serving(key_file, is_started=True, deadline_s=5.0) as client:
        first = asyncio.create_task(fuse(client, key, HANG))
        use = client.service.keys._uses[key.id]
        while not use._running:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        answer = await client.post("/group", json={"frames": []}, headers=bearing(key))
        assert (answer.status_code, answer.json()["type"]) == (429, "/problems/too-many-concurrent")
        assert "retry-after" in answer.headers
        assert read_levels(answer)["concurrency"] == 0
        assert (await client.get("/requests/any", headers=bearing(key))).status_code == 200
        assert (await first).status_code == 504
        answer = await client.post("/group", json={"frames": []}, headers=bearing(key))
        assert answer.status_code == 200


async def test_the_log_names_the_key_and_never_holds_its_secret(key_file, caplog):
    key, revoked = key_file.add(), key_file.add(revoked=CREATED)
    with caplog.at_level(logging.DEBUG):
        async with serving(key_file) as client:
            answers = [await client.post("/fuse", headers=bearing(one)) for one in (key, revoked)]
    settled = [record for record in caplog.records if record.message == "request"]
    assert [record.key for record in settled] == [key.id, None]
    (refusal,) = [record for record in caplog.records if record.message == "key refused"]
    assert (refusal.key, refusal.reason) == (revoked.id, "revoked")
    said = json.dumps([vars(record) for record in caplog.records], default=repr)
    said += repr([(dict(one.headers), one.text) for one in answers])
    for one in (key, revoked):
        assert one.secret not in said


async def test_without_a_file_of_keys_everything_is_open():
    service = Service(Settings(log_level="error"), backend_command(copying))
    transport = httpx.ASGITransport(create_app(service))
    async with httpx.AsyncClient(transport=transport, base_url="http://x") as client:
        answer = await client.get("/limits", headers={"Authorization": "Bearer nonsense"})
    assert answer.status_code == 200
    assert "ratelimit" not in answer.headers
    await service.stop()
