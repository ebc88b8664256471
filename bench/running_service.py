"""A service process of one's own for as long as a measurement takes."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO

import httpx

POLL_S = 0.02
STOP_TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True)
class RunningService:
    """A service that is ready.

    Attributes:
        url: Where it answers.
        pid: Its first process, the event loop.
        ready_s: Seconds from its start until `/readyz` agreed.
    """

    url: str
    pid: int
    ready_s: float


@contextmanager
def running_service(*, ready_timeout_s: float = 120.0) -> Iterator[str]:
    """Start `expofuse serve` on a free loopback port and stop it at the end.

    The settings of the environment apply, save host and port.

    Args:
        ready_timeout_s: How long the service may take until `/readyz` agrees.

    Yields:
        Base URL of the service.

    Raises:
        RuntimeError: The process ended, or was not ready in time.
    """
    with watched_service(ready_timeout_s=ready_timeout_s) as service:
        yield service.url


@contextmanager
def watched_service(
    *,
    ready_timeout_s: float = 120.0,
    settings: Mapping[str, str] | None = None,
    before: Sequence[str] = (),
    log: IO[bytes] | None = None,
) -> Iterator[RunningService]:
    """The same, for who wants to look at its processes too; writes warnings alone to its log.

    Args:
        ready_timeout_s: See `running_service`.
        settings: Of this service alone; they win over the environment.
        before: A command that becomes the one it is given, as `env` does.
        log: What the service writes goes there; None: where ours goes.

    Raises:
        RuntimeError: See `running_service`.
    """
    port = _free_port()
    url = f"http://127.0.0.1:{port}"
    ours = {"EXPOFUSE_HOST": "127.0.0.1", "EXPOFUSE_PORT": str(port)}
    environment = {"EXPOFUSE_LOG_LEVEL": "warning", **os.environ, **(settings or {}), **ours}
    command = [*before, sys.executable, "-m", "service", "serve"]
    begin_s = time.monotonic()
    process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    try:
        _wait_until_ready(process, url, ready_timeout_s)
        yield RunningService(url, process.pid, time.monotonic() - begin_s)
    finally:
        process.terminate()
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_until_ready(process: subprocess.Popen[bytes], url: str, timeout_s: float) -> None:
    deadline_s = time.monotonic() + timeout_s
    while time.monotonic() < deadline_s:
        if process.poll() is not None:
            raise RuntimeError(f"the service ended with status {process.returncode} at its start")
        try:
            if httpx.get(f"{url}/readyz", timeout=5).status_code == httpx.codes.OK:
                return
        except httpx.TransportError:
            pass
        time.sleep(POLL_S)
    raise RuntimeError(f"the service was not ready within {timeout_s:g} s")
