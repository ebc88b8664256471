"""The real server process for tests: on a free loopback port, stopped as an orchestrator would."""

import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.paths import ROOT

LOG_TAIL_LINES = 60
CHOSEN_BY_CALLER = {"EXPOFUSE_WEIGHTS", "EXPOFUSE_WEIGHTS_DIR"}


class ServerStartError(AssertionError):
    """The server ended, or was not ready in time."""


@dataclass(frozen=True, slots=True)
class RunningServer:
    """A ready `expofuse serve`."""

    base_url: str
    process: subprocess.Popen[bytes]
    log_path: Path

    def log(self) -> str:
        """Everything the service has written so far."""
        return self.log_path.read_text(errors="replace")


def free_port() -> int:
    """A loopback port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def server_environment(port: int, overrides: Mapping[str, str]) -> dict[str, str]:
    """The caller's environment, of our settings only which weights, plus those of the test."""
    inherited = {
        key: value
        for key, value in os.environ.items()
        if not key.upper().startswith("EXPOFUSE_") or key in CHOSEN_BY_CALLER
    }
    ours = {
        "EXPOFUSE_HOST": "127.0.0.1",
        "EXPOFUSE_PORT": str(port),
        "EXPOFUSE_DEVICE": "cpu",
    }
    return inherited | ours | dict(overrides)


def run_to_its_end(environment: dict[str, str], *prefix: str) -> subprocess.CompletedProcess[str]:
    """Start a service that is expected to refuse its start.

    Args:
        environment: settings.
        prefix: what runs it, where that is not a bare process.
    """
    return subprocess.run(
        [*prefix, sys.executable, "-m", "service", "serve"],
        cwd=ROOT,
        env=server_environment(free_port(), environment),
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


@contextmanager
def running_server(
    environment: Mapping[str, str] | None = None,
    *,
    log_path: Path,
    python: str = sys.executable,
    open_files: int | None = None,
    trust: ssl.SSLContext | None = None,
    port: int | None = None,
    ready_timeout_s: float = 600.0,
    stop_timeout_s: float = 300.0,
) -> Iterator[RunningServer]:
    """Start the service, wait until `/readyz` answers 200, and stop it at the end.

    Args:
        environment: settings of this server; they win over the fixture's own.
        log_path: file that receives what the service writes to stdout and stderr.
        python: interpreter that runs it.
        open_files: how many files the server may have open, soft and hard; None: as here.
        trust: what a client trusts of a server with TLS; None: it has none.
        port: where it listens; None: on any free one.
        ready_timeout_s: how long the start may take.
        stop_timeout_s: how long the service may take to end after SIGTERM before it is killed.
    """
    port = port or free_port()
    with log_path.open("wb") as log:
        process = subprocess.Popen(
            [*limit_files(open_files), python, "-m", "service", "serve"],
            cwd=ROOT,
            env=server_environment(port, environment or {}),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    scheme = "http" if trust is None else "https"
    server = RunningServer(f"{scheme}://127.0.0.1:{port}", process, log_path)
    try:
        _wait_until_ready(server, trust or True, ready_timeout_s)
        yield server
    finally:
        _stop(process, stop_timeout_s)


def limit_files(open_files: int | None) -> list[str]:
    """A command that runs another one with so few files."""
    return [] if open_files is None else ["sh", "-c", f'ulimit -n {open_files}; exec "$@"', "sh"]


def _wait_until_ready(
    server: RunningServer, verify: ssl.SSLContext | bool, timeout_s: float
) -> None:
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if (code := server.process.poll()) is not None:
            raise ServerStartError(f"the server ended with {code}:\n{_tail(server)}")
        # trust_env: a proxy in the environment must not see loopback requests.
        with suppress(httpx.TransportError):
            readiness = httpx.get(f"{server.base_url}/readyz", trust_env=False, verify=verify)
            if readiness.status_code == 200:
                return
        time.sleep(0.1)
    raise ServerStartError(f"not ready within {timeout_s:g} s:\n{_tail(server)}")


def _tail(server: RunningServer) -> str:
    return "\n".join(server.log().splitlines()[-LOG_TAIL_LINES:])


def _stop(process: subprocess.Popen[bytes], timeout_s: float) -> None:
    process.send_signal(signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        process.wait(timeout_s)
    # The group outlives its leader while a child does; after a clean stop there is none.
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
