"""The way of one request through real codec processes and a worker that copies the under exposure.

A copy is bit for bit predictable, so these tests see every pixel that gets lost on the way.
"""

import asyncio
import io
import os
from contextlib import asynccontextmanager

import httpx
import numpy as np
import pytest
import pytest_asyncio
import tifffile
from PIL import Image

from service.http.app import create_app
from service.lifecycle import Service
from service.processes.shared_memory import MOUNT
from service.settings import CodecSettings, LimitSettings, Settings, WorkerSettings
from tests import images
from tests.service.backends import HANG, RAISE, SLOW, backend_command, copying

pytestmark = pytest.mark.asyncio(loop_scope="module")


@asynccontextmanager
async def serving(**limits):
    settings = Settings(
        limits=LimitSettings(**limits),
        worker=WorkerSettings(max_running=2),
        codec=CodecSettings(processes=2),
        log_level="error",
    )
    service = Service(settings, backend_command(copying))
    await service.start()
    transport = httpx.ASGITransport(create_app(service))
    async with httpx.AsyncClient(transport=transport, base_url="http://x") as client:
        client.service = service
        try:
            yield client
        finally:
            await service.stop()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def client():
    async with serving() as one:
        yield one


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def small_client():
    """A service that takes two jobs, and not for long."""
    async with serving(max_jobs=2, deadline_s=4.0, max_side_px=640) as one:
        yield one


def scene_that(deed, height=48, width=64):
    """A dark exposure whose first pixel tells the worker what to do."""
    pixels = images.scene(height, width, gain=0.3)
    pixels[0, 0, 0] = deed
    return pixels


async def post(client, under=None, over=None, query="?align=off&format=png", **more):
    under = images.scene(gain=0.3) if under is None else under
    over = images.scene(under.shape[0], under.shape[1]) if over is None else over
    files = {"under": images.encoded(pixels=under), "over": images.encoded(pixels=over)}
    return await client.post(f"/fuse{query}", files=files, **more)


def outcome_count(client, outcome):
    registry = client.service.metrics.registry
    return registry.get_sample_value("expofuse_requests_total", {"outcome": outcome})


async def test_every_pixel_arrives_where_it_belongs(client):
    under = images.scene(101, 67, gain=0.3)
    response = await post(client, under)
    assert response.status_code == 200
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(response.content))), under)
    assert response.headers["x-expofuse-alignment"] == "off"
    assert response.headers["x-expofuse-exposure-order"] == "as-given"


async def test_the_darker_exposure_is_the_under_exposure_whoever_sent_it(client):
    under, over = images.scene(gain=0.3), images.scene()
    response = await post(client, over, under)
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(response.content))), under)
    assert response.headers["x-expofuse-exposure-order"] == "swapped"


async def test_16_bit_exposures_keep_every_bit(client):
    under, over = (images.scene(dtype=np.uint16, gain=gain) for gain in (0.3, 1.0))
    files = {"under": images.tiff16(under), "over": images.png16(over)}
    response = await client.post("/fuse?align=off", files=files)
    np.testing.assert_array_equal(tifffile.imread(io.BytesIO(response.content)), under)


async def test_alignment_is_described_and_counted(client):
    registry = client.service.metrics.registry
    response = await post(client, query="")
    outcome = response.headers["x-expofuse-alignment"].partition(";")[0]
    assert registry.get_sample_value("expofuse_alignments_total", {"outcome": outcome}) >= 1


async def test_a_job_that_fails_is_a_500_and_its_neighbours_are_served(client):
    responses = await asyncio.gather(
        post(client), post(client, scene_that(RAISE)), post(client), post(client)
    )
    assert [response.status_code for response in responses] == [200, 500, 200, 200]
    assert "a window that cannot be fused" not in responses[1].text
    assert outcome_count(client, "inference-failed") == 1


async def test_one_bad_image_next_to_seven_good_ones_fails_alone(client):
    bad = {"under": images.truncated(images.encoded()), "over": images.encoded()}
    requests = [post(client) for _ in range(7)]
    responses = await asyncio.gather(*requests, client.post("/fuse", files=bad))
    assert [response.status_code for response in responses] == [200] * 7 + [422]
    assert client.service.device.is_ready


async def test_nothing_stays_in_shared_memory_or_in_the_budgets(client):
    await asyncio.gather(*(post(client) for _ in range(3)))
    assert not list(MOUNT.glob(f"expofuse-{os.getpid()}-*"))
    registry = client.service.metrics.registry
    for name in ("jobs_in_flight", "megapixels_in_flight", "upload_bytes", "running_jobs"):
        assert registry.get_sample_value(f"expofuse_{name}") == 0


async def test_a_saturated_service_refuses_at_once_and_says_when_to_come_back(small_client):
    slow = [asyncio.create_task(post(small_client, scene_that(SLOW, 96, 96))) for _ in range(2)]
    while small_client.service.admission.jobs < 2:  # noqa: ASYNC110
        await asyncio.sleep(0.005)
    refused = await post(small_client)
    assert refused.status_code == 503
    assert refused.headers["retry-after"] == "5"
    assert refused.json()["type"] == "urn:expofuse:problem:queue-full"
    assert [(await one).status_code for one in slow] == [200, 200]


async def test_a_deadline_that_passes_is_a_504_and_the_job_is_dropped(small_client):
    under = scene_that(SLOW, 640, 640)
    response = await post(small_client, under)
    assert response.status_code == 504
    assert "within 4 s" in response.json()["detail"]
    registry = small_client.service.metrics.registry
    # Its place is free as soon as the worker has let it go.
    while registry.get_sample_value("expofuse_running_jobs"):  # noqa: ASYNC110
        await asyncio.sleep(0.005)
    assert (await post(small_client)).status_code == 200


async def test_a_side_above_the_limit_is_a_413(small_client):
    response = await post(small_client, images.scene(16, 641))
    assert response.status_code == 413
    assert response.json()["type"] == "urn:expofuse:problem:too-many-pixels"


async def test_limits_and_version_are_published(client, small_client):
    assert (await small_client.get("/limits")).json()["max_jobs"] == 2
    version = (await client.get("/version")).json()
    assert version["weights"] == {"name": "copy", "version": "0.0.1"}
    assert [one["label"] for one in version["weights_loaded"]] == ["copy-0.0.1"]
    assert (await client.get("/metrics")).text.startswith("# HELP expofuse_")


async def test_a_draining_service_is_not_ready_but_serves_until_it_refuses():
    async with serving() as client:
        assert (await client.get("/readyz")).status_code == 200
        client.service.begin_draining()
        not_ready = await client.get("/readyz")
        assert (not_ready.status_code, not_ready.headers["retry-after"]) == (503, "5")
        assert (await client.get("/healthz")).status_code == 200
        assert (await post(client)).status_code == 200
        slow = asyncio.create_task(post(client, scene_that(SLOW)))
        while not client.service.admission.jobs:  # noqa: ASYNC110
            await asyncio.sleep(0.005)
        draining = asyncio.create_task(client.service.drain(30))
        await asyncio.sleep(0)
        refused = await post(client)
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "5")
        assert (await slow).status_code == 200
        assert await draining


async def test_a_drain_that_takes_too_long_gives_up_and_every_client_gets_an_answer():
    async with serving() as client:
        stuck = asyncio.create_task(post(client, scene_that(HANG)))
        while not client.service.admission.jobs:  # noqa: ASYNC110
            await asyncio.sleep(0.005)
        assert not await client.service.drain(0.2)
        await asyncio.sleep(0.5)
        await client.service.stop()
        assert (await stuck).status_code == 503


async def test_metadata_is_that_of_the_darker_exposure(client):
    dark = images.with_orientation(1, form="png", pixels=images.scene(gain=0.3))
    bright = images.encoded(pixels=images.scene())
    for under, over in ((dark, bright), (bright, dark)):
        response = await client.post("/fuse?align=off", files={"under": under, "over": over})
        exif = Image.open(io.BytesIO(response.content)).getexif()
        assert exif[0x010F] == "Maker"
