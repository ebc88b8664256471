"""Of several reasons to refuse a request the cheapest is found first."""

import asyncio

import numpy as np
import pytest
import pytest_asyncio

from tests import images
from tests.service.backends import SLOW
from tests.service.http.live import make_body, make_request, serving_live, until

pytestmark = pytest.mark.asyncio(loop_scope="module")

MAX_BODY_BYTES = 1_000_000
MAX_SIDE_PX = 900


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def live():
    async with serving_live(
        max_body_bytes=MAX_BODY_BYTES,
        max_side_px=MAX_SIDE_PX,
        max_megapixels=0.5,
        max_megapixels_in_flight=0.5,
    ) as one:
        yield one


GOOD = images.encoded(pixels=images.scene())
DAMAGED = images.truncated(GOOD)
TOO_LARGE = images.encoded(pixels=images.scene(16, MAX_SIDE_PX + 1))
OVER_BUDGET = images.encoded("jpeg", pixels=images.scene(700, 700))
NO_IMAGE = b"what is this" * 100
HUGE = bytes(MAX_BODY_BYTES)

# Each list: the body and the query of a request with two faults, and the problem that is told.
ORDER = [
    ([HUGE, HUGE], "?unknown=1", "body-too-large"),
    ([NO_IMAGE, DAMAGED], "?unknown=1", "bad-option"),
    ([NO_IMAGE, TOO_LARGE], "?align=off", "unsupported-media-type"),
    ([TOO_LARGE, DAMAGED], "?align=off", "too-many-pixels"),
    ([OVER_BUDGET, OVER_BUDGET, DAMAGED], "?align=auto", "too-many-pixels"),
    ([DAMAGED, GOOD], "?align=require", "image-damaged"),
]


@pytest.mark.parametrize(("files", "query", "expected"), ORDER)
async def test_the_cheaper_of_two_reasons_is_told(live, files, query, expected):
    answer = await live.exchange(make_request(make_body(files), query))
    assert answer.problem == expected
    assert live.sample("jobs_in_flight") == 0


async def test_a_declared_length_is_refused_before_a_byte_is_read(live):
    request = make_request(b"", headers={"Content-Length": str(10 * MAX_BODY_BYTES)})
    answer = await live.exchange(request)
    assert (answer.status, answer.problem) == (413, "body-too-large")
    assert live.sample("upload_bytes") == 0


async def test_a_body_of_unknown_length_is_refused_at_the_bound(live):
    chunk = b"%x\r\n%b\r\n" % (MAX_BODY_BYTES // 4, bytes(MAX_BODY_BYTES // 4))
    head = make_request(b"", headers={"Content-Length": "", "Transfer-Encoding": "chunked"})
    answer = await live.exchange(head + make_chunk(make_body([GOOD])[:200]) + chunk * 4)
    assert (answer.status, answer.problem) == (413, "body-too-large")


def make_chunk(data):
    return b"%x\r\n%b\r\n" % (len(data), data)


async def test_a_part_of_a_wrong_name_is_refused_before_what_follows_is_read(live):
    whole = make_request(make_body([GOOD], name="third") + bytes(100_000))
    answer = await live.exchange(whole[:2000])
    assert (answer.status, answer.problem) == (422, "bad-option")


async def test_a_full_service_refuses_before_it_reads(live):
    """The head alone is sent: the answer comes although the body never does."""
    slow = images.scene(640, 640, gain=0.3)
    slow[0, 0, 0] = SLOW
    files = [
        images.encoded("webp", lossless=True, pixels=one) for one in (slow, images.scene(640, 640))
    ]
    live.service.admission._limits = live.service.limits.model_copy(update={"max_jobs": 1})
    running = asyncio.create_task(live.exchange(make_request(make_body(files))))
    await until(lambda: live.sample("jobs_in_flight") == 1)
    refusals = live.sample("refusals_total", reason="jobs")
    head = make_request(b"", headers={"Content-Length": str(10 * MAX_BODY_BYTES)})
    answer = await live.exchange(head)
    assert (answer.status, answer.problem) == (503, "queue-full")
    assert int(answer.headers["retry-after"]) >= 1
    assert live.sample("refusals_total", reason="jobs") == refusals + 1
    assert live.sample("request_seconds_count", outcome="shed") >= 1
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await until(lambda: live.sample("jobs_in_flight") == 0)
    live.service.admission._limits = live.service.limits


async def test_three_tiny_files_of_many_megapixels_leave_room_for_small_requests(live):
    """Each alone would take the budget; together with small ones they may take its shared part."""
    live.service.admission._limits = live.service.limits.model_copy(
        update={"max_megapixels_in_flight": 3.0}
    )
    solid = images.encoded("webp", lossless=True, pixels=np.full((700, 700, 3), 90, np.uint8))
    assert len(solid) < 1000
    dark = np.full((700, 700, 3), 30, np.uint8)
    dark[0, 0, 0] = SLOW
    pair = [images.encoded("webp", lossless=True, pixels=dark), solid]
    large = [asyncio.create_task(live.exchange(make_request(make_body(pair)))) for _ in range(6)]
    await until(lambda: live.sample("jobs_in_flight") >= 5)
    small = await asyncio.gather(
        *(live.exchange(make_request(make_body([GOOD, GOOD]))) for _ in range(8))
    )
    assert {answer.status for answer in small} == {200}
    for one in large:
        one.cancel()
    answers = await asyncio.gather(*large, return_exceptions=True)
    assert {one.status for one in answers if not isinstance(one, BaseException)} <= {503}
    await until(lambda: live.sample("jobs_in_flight") == 0)
    live.service.admission._limits = live.service.limits


async def test_waiting_and_working_time_of_codec_processes_is_shown(live):
    before = live.sample("codec_wait_seconds_count")
    answer = await live.exchange(make_request(make_body([GOOD, GOOD]), "?align=auto"))
    assert answer.status == 200
    assert live.sample("codec_wait_seconds_count") == before + 4
    for call in ("decode", "register", "encode"):
        assert live.sample("codec_busy_seconds_total", call=call) > 0
    assert live.sample("codec_queue_calls") == 0
    assert live.sample("expected_wait_seconds") == 0
    assert live.sample("work_rate") > 0
    assert live.sample("limit", name="max_side_px") == MAX_SIDE_PX
    fused = live.sample("requests_total", outcome="fused")
    assert live.sample("request_seconds_count", outcome="fused") == fused


async def test_a_draining_service_says_so_before_anything_else(live):
    live.service.admission.close()
    answer = await live.exchange(make_request(b"", headers={"Content-Length": "999999999"}))
    assert (answer.status, answer.problem) == (503, "worker-stopped")
