"""Clients as they come: each gets the picture that every other one gets."""

import asyncio
import io
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
import requests
from PIL import Image

from tests import images
from tests.integration.conftest import TIMEOUT_S
from tests.paths import ROOT

pytestmark = pytest.mark.e2e

PROGRAMS = ROOT / "tests" / "integration" / "clients"
FORM_ACCEPT = (
    "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,"
    "*/*;q=0.8"
)
"""What a browser says that it takes where a page's form is sent."""


@pytest.fixture(scope="module")
def files(tmp_path_factory, under, over) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("pair")
    (folder / "under.png").write_bytes(under)
    (folder / "over.png").write_bytes(over)
    return folder / "under.png", folder / "over.png"


def run(*command: object) -> str:
    """What a program prints; skips where it is not installed."""
    program = str(command[0])
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed here")
    ended = subprocess.run(
        [str(part) for part in command],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.strip()


CURL_WAYS = {
    "as it comes": [],
    "offers HTTP/2": ["--http2"],
    "HTTP/1.0": ["--http1.0"],
    "chunks": ["-H", "Transfer-Encoding: chunked"],
    "waits for leave": ["-H", "Expect: 100-continue"],
    "chunks, waits and offers": [
        *("--http2", "-H", "Transfer-Encoding: chunked", "-H", "Expect: 100-continue")
    ],
    "takes compressed answers": ["--compressed"],
    "offers TLS": ["-H", "Connection: Upgrade", "-H", "Upgrade: TLS/1.0"],
    "offers a WebSocket": ["-H", "Connection: keep-alive, Upgrade", "-H", "Upgrade: websocket"],
}


def fuse_by_curl(server, files, fused: Path, path: str, *options: str) -> str:
    return run(
        *("curl", "--silent", "--show-error", "--noproxy", "*", *options),
        *("-F", f"under=@{files[0]}", "-F", f"over=@{files[1]}", "-o", fused),
        *("-w", "%{http_code} %{content_type} %{num_redirects}", f"{server.base_url}{path}"),
    )


@pytest.mark.parametrize("way", CURL_WAYS)
def test_curl(server, files, reference, tmp_path, way):
    answer = fuse_by_curl(server, files, tmp_path / "fused", "/fuse", *CURL_WAYS[way])
    assert answer == "200 image/png 0"
    assert (tmp_path / "fused").read_bytes() == reference


@pytest.mark.parametrize("path", ["/fuse/", "//fuse", "/%66use", "/fuse/?align="])
def test_curl_with_another_spelling_of_the_path(server, files, reference, tmp_path, path):
    answer = fuse_by_curl(server, files, tmp_path / "fused", path)
    assert answer == "200 image/png 0"
    assert (tmp_path / "fused").read_bytes() == reference


@pytest.mark.parametrize(
    "path", ["/healthz", "/readyz", "/version", "/weights", "/limits", "/metrics", "/openapi.json"]
)
def test_curl_asks_for_the_head_of_every_page(server, path):
    answer = run("curl", "--silent", "--noproxy", "*", "--head", f"{server.base_url}{path}")
    assert answer.startswith("HTTP/1.1 200")
    assert "content-length: " in answer


def test_curl_with_knowledge_of_http_2_beforehand_gets_an_end(server):
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed here")
    command = ["curl", "--silent", "--noproxy", "*", "--http2-prior-knowledge", server.base_url]
    assert subprocess.run(command, check=False, timeout=TIMEOUT_S).returncode != 0


def test_requests(server, files, reference):
    with requests.Session() as session, files[0].open("rb") as under, files[1].open("rb") as over:
        session.trust_env = False
        response = session.post(
            f"{server.base_url}/fuse", files={"under": under, "over": over}, timeout=TIMEOUT_S
        )
    assert (response.status_code, response.content) == (200, reference)


def test_requests_in_chunks(server, under, over, reference):
    def stream() -> Iterator[bytes]:
        for name, content in (("under", under), ("over", over)):
            yield f'--b\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n'.encode()
            yield content + b"\r\n"
        yield b"--b--\r\n"

    with requests.Session() as session:
        session.trust_env = False
        response = session.post(
            f"{server.base_url}/fuse",
            data=stream(),
            headers={"Content-Type": "multipart/form-data; boundary=b"},
            timeout=TIMEOUT_S,
        )
    assert (response.status_code, response.content) == (200, reference)


def test_httpx_keeps_its_connection(client, under, over, reference):
    for _ in range(2):
        response = client.post("/fuse", files={"under": under, "over": over})
        assert (response.status_code, response.content) == (200, reference)
        assert response.headers.get("connection") != "close"


def test_aiohttp(server, under, over, reference):
    aiohttp = pytest.importorskip("aiohttp")

    async def fuse() -> tuple[int, bytes]:
        form = aiohttp.FormData()
        form.add_field("under", under, filename="u.png", content_type="image/png")
        form.add_field("over", over, filename="ü.png", content_type="image/png")
        form.add_field("align", "")
        async with (
            aiohttp.ClientSession() as session,
            session.post(f"{server.base_url}/fuse", data=form) as response,
        ):
            return response.status, await response.read()

    assert asyncio.run(fuse()) == (200, reference)


def test_fetch_of_node(server, files, reference, tmp_path):
    fused = tmp_path / "fused.png"
    answer = run("node", PROGRAMS / "fuse.mjs", f"{server.base_url}/fuse", *files, fused)
    assert answer == "200"
    assert fused.read_bytes() == reference


def test_the_http_client_of_java(server, files, reference, tmp_path):
    if shutil.which("javac") is None:
        pytest.skip("there is no JDK here, which runs a program from its source")
    fused = tmp_path / "fused.png"
    answer = run("java", PROGRAMS / "Fuse.java", f"{server.base_url}/fuse", *files, fused)
    assert answer == "200 HTTP_1_1"
    assert fused.read_bytes() == reference


def post_page_form(client: httpx.Client, under: bytes, over: bytes) -> httpx.Response:
    """A page's form with a field for everything, of which its user filled two."""
    boundary = "----WebKitFormBoundaryqB2zVjXn0aT4kPq9"
    nothing = b""
    parts = [
        ('name="under"; filename="d\u00fcster 1.png"', "image/png", under),
        ('name="over"; filename="C:\\fakepath\\hell.png"', "image/png", over),
        ('name="exposures"; filename=""', "application/octet-stream", nothing),
        *((f'name="{name}"', None, nothing) for name in ("format", "quality", "weights")),
        ('name="align"', None, b"off"),
    ]
    body = b""
    for disposition, media_type, content in parts:
        body += f"--{boundary}\r\nContent-Disposition: form-data; {disposition}\r\n".encode()
        body += f"Content-Type: {media_type}\r\n".encode() if media_type else b""
        body += b"\r\n" + content + b"\r\n"
    return client.post(
        "/fuse",
        content=body + f"--{boundary}--\r\n".encode(),
        headers={
            "Accept": FORM_ACCEPT,
            "Content-Type": f"multipart/form-data; boundary={boundary}",
            "Origin": "null",
            "Upgrade-Insecure-Requests": "1",
            "Sec-Fetch-Dest": "document",
            "Sec-Fetch-Mode": "navigate",
        },
    )


def test_the_form_of_a_page(client, under, over):
    response = post_page_form(client, under, over)
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] in ("image/webp", "image/avif")
    assert response.headers["x-expofuse-alignment"] == "off"


def test_the_form_of_a_page_keeps_16_bits(client):
    pair = (images.png16(images.scene(dtype=np.uint16, gain=gain)) for gain in (0.3, 1.0))
    response = post_page_form(client, *pair)
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "image/png"
    assert response.content[24] == 16  # The depth in the header of a PNG file.


def test_the_form_of_a_page_gets_a_format_that_holds_its_size(client):
    pixels = np.full((16, 16_384, 3), 90, np.uint8)
    pair = [images.encoded("jpeg", pixels=pixels + step) for step in (0, 40)]
    response = post_page_form(client, *pair)
    assert response.status_code == 200, response.text
    assert Image.open(io.BytesIO(response.content)).size == (16_384, 16)
