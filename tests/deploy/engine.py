"""A Docker Engine of the tests' own, and the images that they run on it.

It lies in a folder, listens on a socket there, and touches neither the tables of the firewall nor
an engine that may run beside it. No registry is asked: the service's image is built here, others
have stand-ins, which consist of Debian's program and the libraries it is linked to.
"""

import io
import json
import os
import re
import secrets
import shutil
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.paths import ROOT

IMAGE = "expofuse:test"
START_TIMEOUT_S = 120
SYSTEM_PATH = "/usr/local/sbin:/usr/sbin:/sbin"


@dataclass(frozen=True, slots=True)
class Engine:
    """A running engine."""

    folder: Path

    @property
    def host(self) -> str:
        return f"unix://{self.folder}/docker.sock"

    def start(
        self, *command: str, environment: Mapping[str, str] | None = None
    ) -> subprocess.Popen[str]:
        """A client of this engine, which runs."""
        return subprocess.Popen(
            command,
            env=os.environ | {"DOCKER_HOST": self.host} | dict(environment or {}),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def docker(self, *arguments: str) -> str:
        """What `docker` prints; its failure is the test's."""
        return finish(self.start("docker", *arguments))

    def inspect(self, name: str) -> dict[str, Any]:
        """A container, as the engine describes it."""
        (description,) = json.loads(self.docker("inspect", name))
        return description

    def python(self, name: str, code: str) -> str:
        """What Python prints in a container, run as its user."""
        return self.docker("exec", name, "python", "-c", code)

    def import_programs(
        self,
        tag: str,
        programs: Iterable[str],
        *,
        changes: Iterable[str],
        folders: Iterable[str] = (),
        links: Mapping[str, str] | None = None,
    ) -> None:
        """Make a stand-in of programs of this machine and the libraries they are linked to.

        Args:
            tag: names it.
            programs: their paths.
            changes: lines of a Dockerfile, such as its entry point.
            folders: everybody may write there.
            links: path -> what it leads to.
        """
        archive = io.BytesIO()
        with tarfile.open(fileobj=archive, mode="w", dereference=True) as tar:
            for name in folders:
                folder = tarfile.TarInfo(name)
                folder.type, folder.mode = tarfile.DIRTYPE, 0o1777
                tar.addfile(folder)
            files = {path for program in programs for path in [program, *list_libraries(program)]}
            for path in sorted(files):
                tar.add(path, arcname=path.lstrip("/"))
            for name, target in (links or {}).items():
                link = tarfile.TarInfo(name)
                link.type, link.linkname = tarfile.SYMTYPE, target
                tar.addfile(link)
        options = [part for change in changes for part in ("--change", change)]
        done = subprocess.run(
            ["docker", "import", *options, "-", tag],
            env=os.environ | {"DOCKER_HOST": self.host},
            input=archive.getvalue(),
            capture_output=True,
        )
        assert done.returncode == 0, done.stderr.decode()


@dataclass(frozen=True, slots=True)
class Project:
    """A compose file of the repository on an engine, and what the environment says to it."""

    engine: Engine
    name: str
    file: Path
    folder: Path
    environment: dict[str, str]

    def compose(self, *arguments: str) -> str:
        return finish(self.start(*arguments))

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        command = [*compose_command(), "--project-name", self.name, "--file", str(self.file)]
        command += ["--project-directory", str(self.folder)]
        return self.engine.start(*command, *arguments, environment=self.environment)

    def container(self, service: str) -> str:
        """Id of the one container of a service."""
        return self.compose("ps", "--quiet", service)


def finish(process: subprocess.Popen[str]) -> str:
    output, errors = process.communicate()
    assert process.returncode == 0, f"{process.args}: {errors}{output}"
    return output.strip()


def compose_command() -> list[str]:
    """Compose 2 where the machine has it, else Debian's 1.29."""
    plugin = subprocess.run(["docker", "compose", "version"], capture_output=True)
    return ["docker", "compose"] if plugin.returncode == 0 else ["docker-compose"]


def read_project(path: Path, images: Mapping[str, str]) -> dict[str, Any]:
    """A compose file with these images by service, and nothing to build.

    `name:` goes, which Compose 1 does not know, and which would be that of an operator's own.
    """
    project = yaml.safe_load(path.read_text())
    del project["name"]
    for name, service in project["services"].items():
        service.pop("build", None)
        service["image"] = images.get(name, service["image"])
    return project


@contextmanager
def running_project(
    engine: Engine,
    project: dict[str, Any],
    folder: Path,
    services: list[str],
    environment: dict[str, str],
) -> Iterator[Project]:
    """Bring services of a project up, yield it, and take it down.

    Args:
        engine: runs it.
        project: the compose file's content.
        folder: that its relative paths start from.
        services: are started, and what they depend on.
        environment: for the file's variables.
    """
    name = f"test{os.getpid()}{len(list(engine.folder.glob('*.yml')))}"
    file = engine.folder / f"{name}.yml"
    file.write_text(yaml.safe_dump(project))
    running = Project(engine, name, file, folder, environment)
    try:
        running.compose("up", "--detach", *services)
        yield running
    finally:
        # What ends well is a test's own concern.
        running.compose("kill")
        running.compose("down", "--volumes")


def wait_until(condition: Any, what: str, timeout_s: float = 300) -> Any:
    """The first true value of a call that is made again and again."""
    deadline = time.monotonic() + timeout_s
    while not (value := condition()):
        assert time.monotonic() < deadline, f"not within {timeout_s:g} s: {what}"
        time.sleep(0.2)
    return value


def list_libraries(program: str) -> list[str]:
    """Paths of what a program is linked to; none where it is linked to nothing."""
    done = subprocess.run(["ldd", program], capture_output=True, text=True)
    return re.findall(r"(?:=> |^\s*)(/\S+) \(0x", done.stdout, re.MULTILINE)


def skip_without_engine() -> None:
    """Skip, with the reason, what this machine cannot run."""
    if os.geteuid() != 0:
        pytest.skip("an engine of the tests' own needs root")
    path = os.pathsep.join([os.environ["PATH"], SYSTEM_PATH])
    for tool in ("dockerd", "docker", "buildah", "mmdebstrap"):
        if shutil.which(tool, path=path) is None:
            pytest.skip(f"{tool} is not installed (Debian: docker.io, buildah, mmdebstrap)")
    if compose_command() == ["docker-compose"] and shutil.which("docker-compose") is None:
        pytest.skip("neither `docker compose` nor docker-compose is installed")


@contextmanager
def running_engine() -> Iterator[Engine]:
    """Start an engine, and end it with all that it runs."""
    # Not tmp_path: pytest keeps those, and this one holds gigabytes. Short, as sockets' paths are.
    folder = Path(tempfile.mkdtemp(prefix="expofuse-engine-"))
    engine = Engine(folder)
    command = ["dockerd", "--data-root", f"{folder}/data", "--exec-root", f"{folder}/exec"]
    command += ["--pidfile", f"{folder}/pid", "--host", engine.host]
    # Ports are published on loopback by a process, which needs no rule of a firewall.
    command += ["--bridge", "none", "--iptables=false", "--ip-forward=false", "--ip-masq=false"]
    # Names of namespaces have no two underscores in a row, as names of folders may.
    namespace = f"expofuse-{secrets.token_hex(4)}"
    command += ["--containerd-namespace", namespace]
    command += ["--containerd-plugins-namespace", f"{namespace}-plugins"]
    environment = os.environ | {"PATH": os.pathsep.join([os.environ["PATH"], SYSTEM_PATH])}
    with (folder / "dockerd.log").open("wb") as log:
        # In a session of its own: who interrupts the tests does not end it before its containers.
        daemon = subprocess.Popen(
            command, env=environment, stdout=log, stderr=log, start_new_session=True
        )

    def is_up() -> bool:
        assert daemon.poll() is None, (folder / "dockerd.log").read_text()[-4000:]
        client = engine.start("docker", "version")
        client.communicate()
        return client.returncode == 0

    try:
        wait_until(is_up, "the engine answers", START_TIMEOUT_S)
        yield engine
    finally:
        if daemon.poll() is None:
            if left := engine.docker("ps", "--all", "--quiet").split():
                engine.docker("rm", "--force", *left)
            # A bridge that stays takes its subnet from the next one.
            engine.docker("network", "prune", "--force")
        daemon.terminate()
        daemon.wait(START_TIMEOUT_S)
        shutil.rmtree(folder)


def build_image(engine: Engine) -> None:
    """Build the CPU's image with buildah, and load it into an engine as `IMAGE`."""
    folder = engine.folder / "buildah"
    folder.mkdir()
    (folder / "storage.conf").write_text(
        f'[storage]\ndriver = "overlay"\ngraphroot = "{folder}/storage"\nrunroot = "{folder}/run"\n'
    )
    environment = os.environ | {
        "BUILDAH_ISOLATION": "chroot",
        "STORAGE_DRIVER": "overlay",
        "CONTAINERS_STORAGE_CONF": str(folder / "storage.conf"),
        "TMPDIR": str(folder),
        "DEVICE": "cpu",
        "DOCKER_HOST": engine.host,
    }
    build = [str(ROOT / "deploy/build_image.sh"), "--stand-in-base", f"localhost/{IMAGE}"]
    push = ["buildah", "push", f"localhost/{IMAGE}", f"docker-archive:{folder}/image.tar:{IMAGE}"]
    load = ["docker", "load", "--input", f"{folder}/image.tar"]
    for command in (build, push, load):
        done = subprocess.run(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        assert done.returncode == 0, done.stdout[-4000:]
    shutil.rmtree(folder)
