"""The way of one request through real codec processes and a worker that copies the under exposure.

A copy is bit for bit predictable, so these tests see every pixel that gets lost on the way.
"""

import asyncio
import io

import cv2
import numpy as np
import pytest
import pytest_asyncio
import tifffile
from PIL import Image

from expofuse.files.reading.decode import decode
from service.settings import LimitSettings
from tests import images
from tests.dng import dng
from tests.service.backends import HANG, RAISE, SLOW
from tests.service.http.in_process import serving

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def client():
    async with serving() as one:
        yield one


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def small_client():
    """A service that takes two jobs, and not for long."""
    limits = LimitSettings(max_jobs=2, deadline_s=4.0, max_side_px=640)
    async with serving(limits=limits) as one:
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


async def post_stack(client, files, query="?align=off&format=png", **more):
    """Post encoded exposures, or pictures, as the field `exposures` repeated."""
    contents = [one if isinstance(one, bytes) else images.encoded(pixels=one) for one in files]
    parts = [("exposures", (f"{index}", content)) for index, content in enumerate(contents)]
    return await client.post(f"/fuse{query}", files=parts, **more)


def bracket(count, height=48, width=64):
    return [images.scene(height, width, gain=gain) for gain in np.geomspace(0.2, 1.0, count)]


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


async def test_a_raw_file_that_shows_less_than_its_sensor_is_developed(client):
    light = np.random.default_rng(5).random((96, 128, 3)) / 2
    dark, bright = dng(light, gain=0.5), dng(light)
    response = await post_stack(client, [bright, dark])
    assert response.status_code == 200, response.text
    alone = decode(dark, limits=client.service.pixel_limits).pixels
    fused = cv2.imdecode(np.frombuffer(response.content, np.uint8), cv2.IMREAD_UNCHANGED)
    # Both are developed with one white balance, here the same.
    np.testing.assert_array_equal(fused[..., ::-1], alone)


async def test_a_compressed_body_is_told_what_is_taken(client):
    response = await post(client, headers={"Content-Encoding": "gzip"})
    assert response.status_code == 415
    assert response.json()["type"] == "/problems/unsupported-coding"
    assert response.headers["accept-encoding"] == "identity"


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
    blocks = client.service.blocks
    assert blocks.held_bytes == blocks.idle_bytes > 0
    registry = client.service.metrics.registry
    for name in ("jobs_in_flight", "megapixels_in_flight", "upload_bytes", "running_jobs"):
        assert registry.get_sample_value(f"expofuse_{name}") == 0


async def test_a_saturated_service_refuses_at_once_and_says_when_to_come_back(small_client):
    slow = [asyncio.create_task(post(small_client, scene_that(SLOW, 96, 96))) for _ in range(2)]
    while small_client.service.admission.jobs < 2:  # noqa: ASYNC110
        await asyncio.sleep(0.005)
    refused = await post(small_client)
    assert refused.status_code == 503
    assert refused.headers["retry-after"] == "1"  # a small job of two is soon over
    assert refused.json()["type"] == "/problems/queue-full"
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
    assert response.json()["type"] == "/problems/too-many-pixels"


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


async def test_metadata_is_that_of_the_reference_exposure(client):
    tagged = images.with_orientation(1, form="png", pixels=images.scene(gain=0.3))
    other = images.encoded(pixels=images.scene())
    for under, over, number in ((tagged, other, 1), (other, tagged, 2)):
        for reference in (1, 2):
            query = f"/fuse?align=off&reference={reference}"
            response = await client.post(query, files={"under": under, "over": over})
            exif = Image.open(io.BytesIO(response.content)).getexif()
            assert exif.get(0x010F) == ("Maker" if reference == number else None)


@pytest.mark.parametrize("count", [2, 3, 9])
async def test_a_stack_is_fused_in_whatever_order_it_was_sent(client, count):
    exposures = bracket(count)
    orders = [range(count), range(count)[::-1], [*range(1, count), 0]]
    for order in orders:
        response = await post_stack(client, [exposures[index] for index in order])
        assert response.status_code == 200, response.text
        picture = np.asarray(Image.open(io.BytesIO(response.content)))
        np.testing.assert_array_equal(picture, exposures[0])
        sent = [list(order).index(index) + 1 for index in range(count)]
        expected = ",".join(map(str, sent))
        if count == 2:
            expected = "as-given" if sent == [1, 2] else "swapped"
        assert response.headers["x-expofuse-exposure-order"] == expected
        assert int(response.headers["x-expofuse-reference"]) in range(1, count + 1)
        assert response.headers["x-expofuse-alignment"] == "off"


async def test_a_pair_is_the_same_under_either_name(client):
    under, over = images.scene(gain=0.3), images.scene()
    named, listed = (
        await post(client, under, over, query=""),
        await post_stack(client, [under, over], query=""),
    )
    assert named.content == listed.content
    for header in ("exposure-order", "reference", "alignment", "weights"):
        assert named.headers[f"x-expofuse-{header}"] == listed.headers[f"x-expofuse-{header}"]
    assert named.headers["x-expofuse-reference"] == "2"


@pytest.mark.parametrize("reference", [1, 2, 3])
async def test_the_reference_of_a_stack_is_the_one_asked_for(client, reference):
    dark, middle, bright = bracket(3, 96, 128)
    response = await post_stack(client, [bright, dark, middle], f"?reference={reference}")
    assert response.status_code == 200, response.text
    assert response.headers["x-expofuse-reference"] == str(reference)
    assert response.headers["x-expofuse-exposure-order"] == "2,3,1"
    outcome, *others = response.headers["x-expofuse-alignment"].split("; ")
    assert outcome in ("identity", "homography", "refused")
    named = {one.partition("=")[0] for one in others} - {"reason"}
    assert named == {"1", "2", "3"} - {str(reference)}


async def test_an_exposure_of_16_bits_brings_the_stack_to_16(client):
    dark, *others = bracket(3)
    deep = images.png16(dark.astype(np.uint16) * 257)
    response = await post_stack(client, [deep, *others], "?align=off&format=tiff")
    picture = tifffile.imread(io.BytesIO(response.content))
    np.testing.assert_array_equal(picture, dark.astype(np.uint16) * 257)


@pytest.mark.parametrize(("count", "place"), [(5, 3), (2, 1), (9, 9)])
async def test_a_damaged_exposure_of_a_stack_is_named(client, count, place):
    files = [images.encoded(pixels=pixels) for pixels in bracket(count)]
    for broken in (images.truncated(files[place - 1]), b"no image"):
        files[place - 1] = broken
        response = await post_stack(client, files)
        assert response.status_code in (415, 422)
        assert response.json()["detail"].startswith(f"exposures[{place}] of {count}: ")


@pytest.mark.parametrize("size", [(48, 66), (50, 64), (24, 32)])
async def test_exposures_of_other_sizes_are_refused_with_the_sizes_without_alignment(client, size):
    files = bracket(5)
    files[2] = images.scene(*size, gain=0.4)
    response = await post_stack(client, files, "?align=off")
    assert response.status_code == 422
    assert response.json()["type"] == "/problems/exposure-mismatch"
    sizes = f"64x48, 64x48, {size[1]}x{size[0]}, 64x48 and 64x48"
    assert sizes in response.json()["detail"]


@pytest.mark.parametrize("count", [1, 10])
async def test_another_number_of_exposures_is_refused(client, count):
    response = await post_stack(client, [images.scene()] * count)
    assert response.status_code == 422
    assert response.json()["type"] == "/problems/exposure-mismatch"
    assert f"expected 2 to 9 exposures, got {count}" in response.json()["detail"]


@pytest.mark.parametrize("name", ["under", "over"])
async def test_exposures_beside_under_or_over_are_refused(client, name):
    parts = [("exposures", images.encoded()), ("exposures", images.encoded())]
    for mixed in ([*parts, (name, images.encoded())], [(name, images.encoded()), *parts]):
        response = await client.post("/fuse", files=mixed)
        assert response.status_code == 400
        assert "either under and over, or exposures" in response.json()["detail"]


@pytest.mark.parametrize("align", ["auto", "off"])
async def test_a_reference_beyond_the_stack_is_refused(client, align):
    response = await post_stack(client, bracket(5), f"?reference=6&align={align}")
    assert response.status_code == 422
    assert "expected a reference from 1 to 5, got 6" in response.json()["detail"]
    refused = await post_stack(client, bracket(5), "?reference=10")
    assert refused.json()["type"] == "/problems/bad-option"


async def test_a_stack_whose_sum_is_over_the_limits_is_refused_and_its_pair_is_served():
    limits = {"max_megapixels": 0.01, "max_megapixels_in_flight": 0.01}
    async with serving(limits=LimitSettings(**limits)) as client:
        files = bracket(5, 64, 80)  # 5120 pixels, counted twice for five exposures
        assert (await post_stack(client, files[:2])).status_code == 200
        assert (await post_stack(client, files[:4])).status_code == 200
        refused = await post_stack(client, files)
        assert refused.status_code == 413
        assert refused.json()["type"] == "/problems/too-many-pixels"
        assert "each exposure beyond two counting a third" in refused.json()["detail"]
        assert not client.service.admission.jobs
    async with serving(
        limits=LimitSettings(max_body_bytes=40_000, max_upload_bytes=40_000)
    ) as client:
        noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
        assert (await post_stack(client, [noise] * 3)).status_code == 200
        refused = await post_stack(client, [noise] * 5)
        assert refused.status_code == 413
        assert refused.json()["type"] == "/problems/body-too-large"
        blocks = client.service.blocks
        assert blocks.held_bytes == blocks.idle_bytes


async def test_require_refuses_a_stack_of_which_one_exposure_cannot_be_aligned(client):
    files = [*bracket(2, 96, 128), np.full((96, 128, 3), 240, np.uint8)]
    response = await post_stack(client, files, "?align=require")
    assert response.status_code == 422
    assert "few_matches" in response.json()["detail"]
    assert (await post_stack(client, files, "?align=auto")).status_code == 200


async def test_a_stack_is_described_in_the_schema(client):
    operation = (await client.get("/openapi.json")).json()["paths"]["/fuse"]["post"]
    form = operation["requestBody"]["content"]["multipart/form-data"]["schema"]
    exposures = form["properties"]["exposures"]
    assert (exposures["type"], exposures["minItems"], exposures["maxItems"]) == ("array", 2, 9)
    assert {"required": ["exposures"]} in form["oneOf"]
    assert "reference" in {option["name"] for option in operation["parameters"]}


async def test_whoever_sent_a_request_can_ask_how_far_it_is(client):
    request_id = "0123456789abcdef0123456789abcdef"
    sent = asyncio.create_task(post(client, scene_that(SLOW), headers={"X-Request-Id": request_id}))
    seen = []
    while not sent.done():
        seen.append((await client.get(f"/requests/{request_id}")).json()["stage"])
        await asyncio.sleep(0.01)
    assert (await sent).status_code == 200
    assert "fuse" in seen
    assert (await client.get(f"/requests/{request_id}")).json()["stage"] == "none"
