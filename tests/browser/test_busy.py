"""A service that is busy: the page says so, waits as long as it is asked to, and tries again."""

import socket
import time
from urllib.parse import urlsplit

import httpx
import numpy as np
import pytest

from tests import images

pytestmark = pytest.mark.e2e
SIDE_PX = 900


def unread_bytes(base_url):
    text = httpx.get(f"{base_url}/metrics", trust_env=False).text
    (line,) = (one for one in text.splitlines() if one.startswith("expofuse_response_bytes "))
    return float(line.split()[1])


@pytest.fixture
def slow_reader(server):
    """A client that asks for a large picture and does not read it: the service is full."""
    rng = np.random.default_rng(1)
    noise = rng.integers(0, 256, (SIDE_PX, SIDE_PX, 3), dtype=np.uint8)
    pair = [images.encoded("jpeg", pixels=noise // share, quality=90) for share in (3, 1)]
    request = httpx.Request(
        "POST",
        f"{server.base_url}/fuse?format=tiff&align=off&ghosts=off&bit_depth=16",
        files={"under": pair[0], "over": pair[1]},
    )
    body = request.read()
    head = f"POST {request.url.raw_path.decode()} HTTP/1.1\r\nHost: x\r\n"
    head += "".join(
        f"{name}: {value}\r\n" for name, value in request.headers.items() if name != "host"
    )
    address = urlsplit(server.base_url)
    with socket.socket() as one:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        one.connect((address.hostname, address.port))
        one.sendall(head.encode() + b"\r\n" + body)
        deadline = time.monotonic() + 300
        while unread_bytes(server.base_url) < 2**20:
            assert time.monotonic() < deadline, "the service never had a picture that nobody reads"
            time.sleep(0.05)
        yield one


def test_a_busy_service_is_waited_for_unless_one_cancels(visit, slow_reader):
    page = visit.page
    page.click("#use-sample")
    page.click("#fuse")
    visit.wait_for_text("#progress-words", "The service is busy")
    page.click("#cancel")
    assert page.is_visible("#fuse")
    assert not page.is_visible("#progress")
    assert not page.is_visible("#failure")
    page.click("#fuse")
    visit.wait_for_text("#progress-words", "The service is busy")
    slow_reader.close()
    page.wait_for_selector("#report:not([hidden])")
    assert set(visit.refused) == {503}
