"""The smallest inputs that once went wrong, each posted to the real server; see docs/cases.md."""

import socket

import cv2
import httpx
import numpy as np
import pytest

from tests.integration.conftest import problem_of
from tests.paths import SHARED
from tests.server import RunningServer

CASES = SHARED / "cases"
BROWSER = "image/avif,image/webp,image/apng,*/*;q=0.8"
EXACT = 0.0

pytestmark = pytest.mark.skipif(not CASES.is_dir(), reason="../shared/cases is absent")


def read_case(name: str) -> bytes:
    return next(CASES.glob(f"{name}.*")).read_bytes()


def fuse_files(
    client: httpx.Client, under: bytes, over: bytes, *, accept: str = "*/*", **options: str
) -> httpx.Response:
    files = {"under": ("under", under), "over": ("over", over)}
    return client.post("/fuse", params=options, files=files, headers={"Accept": accept})


def fused(client: httpx.Client, name: str, form: str | None = None) -> np.ndarray:
    """The picture of a pair, in steps of 8 bits."""
    suffix = "" if form is None else f".{form}"
    under, over = (
        next(CASES.glob(f"{name}-{which}{suffix or '.*'}")).read_bytes()
        for which in ("under", "over")
    )
    response = fuse_files(client, under, over, align="off", format="png")
    assert response.status_code == 200, response.text
    pixels = cv2.imdecode(np.frombuffer(response.content, np.uint8), cv2.IMREAD_UNCHANGED)
    return pixels[..., ::-1] / (257 if pixels.dtype == np.uint16 else 1)


@pytest.mark.parametrize(
    ("name", "reference", "form", "mean", "largest"),
    [
        ("samsung-sos", "ref", "jpg", EXACT, EXACT),
        ("jpeg-extraneous-18", "ref", "jpg", EXACT, EXACT),
        ("dcf-adobergb", "ref", "jpg", 1.6, 255),
        ("png16-linear-gama", "ref16", "png", 2, 2),
        ("png8-p3-cicp", "ref16", "png", 5, 5),
    ],
)
def test_a_file_is_fused_as_what_it_shows(client, name, reference, form, mean, largest):
    off = np.abs(fused(client, name) - fused(client, reference, form))
    assert off.mean() <= mean
    assert off.max() <= largest


@pytest.mark.parametrize(("name", "named"), [("tiff-ycbcr-lzw", "YCbCr"), ("tiff-zstd", "zstd")])
def test_a_file_that_would_be_shown_wrongly_is_refused_by_name(client, name, named):
    response = fuse_files(client, read_case(f"{name}-under"), read_case(f"{name}-over"))
    assert response.status_code == 422
    detail = problem_of(response)["detail"]
    assert detail.startswith("under: ")
    assert named in detail
    assert "save it as RGB" in detail


def test_a_neutral_wall_stays_neutral(client):
    wall = fused(client, "hue-band")[:150]
    assert (wall.max(axis=-1) - wall.min(axis=-1)).max() < 6


def test_a_turned_tag_does_not_turn_the_picture(client):
    under, over = read_case("orientation-1-under"), read_case("orientation-6-over")
    response = fuse_files(client, under, over, align="off", format="png", reference="1")
    assert response.status_code == 200, response.text
    pixels = cv2.imdecode(np.frombuffer(response.content, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
    truth = fused(client, "ref", "jpg")
    assert pixels.shape == truth.shape
    assert np.corrcoef(pixels.ravel(), truth.ravel())[0, 1] > 0.97


def test_where_an_exposure_is_transparent_the_other_shows(client):
    off = np.abs(fused(client, "rgba-remapped") - fused(client, "ref", "png"))
    # Its own tone is known there only from the curve between the two.
    assert off[:, :40].mean() < 3
    assert off[:, 60:].mean() < 1


def test_a_wide_pair_is_written_in_a_format_that_holds_it(client):
    under, over = read_case("wide-16384-under"), read_case("wide-16384-over")
    response = fuse_files(client, under, over, accept=BROWSER)
    assert response.status_code == 200, response.text
    pixels = cv2.imdecode(np.frombuffer(response.content, np.uint8), cv2.IMREAD_COLOR)
    assert pixels is None or pixels.shape[1] == 16384


def test_exposures_of_two_sizes_are_fused_and_said_or_told_what_to_do(client):
    under = next(CASES.glob("ref-under.jpg")).read_bytes()
    response = fuse_files(client, under, read_case("crop-2px-over"), format="png")
    assert response.status_code == 200, response.text
    assert "resized-from" in response.headers["x-expofuse-alignment"]
    refused = fuse_files(client, under, read_case("crop-2px-over"), align="off")
    assert refused.status_code == 422
    assert "alignment brings" in problem_of(refused)["detail"]


def test_an_offer_to_upgrade_is_ignored(client, server: RunningServer):
    parts = [
        b"--XX\r\nContent-Disposition: form-data; "
        + f'name="{which}"; filename="{which}"\r\n\r\n'.encode()
        + next(CASES.glob(f"ref-{which}.png")).read_bytes()
        for which in ("under", "over")
    ]
    body = b"\r\n".join(parts) + b"\r\n--XX--\r\n"
    head = read_case("h2c-upgrade").replace(b"17954", str(len(body)).encode())
    head = head.replace(b"\r\n", b"\n").rstrip(b"\n").replace(b"\n", b"\r\n") + b"\r\n\r\n"
    host, port = server.base_url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=60) as connection:
        connection.sendall(head + body)
        assert connection.recv(12) == b"HTTP/1.1 200"
