"""Exposures of several sizes, and cropping, through real codec processes.

The worker copies the under exposure, so that the answer shows it as it was laid on the reference.
"""

import io

import cv2
import numpy as np
import pytest
import pytest_asyncio
from PIL import Image

from service.settings import LimitSettings
from tests import images
from tests.model.alignment.test_estimate import expose, make_scene, turn
from tests.service.http.in_process import serving
from tests.service.http.test_routes import post_stack

pytestmark = pytest.mark.asyncio(loop_scope="module")

WIDTH, HEIGHT = 320, 240
SCENE = make_scene(6, WIDTH, HEIGHT)
DARK, MIDDLE, BRIGHT = (expose(SCENE, gain) for gain in (0.1, 0.3, 0.9))
HALF = cv2.resize(DARK, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
MISMATCH = "/problems/exposure-mismatch"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def client():
    async with serving() as one:
        yield one


def pixels_of(response):
    assert response.status_code == 200, response.text
    return np.asarray(Image.open(io.BytesIO(response.content)))


@pytest.mark.parametrize("align", ["auto", "require"])
async def test_sizes_that_differ_by_two_pixels_come_to_that_of_the_reference(client, align):
    response = await post_stack(
        client, [DARK[:, 2:], BRIGHT], f"?align={align}&format=png&reference=2"
    )
    picture = pixels_of(response)
    np.testing.assert_array_equal(picture, np.pad(DARK[:, 2:], ((0, 0), (2, 0), (0, 0)), "edge"))
    alignment = response.headers["x-expofuse-alignment"]
    assert alignment.startswith("homography; resized-from=318x240; inliers=")
    assert alignment.endswith("; reference=over")
    assert response.headers["x-expofuse-reference"] == "2"
    assert response.headers["x-expofuse-frame"] == "2,0,318,240"
    other = await post_stack(client, [DARK[:, 2:], BRIGHT], "?reference=1&format=png")
    np.testing.assert_array_equal(pixels_of(other), DARK[:, 2:])
    assert "; resized-from=320x240; " in other.headers["x-expofuse-alignment"]


async def test_an_exposure_of_half_the_size_is_found(client):
    response = await post_stack(client, [BRIGHT, HALF], "?format=png&reference=1")
    error = np.abs(pixels_of(response).astype(int) - DARK)[10:-10, 10:-10]
    assert error.mean() < 6
    assert response.headers["x-expofuse-exposure-order"] == "swapped"
    assert "resized-from=160x120" in response.headers["x-expofuse-alignment"]
    assert response.headers["x-expofuse-frame"] == "0,0,320,240"


@pytest.mark.parametrize("reference", [1, 2, 3])
async def test_three_exposures_of_three_sizes_take_that_of_any_of_them(client, reference):
    sent = [BRIGHT[3:], HALF, MIDDLE]
    response = await post_stack(client, sent, f"?reference={reference}&format=png")
    assert pixels_of(response).shape == sent[reference - 1].shape
    assert response.headers["x-expofuse-reference"] == str(reference)
    outcome, *others = response.headers["x-expofuse-alignment"].split("; ")
    assert outcome == "homography"
    sizes = {1: "320x237", 2: "160x120", 3: "320x240"}
    told = []
    for number in sorted(set(sizes) - {reference}):
        told += [f"{number}=homography", f"resized-from={sizes[number]}"]
    assert others == told


async def test_16_bits_of_several_sizes_stay_16(client):
    deep = images.png16(DARK[1:].astype(np.uint16) * 257)
    response = await post_stack(client, [deep, BRIGHT], "?format=png&reference=2")
    picture = cv2.imdecode(np.frombuffer(response.content, np.uint8), cv2.IMREAD_UNCHANGED)
    expected = np.pad(DARK[1:], ((1, 0), (0, 0), (0, 0)), "edge").astype(np.uint16) * 257
    np.testing.assert_array_equal(picture[..., ::-1], expected)


async def test_without_alignment_other_sizes_are_refused_before_they_are_decoded(client):
    broken = images.truncated(images.encoded(pixels=HALF))
    response = await post_stack(client, [broken, BRIGHT], "?align=off")
    assert (response.status_code, response.json()["type"]) == (422, MISMATCH)
    detail = response.json()["detail"]
    assert detail == (
        "expected exposures of equal size, got 160x120 and 320x240 pixels; "
        "alignment brings exposures of one scene to one size"
    )


@pytest.mark.parametrize("query", ["", "?align=off"])
async def test_an_exposure_that_lost_its_orientation_is_told_so(client, query):
    turned = np.ascontiguousarray(np.rot90(DARK))
    response = await post_stack(client, [turned, BRIGHT], query)
    assert (response.status_code, response.json()["type"]) == (422, MISMATCH)
    assert "turned by 90 degrees" in response.json()["detail"]
    kept = images.with_orientation(6, form="png", pixels=turned)
    assert (await post_stack(client, [kept, BRIGHT], query)).status_code == 200


async def test_another_scene_of_another_size_is_refused_by_name(client):
    other = expose(make_scene(9, 200, 150), 0.3)
    response = await post_stack(client, [MIDDLE, other, BRIGHT], "?reference=3")
    assert (response.status_code, response.json()["type"]) == (422, MISMATCH)
    detail = response.json()["detail"]
    assert "exposure 2 of 200x150 pixels in which nothing matches exposure 3 of 320x240" in detail


async def test_what_resampling_takes_is_counted_before_anything_is_decoded():
    # a pair of 320x240 counts 0.0768, and a third more where one is brought to another size
    limits = {"max_megapixels": 0.09, "max_megapixels_in_flight": 0.09}
    async with serving(limits=LimitSettings(**limits)) as client:
        assert (await post_stack(client, [DARK, BRIGHT])).status_code == 200
        broken = images.truncated(images.encoded(pixels=DARK[1:]))
        refused = await post_stack(client, [broken, BRIGHT], "")
        assert refused.status_code == 413
        assert "one of another size another third" in refused.json()["detail"]
    async with serving(
        limits=LimitSettings(max_megapixels=0.09, max_megapixels_in_flight=0.11)
    ) as client:
        assert (await post_stack(client, [DARK[1:], BRIGHT], "")).status_code == 200
        blocks = client.service.blocks
        assert blocks.held_bytes == blocks.idle_bytes


async def test_the_frame_is_told_and_the_picture_cut_to_it_where_asked_for(client):
    moved = expose(SCENE, 0.1, homography=turn(shift=(9.0, -6.0), width=WIDTH, height=HEIGHT))
    sent = [moved, BRIGHT]
    whole = await post_stack(client, sent, "?format=png&reference=2")
    cut = await post_stack(client, sent, "?format=png&reference=2&crop=common")
    frame = cut.headers["x-expofuse-frame"]
    assert whole.headers["x-expofuse-frame"] == frame
    left, top, width, height = map(int, frame.split(","))
    assert abs(left - 9) <= 1
    assert (top, left + width) == (0, WIDTH)
    assert abs(height - (HEIGHT - 6)) <= 1
    part = pixels_of(whole)[top : top + height, left : left + width]
    np.testing.assert_array_equal(pixels_of(cut), part)
    off = await post_stack(client, sent, "?format=png&align=off&crop=common")
    np.testing.assert_array_equal(pixels_of(off), moved)
    assert off.headers["x-expofuse-frame"] == "0,0,320,240"
    bad = await post_stack(client, sent, "?crop=some")
    assert bad.json()["type"] == "/problems/bad-option"


async def test_nothing_stays_in_shared_memory(client):
    await post_stack(client, [DARK[1:], BRIGHT[:, 3:], MIDDLE], "")
    blocks = client.service.blocks
    assert blocks.held_bytes == blocks.idle_bytes > 0


async def test_crop_is_described_in_the_schema(client):
    operation = (await client.get("/openapi.json")).json()["paths"]["/fuse"]["post"]
    form = operation["requestBody"]["content"]["multipart/form-data"]["schema"]
    assert form["properties"]["crop"]["enum"] == ["none", "common", ""]
    (crop,) = (option for option in operation["parameters"] if option["name"] == "crop")
    assert crop["schema"]["default"] == "none"
