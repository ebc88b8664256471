"""What a client can get wrong: each gets a clear problem, while a sound request is served."""

import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from urllib.parse import urlsplit

import cv2
import httpx
import numpy as np
import pytest

from tests import images
from tests.integration.conftest import MAX_BODY_BYTES, metric, problem_of, wait_for
from tests.integration.test_evaluation_matches_service import textured

pytestmark = pytest.mark.e2e

TYPE = "/problems/"


@contextmanager
def sound_request_beside(post, reference) -> Iterator[None]:
    """A sound request is under way while the block runs, and gets its picture."""
    with ThreadPoolExecutor(1) as pool:
        sound = pool.submit(post)
        yield
        response = sound.result()
    assert response.status_code == 200, response.text
    assert response.content == reference


BAD_IMAGES: dict[str, tuple[Callable[[], bytes | None], int, str]] = {
    "missing": (lambda: None, 400, "malformed-multipart"),
    "empty": (lambda: b"", 415, "unsupported-media-type"),
    "text renamed": (images.text_renamed, 415, "unsupported-media-type"),
    "truncated jpeg": (lambda: images.truncated(images.encoded("jpeg")), 422, "image-damaged"),
    "truncated png": (lambda: images.truncated(images.encoded("png")), 422, "image-damaged"),
    "truncated webp": (lambda: images.truncated(images.encoded("webp")), 422, "image-damaged"),
    "truncated tiff": (lambda: images.truncated(images.encoded("tiff")), 422, "image-damaged"),
    "bomb of 20000x20000": (images.png_bomb, 413, "too-many-pixels"),
    "other size": (
        lambda: images.encoded("png", pixels=images.scene(48, 65)),
        422,
        "exposure-mismatch",
    ),
    "one pixel": (images.one_pixel, 422, "exposure-mismatch"),
    "animated webp": (images.webp_animated, 422, "unsupported-image"),
    "animated png": (images.png_animated, 422, "unsupported-image"),
    "multi-page tiff": (images.tiff_multi_page, 422, "unsupported-image"),
    "nan in tiff": (images.tiff_float, 422, "unsupported-image"),
}


@pytest.mark.parametrize("kind", BAD_IMAGES)
def test_a_bad_image_is_a_clear_problem(post, reference, kind):
    make, status, code = BAD_IMAGES[kind]
    with sound_request_beside(post, reference):
        response = post(under=make())
    problem = problem_of(response)
    assert (response.status_code, problem["type"]) == (status, f"/problems/{code}")
    assert "expected" in problem["detail"]
    assert "/" not in problem["detail"].replace("multipart/form-data", "")


TEXTURED = [textured(gain) for gain in (0.3, 0.5, 0.7, 0.9, 1.2)]


def post_stack(client, exposures, query="") -> httpx.Response:
    files = [
        one if isinstance(one, bytes) else images.encoded("png", pixels=one) for one in exposures
    ]
    return client.post(f"/fuse{query}", files=[("exposures", file) for file in files])


@pytest.mark.parametrize("count", [1, 10])
def test_one_exposure_and_ten_are_refused(client, count):
    response = post_stack(client, [images.scene()] * count)
    assert response.status_code == 422
    assert problem_of(response)["detail"] == f"expected 2 to 9 exposures, got {count}"


def test_exposures_beside_under_are_refused(client, under):
    files = [("exposures", under), ("exposures", under), ("under", under)]
    response = client.post("/fuse", files=files)
    assert response.status_code == 400
    assert "either under and over, or exposures" in problem_of(response)["detail"]


def test_one_damaged_exposure_of_five_is_named(client):
    files = [images.encoded("png", pixels=pixels) for pixels in TEXTURED]
    files[3] = images.truncated(files[3])
    response = post_stack(client, files)
    assert response.status_code == 422
    assert problem_of(response)["detail"].startswith("exposures[4] of 5: ")


def test_a_sixth_of_five_exposures_as_reference_is_refused(client):
    response = post_stack(client, TEXTURED, "?reference=6")
    assert response.status_code == 422
    assert "expected a reference from 1 to 5, got 6" in problem_of(response)["detail"]


def test_five_exposures_whose_sum_is_over_the_limits_are_refused(client):
    """Any of them alone would be taken: a black picture of 50 megapixels is a small file."""
    flat = images.png16(np.zeros((6900, 7200), np.uint16))
    noise = np.random.default_rng(0).integers(0, 256, (500, 500, 3), np.uint8)
    response = post_stack(client, [noise] * 5)
    assert (response.status_code, problem_of(response)["type"]) == (413, f"{TYPE}body-too-large")
    response = post_stack(client, [flat] * 5)
    assert (response.status_code, problem_of(response)["type"]) == (413, f"{TYPE}too-many-pixels")
    assert "each exposure beyond two counting a third" in problem_of(response)["detail"]


@pytest.mark.parametrize("kind", ["two pixels", "half"])
def test_exposures_of_one_scene_whose_sizes_differ_are_fused_unless_nobody_aligns(client, kind):
    exposures = list(TEXTURED)
    if kind == "half":
        exposures[1] = cv2.resize(exposures[1], None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    else:
        exposures[1] = exposures[1][:, 2:]
    fused = post_stack(client, exposures)
    assert fused.status_code == 200, fused.text
    height, width = exposures[1].shape[:2]
    assert f"2=homography; resized-from={width}x{height}" in fused.headers["x-expofuse-alignment"]
    refused = post_stack(client, exposures, "?align=off")
    assert (refused.status_code, problem_of(refused)["type"]) == (422, f"{TYPE}exposure-mismatch")
    assert "alignment brings exposures of one scene to one size" in problem_of(refused)["detail"]


def test_two_images_of_one_pixel_are_too_small(post, reference):
    with sound_request_beside(post, reference):
        response = post(under=images.one_pixel(), over=images.one_pixel())
    assert response.status_code == 422
    assert "16 pixels" in problem_of(response)["detail"]


@pytest.mark.parametrize(
    "make",
    [
        images.jpeg_cmyk,
        images.jpeg_grey,
        images.png_grey,
        images.png_grey_alpha,
        images.png_rgba,
        images.png_palette,
    ],
)
def test_images_of_other_colour_types_are_fused_as_rgb(post, make):
    response = post("?format=png", under=make())
    assert response.status_code == 200, response.text


@pytest.mark.parametrize(
    ("query", "fields"),
    [
        ("?sharpen=1", None),
        ("", {"sharpen": "1"}),
        ("?format=gif", None),
        ("?quality=0", None),
        ("", {"align": "perhaps"}),
        ("?align=off", {"align": "off"}),
    ],
)
def test_an_unknown_option_or_value_is_refused(post, reference, query, fields):
    with sound_request_beside(post, reference):
        response = post(query, fields=fields)
    assert response.status_code == 422
    assert problem_of(response)["type"] == "/problems/bad-option"


def test_an_unknown_part_is_refused(post):
    response = post(third=images.encoded("png"))
    assert response.status_code == 422
    assert problem_of(response)["type"] == "/problems/bad-option"


def test_too_many_declared_bytes_are_refused(post, reference):
    with sound_request_beside(post, reference):
        response = post(under=bytes(MAX_BODY_BYTES + 1))
    assert response.status_code == 413
    assert f"at most {MAX_BODY_BYTES} bytes" in problem_of(response)["detail"]


def test_too_many_bytes_in_chunks_are_refused(client, post, reference):
    def endless() -> Iterator[bytes]:
        yield b'--edge\r\nContent-Disposition: form-data; name="under"\r\n\r\n'
        for _ in range(2 * MAX_BODY_BYTES // 65_536):
            yield bytes(65_536)

    with sound_request_beside(post, reference):
        headers = {"Content-Type": "multipart/form-data; boundary=edge"}
        response = client.post("/fuse", content=endless(), headers=headers)
    assert response.status_code == 413
    assert f"at most {MAX_BODY_BYTES} bytes" in problem_of(response)["detail"]


def test_a_body_that_waits_for_leave_is_refused_before_it_is_sent(server):
    head = (
        f"POST /fuse HTTP/1.1\r\nHost: x\r\nContent-Length: {10**12}\r\nExpect: 100-continue\r\n"
        "Content-Type: multipart/form-data; boundary=edge\r\n\r\n"
    )
    with connect(server) as connection:
        connection.sendall(head.encode())
        assert connection.recv(64).startswith(b"HTTP/1.1 413 ")


def test_a_request_without_a_body_is_told_to_have_one(server):
    with connect(server) as connection:
        connection.sendall(b"POST /fuse HTTP/1.1\r\nHost: x\r\n\r\n")
        assert connection.recv(64).startswith(b"HTTP/1.1 411 ")


@pytest.mark.parametrize("content_type", ["application/json", "image/png"])
def test_a_body_that_is_no_form_is_refused(client, content_type):
    response = client.post("/fuse", content=b"{}", headers={"Content-Type": content_type})
    assert response.status_code == 415
    problem_of(response)


def test_a_form_that_ends_early_is_refused(client):
    headers = {"Content-Type": "multipart/form-data; boundary=edge"}
    response = client.post("/fuse", content=b"--edge\r\nContent-Dis", headers=headers)
    assert response.status_code == 400
    problem_of(response)


def test_a_client_that_leaves_half_way_through_its_body_costs_nothing(
    server, client, post, reference, under
):
    before = metric(client, "requests_total", outcome="disconnected")
    with sound_request_beside(post, reference):
        with connect(server) as connection:
            connection.sendall(form_head(10_000) + form_body(under=under)[:500])
        wait_for(lambda: metric(client, "requests_total", outcome="disconnected") == before + 1)
    assert metric(client, "upload_bytes") == 0


def test_a_client_that_leaves_before_its_answer_has_its_job_dropped(server, client, post):
    before = metric(client, "requests_total", outcome="disconnected")
    large = [
        images.encoded("jpeg", pixels=images.scene(1200, 1600, gain=gain)) for gain in (0.3, 1.0)
    ]
    content = form_body(under=large[0], over=large[1])
    with connect(server) as connection:
        connection.sendall(form_head(len(content)) + content)
        wait_for(lambda: metric(client, "jobs_in_flight") == 1)
    wait_for(lambda: metric(client, "requests_total", outcome="disconnected") == before + 1)
    assert metric(client, "jobs_in_flight") == 0
    assert metric(client, "megapixels_in_flight") == 0
    assert metric(client, "running_jobs") == metric(client, "queue_jobs") == 0
    assert post().status_code == 200


def test_damaged_files_never_take_the_service_down(client, post, reference, over):
    sound = images.encoded("jpeg", pixels=images.scene(gain=0.3))
    for damaged in images.mutations(sound, seed=5, count=12):
        response = post("?align=off", under=damaged, over=over)
        assert response.status_code in (200, 413, 415, 422), response.text
    assert metric(client, "worker_restarts_total") == 0
    assert post().content == reference


def test_noise_of_equal_size_is_still_a_pair(post):
    rng = np.random.default_rng(1)
    noise = images.encoded("png", pixels=rng.integers(0, 256, (16, 17, 3), np.uint8))
    assert post(under=noise, over=noise).status_code == 200


def connect(server) -> socket.socket:
    address = urlsplit(server.base_url)
    return socket.create_connection((address.hostname, address.port), timeout=300)


def form_head(length: int) -> bytes:
    return (
        f"POST /fuse HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n"
        "Content-Type: multipart/form-data; boundary=edge\r\n\r\n"
    ).encode()


def form_body(**parts: bytes) -> bytes:
    body = b""
    for name, content in parts.items():
        body += f'--edge\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n'.encode()
        body += content + b"\r\n"
    return body + b"--edge--\r\n"
