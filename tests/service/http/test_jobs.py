"""Jobs over HTTP, with real codec processes and a worker that copies the under exposure."""

import asyncio
import io
import time
from contextlib import asynccontextmanager

import httpx
import numpy as np
import pytest
import pytest_asyncio
from PIL import Image

from service.http.app import create_app
from service.jobs.jobs import PICTURE_OVERHEAD_BYTES, Jobs
from service.jobs.store import ROW_BYTES
from service.lifecycle import Service
from service.settings import CodecSettings, JobSettings, LimitSettings, Settings, WorkerSettings
from tests import images
from tests.service.backends import RAISE, SLOW, backend_command, copying

pytestmark = pytest.mark.asyncio(loop_scope="module")

TIMEOUT_S = 60.0
MAX_BODY_BYTES = 4 * 2**20
QUERY = "?align=off&format=png"


@asynccontextmanager
async def serving(folder, **jobs):
    """A service with jobs in a folder; `client` and `client.of(caller)` ask it."""
    settings = Settings(
        limits=LimitSettings(max_body_bytes=MAX_BODY_BYTES),
        worker=WorkerSettings(max_running=2),
        codec=CodecSettings(processes=2),
        jobs=JobSettings(**jobs),
        log_level="error",
    )
    service = Service(settings, backend_command(copying))
    kept = Jobs(folder, service)
    await service.start()
    await kept.start()
    app = create_app(service, kept)

    def client_of(caller="10.0.0.1"):
        transport = httpx.ASGITransport(app, client=(caller, 1))
        return httpx.AsyncClient(transport=transport, base_url="http://x")

    try:
        async with client_of() as client:
            client.of, client.service, client.folder = client_of, service, folder / "jobs"
            yield client
    finally:
        await kept.stop()
        await service.stop()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def client(tmp_path_factory):
    async with serving(tmp_path_factory.mktemp("state")) as one:
        yield one


def files_in(client, kind):
    return [path.name for path in (client.folder / kind).iterdir()]


def scene_that(deed, seed=0):
    """A dark exposure that tells the worker what to do; a slow one takes half a minute."""
    height, width = (640, 960) if deed == SLOW else (48, 64)
    pixels = images.scene(height, width, gain=0.3)
    pixels[0, 0, 0] = deed
    pixels[1, 1, 0] = seed
    return pixels


def files_of(under=None):
    under = images.scene(gain=0.3) if under is None else under
    over = images.scene(under.shape[0], under.shape[1])
    return {"under": images.encoded(pixels=under), "over": images.encoded(pixels=over)}


async def submit(client, under=None, query=QUERY, **more):
    response = await client.post(f"/jobs{query}", files=files_of(under), **more)
    assert response.status_code == 202, response.text
    status = response.json()
    assert response.headers["location"] == f"/jobs/{status['id']}"
    return status["id"]


async def state_of(client, job):
    return (await client.get(f"/jobs/{job}")).json()


async def wait_until(client, job, *states):
    deadline = time.monotonic() + TIMEOUT_S
    while (status := await state_of(client, job))["state"] not in states:
        assert time.monotonic() < deadline, status
        await asyncio.sleep(0.02)
    return status


async def until(condition):
    deadline = time.monotonic() + TIMEOUT_S
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)


def code_of(response):
    assert response.headers["content-type"] == "application/problem+json"
    return response.json()["type"].removeprefix("/problems/")


async def test_a_job_is_fused_and_its_picture_fetched_as_from_fuse(client):
    under = images.scene(101, 67, gain=0.3)
    job = await submit(client, under)
    assert len(job) == 32
    status = await wait_until(client, job, "done")
    result = await client.get(status["result"])
    fused = await client.post(f"/fuse{QUERY}", files=files_of(under))
    assert (status["progress"], status["expected_s"], status["webhook"]) == (1.0, None, "none")
    assert status["accepted_at"] <= status["started_at"] <= status["finished_at"]
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(result.content))), under)
    assert result.content == fused.content
    assert result.headers["content-length"] == str(len(fused.content))
    told = {name for name in fused.headers if name.startswith("x-expofuse-")}
    told -= {"x-expofuse-cache"}  # its picture was made for it, and for nobody else
    assert {name: result.headers[name] for name in told} == {
        name: fused.headers[name] for name in told
    }
    assert result.headers["content-type"] == "image/png"
    assert "decode;dur=" in result.headers["server-timing"]
    assert job not in files_in(client, "exposures")


async def test_a_picture_is_sent_in_part_and_not_at_all_to_who_has_it(client):
    job = await submit(client)
    await wait_until(client, job, "done")
    path = f"/jobs/{job}/result"
    whole = await client.get(path)
    begin = await client.get(path, headers={"Range": "bytes=0-99"})
    rest = await client.get(
        path, headers={"Range": "bytes=100-", "If-Range": whole.headers["etag"]}
    )
    assert (begin.status_code, rest.status_code) == (206, 206)
    assert begin.headers["content-range"] == f"bytes 0-99/{len(whole.content)}"
    assert begin.content + rest.content == whole.content
    other = await client.get(path, headers={"Range": "bytes=100-", "If-Range": '"other"'})
    assert (other.status_code, other.content) == (200, whole.content)
    same = await client.get(path, headers={"If-None-Match": whole.headers["etag"]})
    assert (same.status_code, same.content) == (304, b"")
    head = await client.head(path)
    assert (head.status_code, head.content) == (200, b"")


async def test_accept_chooses_the_format_when_the_job_is_accepted(client):
    job = await submit(client, query="", headers={"Accept": "image/webp"})
    await wait_until(client, job, "done")
    assert (await client.get(f"/jobs/{job}/result")).headers["content-type"] == "image/webp"


@pytest.mark.parametrize(
    ("query", "files", "code"),
    [
        ("?align=sideways", files_of(), "bad-option"),
        ("?webhook=https://x.example/&webhook=https://x.example/", files_of(), "bad-option"),
        ("", {"under": b"text", "over": b"text"}, "unsupported-media-type"),
        ("", {"under": images.encoded()}, "malformed-multipart"),
        ("", {"under": bytes(MAX_BODY_BYTES + 1), "over": b"x"}, "body-too-large"),
        ("?format=webp", files_of(images.scene(2, 16_384)), "bad-option"),
    ],
)
async def test_a_form_is_refused_before_it_is_accepted_as_fuse_refuses_it(
    client, query, files, code
):
    before = files_in(client, "exposures")
    refused = await client.post(f"/jobs{query}", files=files)
    assert code_of(refused) == code
    if "webhook" not in query:
        by_fuse = await client.post(f"/fuse{query}", files=files)
        assert (by_fuse.status_code, code_of(by_fuse)) == (refused.status_code, code)
    assert files_in(client, "exposures") == before
    assert client.service.metrics.registry.get_sample_value("expofuse_upload_bytes") == 0


async def test_a_job_that_fails_answers_with_its_problem(client):
    job = await submit(client, scene_that(RAISE), headers={"X-Request-Id": "shoot-7"})
    status = await wait_until(client, job, "failed")
    result = await client.get(f"/jobs/{job}/result")
    assert (result.status_code, code_of(result)) == (500, "inference-failed")
    assert status["problem"] == result.json()
    assert result.json()["request_id"] == "shoot-7"


async def test_what_only_the_pixels_tell_fails_the_job_with_its_status(client):
    damaged = {"under": images.truncated(images.encoded()), "over": images.encoded()}
    job = (await client.post(f"/jobs{QUERY}", files=damaged)).json()["id"]
    await wait_until(client, job, "failed")
    result = await client.get(f"/jobs/{job}/result")
    assert (result.status_code, code_of(result)) == (422, "image-damaged")


async def test_a_job_is_cancelled_where_it_runs_where_it_waits_and_removed_where_it_is_over(
    tmp_path,
):
    async with serving(tmp_path, max_running=1) as client:
        runs = await submit(client, scene_that(SLOW))
        await wait_until(client, runs, "running")
        waits = await submit(client, scene_that(1))
        status = await state_of(client, waits)
        assert (status["state"], status["place"], status["stage"]) == ("queued", 1, None)
        assert status["expected_s"] > 0
        for job in (runs, waits):
            assert code_of(await client.get(f"/jobs/{job}/result")) == "job-unfinished"
            assert (await client.delete(f"/jobs/{job}")).status_code == 204
            assert (await state_of(client, job))["state"] == "cancelled"
            gone = await client.get(f"/jobs/{job}/result")
            assert (gone.status_code, code_of(gone)) == (410, "job-gone")
        # The place of the one that ran is free again.
        done = await submit(client, scene_that(2))
        await wait_until(client, done, "done")
        for job in (runs, waits, done):
            assert (await client.delete(f"/jobs/{job}")).status_code == 204
            again = await client.delete(f"/jobs/{job}")
            assert (again.status_code, code_of(again)) == (404, "no-such-job")
            assert code_of(await client.get(f"/jobs/{job}/result")) == "no-such-job"
        for kind in ("exposures", "pictures"):
            assert files_in(client, kind) == []


async def test_a_picture_expires(tmp_path):
    async with serving(tmp_path, keep_s=0.5) as client:
        job = await submit(client)
        await wait_until(client, job, "expired")
        gone = await client.get(f"/jobs/{job}/result")
        assert (gone.status_code, code_of(gone)) == (410, "job-gone")
        assert files_in(client, "pictures") == []


async def test_a_full_folder_lets_the_oldest_finished_go_and_never_who_waits(tmp_path):
    # Room for two jobs that wait, which reserve a megabyte beside their samples, and not for three.
    sizes = [sum(map(len, files_of(scene_that(one)).values())) for one in (SLOW, 1)]
    room = sum(sizes) + 3 * (640 * 960 + 48 * 64) + 2 * PICTURE_OVERHEAD_BYTES + 2 * ROW_BYTES
    async with serving(tmp_path, max_running=1, max_bytes=room) as client:
        first = await submit(client, scene_that(1, 1))
        await wait_until(client, first, "done")
        slow = await submit(client, scene_that(SLOW))
        await wait_until(client, slow, "running")
        waits = await submit(client, scene_that(1, 2))
        assert (await state_of(client, first))["state"] == "expired"
        refused = await client.post(f"/jobs{QUERY}", files=files_of())
        assert (refused.status_code, code_of(refused)) == (507, "storage-full")
        assert int(refused.headers["retry-after"]) > 0
        await client.delete(f"/jobs/{slow}")
        await wait_until(client, waits, "done")


async def test_what_would_not_fit_an_empty_folder_is_too_large(tmp_path):
    async with serving(tmp_path, max_bytes=1000) as client:
        refused = await client.post(f"/jobs{QUERY}", files=files_of())
        assert (refused.status_code, code_of(refused)) == (413, "body-too-large")


async def test_as_many_jobs_wait_as_may(tmp_path):
    async with serving(tmp_path, max_running=1, max_waiting=2) as client:
        slow = await submit(client, scene_that(SLOW))
        await submit(client)
        refused = await client.post(f"/jobs{QUERY}", files=files_of())
        assert (refused.status_code, code_of(refused)) == (503, "queue-full")
        assert int(refused.headers["retry-after"]) > 0
        await client.delete(f"/jobs/{slow}")


async def test_two_callers_take_turns(tmp_path):
    async with serving(tmp_path, max_running=1) as client, client.of("10.0.0.2") as other:
        slow = await submit(client, scene_that(SLOW))
        await wait_until(client, slow, "running")
        many = [await submit(client, scene_that(1, seed)) for seed in range(4)]
        one = await submit(other, scene_that(1, 9))
        assert (await state_of(other, one))["place"] == 1
        await client.delete(f"/jobs/{slow}")
        ended = [await wait_until(client, job, "done") for job in (*many, one)]
        order = sorted(ended, key=lambda status: status["started_at"])
        assert one in [status["id"] for status in order[:2]]
        assert [status["id"] for status in order if status["id"] != one] == many


async def test_requests_go_first_and_a_job_is_begun_all_the_same_after_a_while(tmp_path):
    async with serving(tmp_path, patience_s=2.0) as client:
        asking = [
            asyncio.create_task(client.post(f"/fuse{QUERY}", files=files_of(scene_that(SLOW))))
            for _ in range(2)
        ]
        await until(lambda: client.service.admission.jobs == 2)
        begin = time.monotonic()
        job = await submit(client)
        assert (await state_of(client, job))["state"] == "queued"
        await wait_until(client, job, "running", "done")
        assert time.monotonic() - begin >= 1.5
        for task in asking:
            task.cancel()
        await asyncio.gather(*asking, return_exceptions=True)


async def test_one_key_is_one_job_however_often_its_form_is_sent(client):
    key = {"Idempotency-Key": "8e03978e-40d5-43dd-bc93-6894a57f9324"}
    first = await submit(client, scene_that(1, 1), headers=key)
    assert await submit(client, scene_that(1, 1), headers=key) == first
    await wait_until(client, first, "done")
    assert await submit(client, scene_that(1, 1), headers=key) == first
    others = [
        await submit(client, scene_that(1, 2), headers=key),
        await submit(client, scene_that(1, 1)),
        await submit(client, scene_that(1, 1), headers={"Idempotency-Key": "another"}),
    ]
    assert len({first, *others}) == 4
    refused = await client.post("/jobs", files=files_of(), headers={"Idempotency-Key": ""})
    assert code_of(refused) == "malformed-idempotency-key"


async def test_without_keys_nothing_is_listed_and_an_id_is_enough(client):
    async with client.of("10.0.0.2") as other:
        job = await submit(client)
        listed = await client.get("/jobs")
        assert (listed.status_code, code_of(listed)) == (404, "no-such-job")
        assert (await other.get(f"/jobs/{job}")).status_code == 200


async def test_a_job_by_a_key_is_that_key_s_alone(client):
    async with (
        client.of("key:alice") as alice,
        client.of("key:bob") as bob,
    ):
        first, second = [await submit(alice, scene_that(1, seed)) for seed in (1, 2)]
        assert [one["id"] for one in (await alice.get("/jobs")).json()["jobs"]] == [second, first]
        assert (await bob.get("/jobs")).json() == {"jobs": []}
        await wait_until(alice, first, "done")
        for stranger in (bob, client):
            for path in (f"/jobs/{first}", f"/jobs/{first}/result"):
                assert (await stranger.get(path)).status_code == 404
            assert (await stranger.delete(f"/jobs/{first}")).status_code == 404
        assert (await alice.get(f"/jobs/{first}/result")).status_code == 200


async def test_a_stop_lets_what_runs_wait_for_the_next_start(tmp_path):
    async with serving(tmp_path, max_running=1) as client:
        slow = await submit(client, scene_that(SLOW))
        waits = await submit(client, scene_that(1))
        await wait_until(client, slow, "running")
    async with serving(tmp_path, max_running=1) as client:
        await wait_until(client, slow, "running")
        await client.delete(f"/jobs/{slow}")
        await wait_until(client, waits, "done")


async def test_a_service_without_a_folder_says_so():
    settings = Settings(codec=CodecSettings(processes=1), log_level="error")
    service = Service(settings, backend_command(copying))
    transport = httpx.ASGITransport(create_app(service))
    async with httpx.AsyncClient(transport=transport, base_url="http://x") as client:
        answers = [
            await client.post("/jobs", files=files_of()),
            await client.get("/jobs"),
            await client.get("/jobs/0"),
            await client.get("/jobs/0/result"),
            await client.delete("/jobs/0"),
        ]
    assert {(one.status_code, code_of(one)) for one in answers} == {(404, "jobs-off")}


async def test_exposures_that_are_gone_from_the_folder_fail_their_job_alone(tmp_path):
    async with serving(tmp_path, max_running=1) as client:
        slow = await submit(client, scene_that(SLOW))
        await wait_until(client, slow, "running")
        lost, other = await submit(client, scene_that(1)), await submit(client, scene_that(2))
        (tmp_path / "jobs" / "exposures" / lost).unlink()
        await client.delete(f"/jobs/{slow}")
        await wait_until(client, lost, "failed")
        assert code_of(await client.get(f"/jobs/{lost}/result")) == "job-lost"
        await wait_until(client, other, "done")


async def test_what_becomes_of_forms_and_of_jobs_is_counted(tmp_path):
    async with serving(tmp_path) as client:
        count = client.service.metrics.registry.get_sample_value
        sound = await submit(client)
        await wait_until(client, sound, "done")
        await wait_until(client, await submit(client, scene_that(RAISE)), "failed")
        assert (await client.post("/jobs?format=gif", files=files_of())).status_code == 422
        submissions = {
            kind: count("expofuse_job_submissions_total", {"outcome": kind})
            for kind in ("accepted", "refused", "shed", "failed")
        }
        assert submissions == {"accepted": 2, "refused": 1, "shed": 0, "failed": 0}
        ended = {
            kind: count("expofuse_jobs_ended_total", {"outcome": kind})
            for kind in ("fused", "refused", "failed")
        }
        assert ended == {"fused": 1, "refused": 0, "failed": 1}


async def test_the_folder_and_its_bytes_are_metrics(client):
    await wait_until(client, await submit(client), "done")
    registry = client.service.metrics.registry
    await until(lambda: registry.get_sample_value("expofuse_stored_jobs", {"state": "done"}) >= 1)
    assert registry.get_sample_value("expofuse_stored_jobs_bytes") > 0
