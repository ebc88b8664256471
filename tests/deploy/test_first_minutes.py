"""The README's first commands, followed from a fresh clone in an environment that has nothing."""

import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import pytest

from tests.server import free_port

pytestmark = pytest.mark.slow

READY_TIMEOUT_S = 900.0
COMMAND_TIMEOUT_S = 300.0
KEPT = ("HOME", "LANG", "PATH", "TMPDIR")
KEPT_PREFIXES = ("PIP_", "SSL_", "http", "HTTP", "no_proxy", "NO_PROXY")
BLOCK = re.compile(r"^```(console|sh|python)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def bare_environment(repository: Path, port: int) -> dict[str, str]:
    """What a shell has before anything is installed: no virtual environment, no settings."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name in KEPT or name.startswith(KEPT_PREFIXES)
    }
    own = str(repository / ".venv")
    folders = [one for one in kept["PATH"].split(os.pathsep) if not one.startswith(own)]
    return kept | {
        "PATH": os.pathsep.join(folders),
        "EXPOFUSE_PORT": str(port),
        "no_proxy": "127.0.0.1",
    }


@contextmanager
def made_server(clone: Path, environment: dict[str, str], log_path: Path) -> Iterator[None]:
    """`make serve`, from nothing to ready, and stopped as by Ctrl-C."""
    with log_path.open("wb") as log:
        process = subprocess.Popen(
            ["make", "serve", "DEVICE=cpu"],
            cwd=clone,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        wait_until_ready(process, f"http://127.0.0.1:{environment['EXPOFUSE_PORT']}", log_path)
        yield
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, 2)
        try:
            process.wait(300)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, 9)


def wait_until_ready(process: subprocess.Popen[bytes], url: str, log_path: Path) -> None:
    end = time.monotonic() + READY_TIMEOUT_S
    while time.monotonic() < end:
        assert process.poll() is None, log_path.read_text(errors="replace")
        with suppress(httpx.TransportError):
            if httpx.get(f"{url}/readyz", trust_env=False).status_code == 200:
                return
        time.sleep(0.5)
    pytest.fail(f"not ready in time:\n{log_path.read_text(errors='replace')}")


@pytest.mark.skipif(shutil.which("git") is None, reason="git is absent")
def test_the_readme_is_true_from_a_fresh_clone(repository: Path, tmp_path: Path) -> None:
    if not (repository / ".git").exists():
        pytest.skip("this is no clone")
    clone = tmp_path / "expofuse"
    subprocess.run(["git", "clone", "--quiet", "--no-local", repository, clone], check=True)
    port = free_port()
    environment = bare_environment(repository, port)
    first, *blocks = BLOCK.findall((clone / "README.md").read_text())
    assert first == ("console", "make serve\n")
    with made_server(clone, environment, tmp_path / "server.log"):
        for language, text in blocks:
            here = text.replace("127.0.0.1:8000", f"127.0.0.1:{port}")
            if language == "console":
                continue
            python = [str(clone / ".venv" / "bin" / "python"), "-c"]
            shell = ["bash", "-euo", "pipefail", "-c"]
            done = subprocess.run(
                [*(python if language == "python" else shell), here],
                cwd=clone,
                env=environment,
                capture_output=True,
                text=True,
                timeout=COMMAND_TIMEOUT_S,
            )
            assert done.returncode == 0, f"{here}\n{done.stderr}"
    names = ("fused.jpg", "fused-here.jpg", "fused-by-python.jpg")
    assert len({(clone / name).read_bytes() for name in names}) == 1
    log = (tmp_path / "server.log").read_text(errors="replace")
    assert "Traceback" not in log, log
