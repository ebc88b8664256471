"""Clients that leave, and deadlines that pass, in every stage: nothing goes on behind them."""

import asyncio
import logging
import os
import signal
import uuid
from contextlib import contextmanager

import pytest
import pytest_asyncio

from tests import images
from tests.service.backends import HANG, SLOW
from tests.service.http.live import make_body, make_request, serving_live, until

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def live():
    """One codec process, and one job at a time on the device."""
    async with serving_live(max_running=1) as one:
        yield one


@contextmanager
def stopped(pid):
    """A process that does nothing meanwhile."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def scene_that(deed, side=48):
    pixels = images.scene(side, side, gain=0.3)
    pixels[0, 0, 0] = deed
    return pixels


def pair(deed=1, side=48):
    return make_body(
        [
            images.encoded(pixels=scene_that(deed, side)),
            images.encoded(pixels=images.scene(side, side)),
        ]
    )


def large_pair():
    """What takes a while to align."""
    pixels = images.scene(1200, 1600)
    return make_body(
        [images.encoded("jpeg", pixels=pixels // 3), images.encoded("jpeg", pixels=pixels)]
    )


def new_id():
    return uuid.uuid4().hex


async def check_all_is_let_go(live):
    """Every budget is as before, and the service still fuses."""
    await until(lambda: live.sample("jobs_in_flight") == 0)
    await until(lambda: live.sample("running_jobs") == live.sample("queue_jobs") == 0)
    await until(lambda: live.sample("codec_queue_calls") == 0)
    assert live.service.admission.backlog.work_s == 0
    assert live.sample("upload_bytes") == live.sample("megapixels_in_flight") == 0
    assert (await live.exchange(make_request(pair()))).status == 200


async def leave(live, request, *, at):
    """Send a request, leave when the condition holds; it must be counted as a client that left."""
    before = live.sample("requests_total", outcome="disconnected")
    _, writer = await live.connect(request)
    if asyncio.iscoroutinefunction(at):
        await at()
    else:
        await until(at)
    writer.transport.abort()
    await until(lambda: live.sample("requests_total", outcome="disconnected") == before + 1)


async def test_a_client_that_leaves_while_its_body_is_received(live, caplog):
    with caplog.at_level(logging.INFO, "service.http.middleware"):
        body = pair()
        half = make_request(body)[: -len(body) // 2]
        await leave(live, half, at=lambda: live.sample("upload_bytes") > 0)
    (line,) = [one for one in caplog.records if one.message == "request"]
    assert (line.status, line.outcome) == (499, "disconnected")
    count = live.sample("request_seconds_count", outcome="disconnected")
    assert count == live.sample("requests_total", outcome="disconnected")
    await check_all_is_let_go(live)


async def test_a_client_that_leaves_while_its_decoding_runs_or_waits(live):
    codec = live.service.codec
    with stopped(codec.pids[0]):
        await leave(live, make_request(pair()), at=lambda: codec.running and codec.waiting)
        assert codec.waiting == 0
        await leave(live, make_request(pair()), at=lambda: codec.waiting == 2)
        assert codec.waiting == 0
        assert live.sample("jobs_in_flight") == 0
    await check_all_is_let_go(live)


@pytest.mark.parametrize(
    ("stage", "query"), [("align", "?format=jpeg"), ("encode", "?format=avif&align=off")]
)
async def test_a_client_that_leaves_while_it_is_aligned_or_encoded(live, stage, query):
    body = large_pair()
    for _ in range(20):
        request_id = new_id()
        before = live.sample("requests_total", outcome="disconnected")
        _, writer = await live.connect(make_request(body, query, {"X-Request-Id": request_id}))
        seen = None
        while seen not in (stage, "send"):
            seen = await live.ask_stage(request_id)
        writer.transport.abort()
        if seen == stage:
            await until(lambda: live.sample("jobs_in_flight") == 0)
            if live.sample("requests_total", outcome="disconnected") == before + 1:
                break
    else:
        pytest.fail(f"the request was never left in {stage}")
    await check_all_is_let_go(live)


async def test_a_client_that_leaves_while_its_job_waits_or_is_fused(live):
    reader, writer = await live.connect(make_request(pair(SLOW, 960)))
    await until(lambda: live.sample("running_jobs") == 1)
    await leave(live, make_request(pair(1, 1000)), at=lambda: live.sample("queue_jobs") == 1)
    assert live.sample("queue_jobs") == 0
    before = live.sample("requests_total", outcome="disconnected")
    batches = live.sample("batch_windows_count")
    writer.transport.abort()
    await until(lambda: live.sample("requests_total", outcome="disconnected") == before + 1)
    assert await reader.read() == b""
    await check_all_is_let_go(live)
    # Of the 3,600 windows, at 16 a second of one core, most were never computed.
    assert live.sample("batch_windows_count") - batches < 800


async def test_an_expired_call_is_not_decoded_and_its_place_is_free(live):
    codec = live.service.codec
    with stopped(codec.pids[0]):
        first = asyncio.create_task(live.exchange(make_request(pair())))
        await until(lambda: codec.running and codec.waiting)
        refused = await live.exchange(make_request(pair(), headers={"Prefer": "wait=1"}))
        assert (refused.status, refused.problem) == (504, "deadline-passed")
        assert refused.headers["preference-applied"] == "wait=1"
        assert b"within 1 s" in refused.body
        assert codec.waiting == 1
    assert (await first).status == 200
    await check_all_is_let_go(live)


async def test_an_expired_job_is_neither_queued_nor_computed_any_further(live):
    # Long enough to be begun on a machine under other tests, and never to be done.
    slow = make_request(pair(SLOW, 640), headers={"Prefer": "wait=10"})
    running = asyncio.create_task(live.exchange(slow))
    await until(lambda: live.sample("running_jobs") == 1)
    larger = make_request(pair(1, 800), headers={"Prefer": "wait=1"})
    assert (await live.exchange(larger)).status == 504
    assert (await running).status == 504
    await check_all_is_let_go(live)


async def test_without_time_nothing_is_begun(live):
    admitted = live.sample("pair_megapixels_count")
    answer = await live.exchange(make_request(pair(), headers={"Prefer": "wait=0"}))
    assert answer.status == 504
    assert live.sample("pair_megapixels_count") == admitted
    await check_all_is_let_go(live)


@pytest.mark.parametrize("prefer", ["wait=soon", "wait=100000", "respond-async", ""])
async def test_a_preference_that_is_malformed_or_beyond_the_deadline_changes_nothing(live, prefer):
    answer = await live.exchange(make_request(pair(), headers={"Prefer": prefer}))
    assert answer.status == 200
    assert "preference-applied" not in answer.headers


async def test_a_preference_that_is_met_is_confirmed(live):
    answer = await live.exchange(make_request(pair(), headers={"Prefer": "wait=100"}))
    assert (answer.status, answer.headers["preference-applied"]) == (200, "wait=100")


async def test_a_hanging_job_costs_its_client_alone_the_time(live):
    answer = await live.exchange(make_request(pair(HANG), headers={"Prefer": "wait=2"}))
    assert answer.status == 504
