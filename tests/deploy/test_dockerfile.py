"""The Dockerfile copies what exists and keeps no secrets; the health check tells ready from not."""

import http.server
import re
import subprocess
import sys
import threading
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path

import pytest

from tests.server import free_port


@pytest.fixture
def dockerfile(repository: Path) -> str:
    return (repository / "Dockerfile").read_text()


def test_finished_image_has_nothing_of_the_base_it_was_built_on(dockerfile: str) -> None:
    bases = re.findall(r"^FROM (\S+)", dockerfile, re.MULTILINE)
    assert bases == ["debian:bookworm-slim", "scratch"]


def test_dockerfile_names_the_version_of_the_project(dockerfile: str, repository: Path) -> None:
    project = tomllib.loads((repository / "pyproject.toml").read_text())["project"]
    assert re.findall(r"^ARG VERSION=(.*)$", dockerfile, re.MULTILINE) == [project["version"]]


def test_process_runs_as_a_numeric_user_who_is_not_root(dockerfile: str) -> None:
    (user,) = re.findall(r"^USER (\d+):\d+$", dockerfile, re.MULTILINE)
    assert int(user) > 0


def test_registry_settings_come_in_as_secrets_only(dockerfile: str) -> None:
    installs = re.findall(r"^RUN (?:.*\\\n)*.*pip install.*", dockerfile, re.MULTILINE)
    assert len(installs) == 2
    assert all("--mount=type=secret,id=pip_conf" in install for install in installs)
    assert "pip.conf" not in "".join(re.findall(r"^(?:COPY|ADD|ENV) .*", dockerfile, re.MULTILINE))


def test_modules_are_compiled_once_and_without_a_time(dockerfile: str) -> None:
    # Those that pip compiles name the times of files, which the image's times then contradict.
    assert re.findall(r"\bPIP_NO_COMPILE=(\S+)", dockerfile) == ["0"]
    compilations = re.findall(r"-m compileall (.*)", dockerfile)
    assert len(compilations) == 3
    assert all("-f --invalidation-mode unchecked-hash" in command for command in compilations)


def test_nothing_runs_in_the_final_stage(dockerfile: str) -> None:
    # A RUN would leave the mount points of a build's volumes behind.
    assert "\nRUN " not in dockerfile[dockerfile.rindex("\nFROM ") :]


def test_everything_copied_exists_and_reaches_the_build(repository: Path, dockerfile: str) -> None:
    ignored = (repository / ".dockerignore").read_text().splitlines()
    kept = [line.removeprefix("!") for line in ignored if line.startswith("!")]
    copies = re.findall(r"^COPY (?!--from)(.+) \S+$", dockerfile, re.MULTILINE)
    sources = [source for copy in copies for source in copy.split()]
    assert len(sources) >= 8
    for source in sources:
        assert (repository / source).exists(), source
        assert any(Path(source).is_relative_to(name) for name in kept), source


@contextmanager
def answering(status: HTTPStatus) -> Iterator[int]:
    """A server on loopback that gives every GET this status; yields its port."""
    asked: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()
    assert asked == ["/readyz"]


def health_status(repository: Path, port: int) -> int:
    # A proxy of the environment must not be asked about loopback.
    environment = {"EXPOFUSE_PORT": str(port), "http_proxy": "http://127.0.0.1:9"}
    command = [sys.executable, "-m", "service", "health"]
    return subprocess.run(command, env=environment, cwd=repository, timeout=300).returncode


@pytest.mark.parametrize(
    ("status", "expected"), [(HTTPStatus.OK, 0), (HTTPStatus.SERVICE_UNAVAILABLE, 1)]
)
def test_health_check_follows_readiness(
    repository: Path, status: HTTPStatus, expected: int
) -> None:
    with answering(status) as port:
        assert health_status(repository, port) == expected


def test_health_check_fails_where_nothing_listens(repository: Path) -> None:
    assert health_status(repository, free_port()) == 1
