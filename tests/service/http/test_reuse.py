"""A picture is made once: by its tag, from what is kept, with others that wait, by its key."""

import asyncio
from contextlib import suppress

import pytest
import pytest_asyncio

from service.settings import CacheSettings, LimitSettings
from tests import images
from tests.service.backends import RAISE, SLOW, backend_command, labelled
from tests.service.http.in_process import serving

pytestmark = pytest.mark.asyncio(loop_scope="module")

SLOW_SIDE_PX = 160
"""A hundred windows of a twentieth of a second: others come while it runs."""


def serving_with(**cache):
    return serving(
        renew_command=lambda: backend_command(labelled, "0.0.2", "other"),
        backoff_s=0.05,
        timeout_s=120.0,
        limits=LimitSettings(deadline_s=110),
        cache=CacheSettings(**cache),
    )


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def plain():
    """As it is by default: no cache."""
    async with serving_with() as one:
        yield one


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def caching():
    async with serving_with(bytes=2**20) as one:
        yield one


def body(deed=1, seed=0, side_px=48):
    under = images.scene(side_px, side_px, gain=0.3)
    under[0, 0, 0], under[1, 1, 1] = deed, seed
    over = images.scene(side_px, side_px)
    return {"under": images.encoded(pixels=under), "over": images.encoded(pixels=over)}


async def post(client, files=None, query="?align=off&format=png", **headers):
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    return await client.post(f"/fuse{query}", files=files or body(), headers=headers)


def sample(client, name, **labels):
    return client.service.metrics.registry.get_sample_value(f"expofuse_{name}", labels)


def outcomes(client, outcome):
    return sample(client, "requests_total", outcome=outcome)


def fused_count(client):
    """Pictures that were really made."""
    return sample(client, "pair_megapixels_count")


async def wait_until(condition):
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110 - what is waited for happens in a process
            await asyncio.sleep(0.01)


async def test_equal_requests_have_one_strong_tag_and_others_have_another(plain):
    first = await post(plain)
    tag = first.headers["etag"]
    assert tag.startswith('"')
    assert len(tag) == 50
    assert first.headers["cache-control"] == "private, no-cache"
    assert first.headers["vary"] == "Accept"
    assert first.headers["x-expofuse-cache"] == "miss"
    again = await post(plain)
    assert (again.headers["etag"], again.content) == (tag, first.content)
    files = body()
    same = [
        await post(plain, query="?align=off&format=png&weights="),
        await post(plain, query="?align=off", accept="image/png"),
        await post(plain, query="?align=off&format=png&weights=copy"),
        await post(plain, dict(reversed(files.items()))),
    ]
    assert {one.headers["etag"] for one in same} == {tag}
    others = [
        await post(plain, query="?align=off&format=jpeg"),
        await post(plain, query="?align=off&format=png&ghosts=off"),
        await post(plain, query="?align=off&format=png&metadata=strip"),
        await post(plain, body(seed=1)),
        await post(plain, {"under": files["over"], "over": files["under"]}),
    ]
    assert len({tag, *(one.headers["etag"] for one in others)}) == 6


async def test_who_has_the_picture_is_told_so_without_a_fusion(plain):
    tag = (await post(plain)).headers["etag"]
    made, told = fused_count(plain), outcomes(plain, "not-modified")
    for value in (tag, f"W/{tag}", f'"other", {tag}'):
        answer = await post(plain, if_none_match=value)
        assert (answer.status_code, answer.content) == (304, b"")
        assert answer.headers["etag"] == tag
        assert answer.headers["vary"] == "Accept"
        assert answer.headers["cache-control"] == "private, no-cache"
    assert fused_count(plain) == made
    assert outcomes(plain, "not-modified") == told + 3
    assert sample(plain, "upload_bytes") == 0
    for value in ('"other"', "*", "nonsense"):
        assert (await post(plain, if_none_match=value)).status_code == 200


async def test_a_cache_answers_an_equal_request_without_a_fusion(caching):
    first = await post(caching)
    made = fused_count(caching)
    again = await post(caching)
    assert fused_count(caching) == made
    assert again.content == first.content
    assert again.headers["x-expofuse-cache"] == "hit"
    assert int(again.headers["age"]) >= 0
    assert "fuse;dur=0.0" in again.headers["server-timing"]
    for name in ("etag", "x-expofuse-weights", "x-expofuse-exposure-order", "content-type"):
        assert again.headers[name] == first.headers[name]
    assert sample(caching, "kept_bytes", kept_for="equal") >= len(first.content)
    assert sample(caching, "kept_bytes", kept_for="keyed") == 0
    assert sample(caching, "response_bytes") == 0


async def test_without_a_cache_nothing_is_kept(plain):
    await post(plain, body(seed=2))
    made = fused_count(plain)
    again = await post(plain, body(seed=2))
    assert again.headers["x-expofuse-cache"] == "miss"
    assert fused_count(plain) == made + 1
    assert sample(plain, "kept_bytes", kept_for="equal") == 0


async def test_equal_requests_at_one_time_are_fused_once_where_there_is_a_cache(caching):
    made, reused = fused_count(caching), outcomes(caching, "reused")
    slow = body(SLOW, side_px=SLOW_SIDE_PX)
    answers = await asyncio.gather(*(post(caching, slow) for _ in range(4)))
    assert {one.status_code for one in answers} == {200}
    assert len({one.content for one in answers}) == 1
    kinds = sorted(one.headers["x-expofuse-cache"] for one in answers)
    assert kinds.count("miss") == 1
    assert set(kinds) <= {"miss", "shared", "hit"}
    assert fused_count(caching) == made + 1
    assert outcomes(caching, "reused") == reused + 3
    assert sample(caching, "upload_bytes") == sample(caching, "response_bytes") == 0


async def test_a_key_repeated_waits_for_the_first_and_is_replayed_after_it(plain):
    made = fused_count(plain)
    slow = body(SLOW, seed=3, side_px=SLOW_SIDE_PX)
    first = asyncio.create_task(post(plain, slow, idempotency_key='"one"'))
    await wait_until(lambda: sample(plain, "running_jobs") == 1)
    second = await post(plain, slow, idempotency_key="one")
    assert second.headers["x-expofuse-cache"] == "shared"
    third = await post(plain, slow, idempotency_key='"one"')
    assert third.headers["x-expofuse-cache"] == "hit"
    assert (await first).content == second.content == third.content
    assert fused_count(plain) == made + 1
    assert sample(plain, "kept_bytes", kept_for="keyed") >= len(third.content)
    assert sample(plain, "upload_bytes") == sample(plain, "response_bytes") == 0


@pytest.mark.parametrize("query", ["?align=off&format=jpeg", "?align=off&format=png&weights=copy"])
async def test_a_key_of_another_request_is_refused(plain, query):
    key = f"key of {query}"
    assert (await post(plain, idempotency_key=f'"{key}"')).status_code == 200
    answer = await post(plain, query=query, idempotency_key=f'"{key}"')
    assert answer.status_code == 422
    assert answer.json()["type"] == "/problems/idempotency-key-reused"
    assert (await post(plain, body(seed=9), idempotency_key=f'"{key}"')).status_code == 422


async def test_what_is_no_key_is_refused(plain):
    answer = await post(plain, idempotency_key="k" * 256)
    assert answer.status_code == 400
    assert answer.json()["type"] == "/problems/malformed-idempotency-key"


async def test_the_client_of_the_first_may_leave_and_the_other_is_served(plain):
    """The one that waits keeps the work alive, whoever began it."""
    made = fused_count(plain)
    slow = body(SLOW, seed=4, side_px=SLOW_SIDE_PX)
    first = asyncio.create_task(post(plain, slow, idempotency_key="left"))
    await wait_until(lambda: sample(plain, "running_jobs") == 1)
    second = asyncio.create_task(post(plain, slow, idempotency_key="left"))
    await wait_until(lambda: sample(plain, "upload_bytes") > 0)
    await asyncio.sleep(0.2)
    first.cancel()
    with suppress(asyncio.CancelledError):
        await first
    answer = await second
    assert answer.status_code == 200
    assert answer.headers["x-expofuse-cache"] == "shared"
    assert fused_count(plain) == made + 1
    await wait_until(lambda: sample(plain, "jobs_in_flight") == 0)
    assert sample(plain, "upload_bytes") == sample(plain, "response_bytes") == 0


async def test_work_that_nobody_waits_for_is_cancelled_and_the_key_is_free_again(plain):
    slow = body(SLOW, seed=5, side_px=SLOW_SIDE_PX)
    for _ in range(2):
        first = asyncio.create_task(post(plain, slow, idempotency_key="alone"))
        await wait_until(lambda: sample(plain, "running_jobs") == 1)
        first.cancel()
        with suppress(asyncio.CancelledError):
            await first
        assert sample(plain, "jobs_in_flight") == 0
        await wait_until(lambda: sample(plain, "running_jobs") == 0)
    assert sample(plain, "upload_bytes") == 0
    answer = await post(plain, slow, idempotency_key="alone")
    assert answer.headers["x-expofuse-cache"] == "miss"


async def test_a_failure_of_the_service_befalls_nobody_but_the_first(plain):
    """The one that waited tries by itself, and so does whoever comes after."""
    made = fused_count(plain)
    failing = body(RAISE, seed=6)
    answers = await asyncio.gather(*(post(plain, failing, idempotency_key="fails") for _ in "ab"))
    assert [one.status_code for one in answers] == [500, 500]
    assert fused_count(plain) == made + 2
    assert (await post(plain, failing, idempotency_key="fails")).status_code == 500
    assert fused_count(plain) == made + 3


async def test_a_final_refusal_is_shared(plain):
    damaged = body(seed=7) | {"over": images.truncated(images.encoded(pixels=images.scene(48, 48)))}
    made = fused_count(plain)
    answers = await asyncio.gather(*(post(plain, damaged, idempotency_key="bad") for _ in "abc"))
    assert {one.status_code for one in answers} == {422}
    assert len({one.json()["detail"] for one in answers}) == 1
    assert len({one.json()["request_id"] for one in answers}) == 3
    assert fused_count(plain) <= made + 3
    assert sample(plain, "upload_bytes") == 0


async def test_a_key_outlives_a_reload_and_a_tag_does_not():
    async with serving_with() as client:
        first = await post(client, idempotency_key="kept")
        await client.service.reload_weights()
        again = await post(client, idempotency_key="kept")
        assert again.headers["etag"] == first.headers["etag"]
        assert again.headers["x-expofuse-weights"] == "copy-0.0.1"
        other = await post(client, if_none_match=first.headers["etag"])
        assert other.status_code == 200
        assert other.headers["x-expofuse-weights"] == "copy-0.0.2"
        assert other.headers["etag"] != first.headers["etag"]


async def test_a_picture_above_the_bound_is_given_and_not_kept():
    async with serving_with(bytes=1000, keyed_bytes=0) as client:
        for _ in range(2):
            answer = await post(client, idempotency_key="large")
            assert answer.headers["x-expofuse-cache"] == "miss"
            assert len(answer.content) > 1000
        assert sample(client, "kept_bytes", kept_for="equal") == 0
        assert sample(client, "kept_bytes", kept_for="keyed") == 0


async def test_the_loops_lag_and_the_memory_of_each_kind_of_process_are_shown(plain):
    await wait_until(lambda: sample(plain, "loop_lag_seconds_count") > 0)
    for kind in ("loop", "codec", "worker"):
        assert 2**20 < sample(plain, "process_memory_bytes", process=kind) < 2**32
    assert sample(plain, "shared_memory_free_bytes") > 0
    assert sample(plain, "process_open_fds") > 0
