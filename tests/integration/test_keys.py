"""A real service with keys: its clients, signals, and a thousand wrong keys beside others."""

import os
import signal
import subprocess
import sys
import threading
import time

import httpx
import pytest

from expofuse.client import ApiKeyError, Client
from service.keys.secret import make_key
from tests.integration.conftest import make_client, server_settings, wait_for
from tests.integration.test_start import start
from tests.paths import ROOT
from tests.server import running_server
from tests.service.keys.conftest import CREATED, KeyFile

pytestmark = pytest.mark.e2e
WRONG_KEYS, AT_ONCE = 1000, 8
SLOWEST_S = 10.0
"""Of a look at the health meanwhile: it takes milliseconds, on machines that others use too."""


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    return KeyFile(tmp_path_factory.mktemp("keys") / "keys.json")


@pytest.fixture(scope="module")
def key(keys):
    return keys.add()


@pytest.fixture(scope="module")
def closed(weights, keys, key, tmp_path_factory):
    environment = server_settings(weights) | {
        "EXPOFUSE_KEYS__FILE": str(keys.path),
        "EXPOFUSE_KEYS__WRONG_PER_MINUTE": "20",
    }
    log_path = tmp_path_factory.mktemp("closed") / "server.log"
    with running_server(environment, log_path=log_path) as running:
        yield running


@pytest.fixture(scope="module")
def asking(closed):
    with make_client(closed) as one:
        yield one


def bearing(key):
    return {"Authorization": f"Bearer {key.text}"}


def status_of(asking, key):
    return asking.get("/limits", headers=bearing(key)).status_code


def test_the_client_and_the_command_fuse_with_a_key(closed, key, under, over, tmp_path):
    with Client(closed.base_url, api_key="") as client:
        assert client.ready()
        with pytest.raises(ApiKeyError):
            client.fuse([under, over])
    with Client(closed.base_url, api_key=key.text) as client:
        fused = client.fuse([under, over], format="png")
    for name, content in (("a.png", under), ("b.png", over), ("key", f"{key.text}\n".encode())):
        (tmp_path / name).write_bytes(content)
    program = [sys.executable, "-m", "service", "fuse", tmp_path / "a.png", tmp_path / "b.png"]
    ended = {}
    for name in ("EXPOFUSE_API_KEY_FILE", "NOTHING"):
        ended[name] = subprocess.run(
            [*program, "-o", tmp_path / "fused.png", "--server", closed.base_url],
            cwd=ROOT,
            env=os.environ | {name: str(tmp_path / "key")},
            capture_output=True,
            text=True,
            check=False,
        )
    assert ended["EXPOFUSE_API_KEY_FILE"].returncode == 0, ended["EXPOFUSE_API_KEY_FILE"].stderr
    assert (tmp_path / "fused.png").read_bytes() == fused.content
    assert ended["NOTHING"].returncode == 1
    assert "An API key is needed" in ended["NOTHING"].stderr


def test_an_upload_without_a_key_is_answered_before_it_is_read(asking):
    answer = asking.post(
        "/fuse", content=b"x" * 2**20, headers={"Content-Type": "multipart/form-data; boundary=x"}
    )
    assert answer.status_code == 401
    assert answer.headers["connection"] == "close"


def test_a_signal_lets_new_keys_in_and_revoked_ones_out(asking, closed, keys):
    leaving, coming = keys.add(), keys.add()
    closed.process.send_signal(signal.SIGHUP)
    wait_for(lambda: status_of(asking, coming) == 200)
    assert status_of(asking, leaving) == 200
    keys.change(leaving, revoked=CREATED)
    closed.process.send_signal(signal.SIGHUP)
    wait_for(lambda: status_of(asking, leaving) == 401)
    assert status_of(asking, coming) == 200


def test_a_broken_file_leaves_the_keys_that_were(asking, closed, keys, key):
    sound = keys.path.read_bytes()
    keys.path.write_bytes(b"{")
    closed.process.send_signal(signal.SIGHUP)
    wait_for(lambda: "those before stay in force" in closed.log())
    assert status_of(asking, key) == 200
    keys.path.write_bytes(sound)
    added = keys.add()
    closed.process.send_signal(signal.SIGHUP)
    wait_for(lambda: status_of(asking, added) == 200)


def test_a_thousand_wrong_keys_slow_neither_the_health_nor_other_callers(asking, closed, keys, key):
    never_used = keys.add()
    closed.process.send_signal(signal.SIGHUP)
    wait_for(lambda: f'"keys": {len_of(keys)}' in closed.log())
    assert status_of(asking, key) == 200
    statuses = []
    # A third have the id of no key, a third that of one whose secret is known to the service, a
    # third that of one which has to be hashed each time.
    texts = [
        f"xpf_{name}_{make_key().secret}"
        for _ in range(WRONG_KEYS // 3 + 1)
        for name in (make_key().id, key.id, never_used.id)
    ]

    def try_keys(part):
        with httpx.Client(base_url=closed.base_url, trust_env=False, timeout=60) as own:
            for text in part:
                answer = own.get("/limits", headers={"Authorization": f"Bearer {text}"})
                statuses.append(answer.status_code)

    threads = [threading.Thread(target=try_keys, args=(texts[i::AT_ONCE],)) for i in range(AT_ONCE)]
    for thread in threads:
        thread.start()
    times = []
    while any(thread.is_alive() for thread in threads):
        begin = time.monotonic()
        assert asking.get("/healthz").status_code == 200
        assert status_of(asking, key) == 200
        times.append(time.monotonic() - begin)
    for thread in threads:
        thread.join()
    assert len(statuses) == len(texts)
    assert set(statuses) == {401, 429}
    # Of a third, at most so many were hashed as one address may send in these minutes.
    assert statuses.count(429) > len(texts) / 6
    assert max(times) < SLOWEST_S
    # Nobody who was known before is locked out by what came from the same address.
    assert status_of(asking, key) == 200


def len_of(keys):
    return keys.path.read_text().count('"hash"')


def test_no_secret_stands_in_the_log(closed, keys, key):
    assert key.id in closed.log()
    assert key.secret not in closed.log()
    assert "scrypt" not in closed.log()


@pytest.mark.parametrize(
    ("content", "mode", "sentence"),
    [
        (None, 0o600, "expected a file of keys, there is none"),
        (b"{", 0o600, "the file of keys is not of the form expofuse-keys-1"),
        (b"{}", 0o666, "expected a file of keys that others cannot write"),
    ],
)
def test_a_file_that_is_not_taken_stops_the_start_with_one_sentence(
    tmp_path, content, mode, sentence
):
    path = tmp_path / "keys.json"
    if content is not None:
        path.write_bytes(content)
        path.chmod(mode)
    code, lines = start(EXPOFUSE_KEYS__FILE=str(path))
    assert code == 1
    assert len(lines) == 1
    assert lines[0].startswith(f"expofuse: {sentence}")
