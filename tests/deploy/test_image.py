"""The image is built from the Dockerfile, and the service in it answers a request.

Needs root, buildah and mmdebstrap, about 2 GB of disk and some minutes; no engine and no registry
of images: a Debian with Python 3.11 stands in for the base.
"""

import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import cv2
import httpx
import numpy as np
import psutil
import pytest

from tests.server import free_port

pytestmark = pytest.mark.slow

TAG = "localhost/expofuse:test"
USER_ID = 10001
START_TIMEOUT_S = 300


@dataclass(frozen=True, slots=True)
class Image:
    """The built image, in a container of it, in a storage of its own."""

    environment: dict[str, str]
    container: str
    root: Path

    def buildah(self, *arguments: str) -> str:
        return run_buildah(self.environment, *arguments)

    def run(self, *command: str) -> str:
        return self.buildah("run", self.container, "--", *command)


def run_buildah(environment: dict[str, str], *arguments: str) -> str:
    done = subprocess.run(
        ["buildah", *arguments], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture(scope="module")
def image(repository: Path) -> Iterator[Image]:
    if os.geteuid() != 0:
        pytest.skip("building with buildah in a chroot needs root")
    for tool in ("buildah", "mmdebstrap"):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed")
    # Not tmp_path: pytest keeps those, and this one holds gigabytes.
    folder = Path(tempfile.mkdtemp(prefix="expofuse-image-"))
    (folder / "storage.conf").write_text(
        f'[storage]\ndriver = "vfs"\ngraphroot = "{folder}/storage"\nrunroot = "{folder}/run"\n'
    )
    environment = os.environ | {
        "BUILDAH_ISOLATION": "chroot",
        "STORAGE_DRIVER": "vfs",
        "CONTAINERS_STORAGE_CONF": str(folder / "storage.conf"),
        "TMPDIR": str(folder),
        "DEVICE": "cpu",
    }
    try:
        build = subprocess.run(
            [repository / "deploy/build_image.sh", "--stand-in-base", TAG],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert build.returncode == 0, build.stdout[-4000:]
        container = run_buildah(environment, "from", "--pull-never", TAG)
        root = Path(run_buildah(environment, "mount", container))
        yield Image(environment, container, root)
        run_buildah(environment, "umount", "--all")
    finally:
        shutil.rmtree(folder)


@pytest.fixture(scope="module")
def service(
    image: Image, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, psutil.Process]]:
    """The service in the container: its address and its first process."""
    port = free_port()
    command = ["buildah", "run", "--env", "EXPOFUSE_HOST=127.0.0.1"]
    command += ["--env", f"EXPOFUSE_PORT={port}", "--env", "EXPOFUSE_DEVICE=cpu"]
    command += [image.container, "--", "expofuse", "serve"]
    log_path = tmp_path_factory.mktemp("service") / "service.log"
    with log_path.open("wb") as log:
        builder = subprocess.Popen(command, env=image.environment, stdout=log, stderr=log)
    try:
        url = f"http://127.0.0.1:{port}"
        deadline = time.monotonic() + START_TIMEOUT_S
        while not is_ready(url):
            assert builder.poll() is None, log_path.read_text()
            assert time.monotonic() < deadline, log_path.read_text()
            time.sleep(0.5)
        yield url, first_process_of_service(builder.pid)
    finally:
        # buildah passes no signal on: the service itself is told to end.
        with suppress(psutil.NoSuchProcess, StopIteration):
            first_process_of_service(builder.pid).send_signal(signal.SIGTERM)
        builder.wait(300)
    assert builder.returncode == 0, log_path.read_text()


def is_ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz", trust_env=False).status_code == 200
    except httpx.TransportError:
        return False


def first_process_of_service(builder_pid: int) -> psutil.Process:
    """The topmost process below buildah that runs `expofuse`."""
    below = psutil.Process(builder_pid).children(recursive=True)
    return next(p for p in below if Path(p.cmdline()[0]).name.startswith("python"))


def test_service_in_the_image_fuses_a_pair_without_being_root(
    service: tuple[str, psutil.Process], pair_png: tuple[bytes, bytes]
) -> None:
    url, process = service
    under, over = pair_png
    answer = httpx.post(
        f"{url}/fuse",
        files={"under": ("under.png", under), "over": ("over.png", over)},
        data={"format": "png"},
        timeout=120,
        trust_env=False,
    )
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "image/png"
    fused = cv2.imdecode(np.frombuffer(answer.content, np.uint8), cv2.IMREAD_COLOR)
    exposures = [cv2.imdecode(np.frombuffer(e, np.uint8), cv2.IMREAD_COLOR) for e in pair_png]
    assert fused.shape == exposures[0].shape
    # Brighter than the underexposed picture, darker than the overexposed one.
    assert exposures[0].mean() < fused.mean() < exposures[1].mean()
    family = [process, *process.children(recursive=True)]
    assert len(family) > 2
    assert {uid for member in family for uid in member.uids()} == {USER_ID}


def test_health_check_of_the_image_sees_the_service(
    image: Image, service: tuple[str, psutil.Process]
) -> None:
    port = service[0].rpartition(":")[2]
    check = ["expofuse", "health"]
    image.buildah("run", "--env", f"EXPOFUSE_PORT={port}", image.container, "--", *check)
    inspected = json.loads(image.buildah("inspect", "--type", "image", TAG))
    assert inspected["Docker"]["config"]["Healthcheck"]["Test"] == ["CMD", *check]


def test_image_has_the_service_and_the_weights_but_no_trainer_tools(
    image: Image, repository: Path
) -> None:
    (packages,) = image.root.glob("opt/venv/lib/python3.11/site-packages")
    names = {path.name for path in packages.iterdir()}
    assert {"onnxruntime", "fastapi"} <= names
    assert not {"torch", "tensorboard", "scipy", "onnx", "pytest", "mypy", "pip"} & names
    ours = {path.name for path in (image.root / "opt/expofuse").iterdir()}
    assert {"expofuse", "model", "service", "weights"} <= ours
    assert "trainer" not in ours
    weights = repository / "weights"
    for manifest in weights.glob("*/manifest.json"):
        for path in manifest.parent.iterdir():
            copy = image.root / "opt/expofuse/weights" / path.relative_to(weights)
            assert copy.read_bytes() == path.read_bytes()


def test_nothing_of_the_registry_settings_stays_in_the_image(image: Image) -> None:
    listing = subprocess.run(
        ["python3", "-m", "pip", "config", "list"], capture_output=True, text=True, check=True
    )
    values = [line.partition("=")[2].strip("'") for line in listing.stdout.splitlines()]
    folders = [word.removeprefix("file://") for value in values for word in value.split()]
    left = [f for f in folders if f.startswith("/") and not f.startswith("/etc/ssl/")]
    assert [f for f in left if (image.root / f.removeprefix("/")).exists()] == []
    assert not (image.root / "etc/pip.conf").exists()
    inspected = image.buildah("inspect", "--type", "image", TAG)
    assert [f for f in left if f in inspected] == []
