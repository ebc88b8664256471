"""Shared memory that goes from request to request: nobody's pixels go with it, and none stays."""

import os
import signal
import time
from collections.abc import Iterator

import httpx
import numpy as np
import pytest

from service.processes.block_pool import IDLE_S
from service.processes.shared_memory import MOUNT, PREFIX
from tests import images
from tests.integration.conftest import make_client, metric, server_settings, wait_for
from tests.model.alignment.test_estimate import expose, make_scene, turn
from tests.server import RunningServer, running_server

pytestmark = pytest.mark.e2e

WIDTH, HEIGHT = 320, 240
SCENE = make_scene(6, WIDTH, HEIGHT)
DARK, MIDDLE, BRIGHT = (expose(SCENE, gain) for gain in (0.1, 0.3, 0.9))
MOVED = expose(SCENE, 0.1, homography=turn(shift=(9.0, -6.0), width=WIDTH, height=HEIGHT))
POISON = 0xA5


def png(pixels: np.ndarray) -> bytes:
    return images.encoded("png", pixels=pixels)


def deep(pixels: np.ndarray) -> bytes:
    return images.png16(np.multiply(pixels, 257, dtype=np.uint16))


def holed(pixels: np.ndarray) -> bytes:
    """A picture that is transparent in its middle."""
    alpha = np.full((*pixels.shape[:2], 1), 255, np.uint8)
    alpha[80:140, 100:200] = 0
    return images.encoded("png", pixels=np.concatenate([pixels, alpha], axis=-1))


def sideways(pixels: np.ndarray) -> bytes:
    stored = np.ascontiguousarray(np.rot90(pixels))
    return images.with_orientation(6, form="png", pixels=stored)


REQUESTS = {
    "still": ("?align=off", [png(DARK), png(BRIGHT)]),
    "moved": ("?reference=2", [png(MOVED), png(BRIGHT)]),
    "cropped": ("?reference=2&crop=common", [png(MOVED), png(BRIGHT)]),
    "stack": ("", [png(DARK), png(MIDDLE), png(BRIGHT)]),
    "sizes": ("?reference=2", [png(MOVED[:, 2:]), png(BRIGHT)]),
    "larger": ("?reference=1", [png(DARK[3:, 2:]), png(BRIGHT)]),
    "turned": ("", [sideways(DARK), png(BRIGHT)]),
    "jpeg": ("", [images.encoded("jpeg", pixels=one, quality=95) for one in (DARK, BRIGHT)]),
    "16 bits": ("", [deep(DARK), deep(BRIGHT)]),
    "8 and 16 bits": ("", [png(DARK), deep(BRIGHT)]),
    "transparent": ("", [holed(DARK), png(BRIGHT)]),
    "one is useless": ("", [png(DARK), png(DARK)]),
}


@pytest.fixture(scope="module")
def own_server(weights: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    log_path = tmp_path_factory.mktemp("blocks") / "server.log"
    with running_server(server_settings(weights), log_path=log_path) as running:
        yield running
    assert running.process.returncode == 0
    assert not blocks_of(running)


def blocks_of(server: RunningServer) -> list[str]:
    return [path.name for path in MOUNT.glob(f"{PREFIX}{server.process.pid}-*")]


def poison(server: RunningServer) -> int:
    """Fill every block that the service keeps; the number of them."""
    names = blocks_of(server)
    for name in names:
        size = (MOUNT / name).stat().st_size
        with (MOUNT / name).open("r+b") as block:
            block.write(bytes([POISON]) * size)
    return len(names)


def send(client: httpx.Client, query: str, files: list[bytes]) -> httpx.Response:
    parts = [("exposures", (str(index), content)) for index, content in enumerate(files)]
    query += "&format=png" if query else "?format=png"
    response = client.post(f"/fuse{query}", files=parts)
    assert response.status_code == 200, response.text
    return response


@pytest.mark.parametrize("name", REQUESTS)
def test_a_picture_does_not_depend_on_what_its_blocks_held(own_server, name):
    query, files = REQUESTS[name]
    with make_client(own_server) as client:
        first = send(client, query, files)
        assert poison(own_server) >= 2
        held = metric(client, "shared_memory_bytes")
        again = send(client, query, files)
        assert again.content == first.content
        told = [name for name in first.headers if name.startswith("x-expofuse-")]
        assert [first.headers[name] for name in told] == [again.headers[name] for name in told]
        assert metric(client, "shared_memory_bytes") == held, "other blocks than those poisoned"


@pytest.mark.slow
def test_a_hundred_sizes_leave_nothing_after_a_few_seconds(own_server):
    with make_client(own_server) as client:
        for number in range(100):
            height, width = 40 + 2 * number, 60 + 3 * (number * 37 % 100)
            files = [png(images.scene(height, width, gain=gain)) for gain in (0.3, 1.0)]
            send(client, "?align=off", files)
        assert metric(client, "shared_memory_idle_bytes") > 0
        wait_for(lambda: metric(client, "shared_memory_bytes") == 0, timeout_s=3 * IDLE_S)
        # What is counted no more is removed by a thread.
        wait_for(lambda: not blocks_of(own_server))


def test_a_service_that_is_killed_leaves_no_idle_block(weights, tmp_path):
    log_path = tmp_path / "server.log"
    with running_server(server_settings(weights), log_path=log_path) as server:
        with make_client(server) as client:
            send(client, *REQUESTS["still"])
        assert blocks_of(server)
        os.kill(server.process.pid, signal.SIGKILL)
        server.process.wait()
        deadline = time.monotonic() + 300
        while blocks_of(server):  # The resource tracker ends a moment later.
            assert time.monotonic() < deadline
            time.sleep(0.02)
