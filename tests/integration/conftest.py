"""One real server for most tests; the pair is tiny, because every answer is really computed."""

import time
from collections.abc import Callable, Iterator

import httpx
import pytest

from tests import images
from tests.paths import ROOT
from tests.server import RunningServer, running_server

RELEASED = "pyramid-blend-2.1.0"
MAX_BODY_BYTES = 3 * 2**20
TIMEOUT_S = 300.0

Post = Callable[..., httpx.Response]


@pytest.fixture(scope="session")
def weights() -> str:
    """The released weights, or those of development where there are none yet."""
    names = sorted(path.parent.name for path in (ROOT / "weights").glob("*/manifest.json"))
    if not names:
        pytest.skip("there are no weights below weights/")
    return RELEASED if RELEASED in names else names[-1]


def server_settings(weights: str) -> dict[str, str]:
    return {
        "EXPOFUSE_WEIGHTS": weights,
        "EXPOFUSE_DRAIN_PAUSE_S": "0",
        "EXPOFUSE_CODEC__PROCESSES": "2",
        # Threads that spin while they wait make a busy machine many times slower.
        "EXPOFUSE_WORKER__THREADS": "1",
        "EXPOFUSE_LIMITS__MAX_BODY_BYTES": str(MAX_BODY_BYTES),
        # A machine that is busy with other tests is slow, and these clients can wait.
        "EXPOFUSE_LIMITS__MAX_WAIT_S": "120",
    }


@pytest.fixture(scope="session")
def server(weights: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    environment = server_settings(weights)
    log_path = tmp_path_factory.mktemp("server") / "server.log"
    with running_server(environment, log_path=log_path) as running:
        yield running


@pytest.fixture(scope="session")
def client(server: RunningServer) -> Iterator[httpx.Client]:
    with make_client(server) as one:
        yield one


def make_client(server: RunningServer) -> httpx.Client:
    # trust_env: a proxy in the environment must not see loopback requests.
    return httpx.Client(base_url=server.base_url, trust_env=False, timeout=TIMEOUT_S)


@pytest.fixture(scope="session")
def under() -> bytes:
    return images.encoded("png", pixels=images.scene(gain=0.3))


@pytest.fixture(scope="session")
def over() -> bytes:
    return images.encoded("png", pixels=images.scene(gain=1.0))


@pytest.fixture(scope="session")
def post(client: httpx.Client, under: bytes, over: bytes) -> Post:
    """Posts the sound pair, or what a test puts in its place."""

    def send(query="", *, fields=None, headers=None, **files) -> httpx.Response:
        given = {"under": under, "over": over} | files
        parts = {name: (name, content) for name, content in given.items() if content is not None}
        return client.post(f"/fuse{query}", files=parts, data=fields, headers=headers)

    return send


@pytest.fixture(scope="session")
def reference(post: Post) -> bytes:
    """The answer to the sound pair when it is alone in the service."""
    response = post()
    assert response.status_code == 200, response.text
    return response.content


def metric(client: httpx.Client, name: str, **labels: str) -> float:
    """The value of one series at `/metrics`; 0 where it does not exist."""
    wanted = ",".join(f'{label}="{value}"' for label, value in labels.items())
    series = f"expofuse_{name}{{{wanted}}} " if labels else f"expofuse_{name} "
    for line in client.get("/metrics").text.splitlines():
        if line.startswith(series):
            return float(line.removeprefix(series))
    return 0.0


def wait_for(condition: Callable[[], object], timeout_s: float = 300.0) -> None:
    """Poll until something that happens in another process has happened."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "what was waited for did not happen"
        time.sleep(0.02)


def problem_of(response: httpx.Response) -> dict[str, object]:
    """The problem document of a response, checked for its form."""
    assert response.headers["content-type"] == "application/problem+json", response.text
    problem = response.json()
    assert set(problem) == {"type", "title", "status", "detail", "request_id"}
    assert problem["status"] == response.status_code
    assert problem["request_id"] == response.headers["x-request-id"]
    assert problem["type"].startswith("/problems/")
    return problem


def data_pair(name: str) -> tuple[bytes, bytes]:
    """The files of a pair of the evaluation set; skips where it is absent."""
    folder = ROOT.parent / "shared" / "data" / "eval" / name
    found = {path.stem: path for path in folder.glob("*.*")}
    if not {"under", "over"} <= found.keys():
        pytest.skip(f"no pair {name} below ../shared/data/eval")
    return found["under"].read_bytes(), found["over"].read_bytes()
