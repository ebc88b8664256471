"""Runs the server: sockets, signals, and an end that loses no accepted job."""

import asyncio
import logging
import signal
import socket
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import prometheus_client
import uvicorn

from model.errors import FusionError
from service.device.backend import BackendConfig
from service.http.app import create_app
from service.http.connections import ConnectionGuard
from service.lifecycle import Service
from service.logs import flush_logs
from service.reloads import Reloads
from service.settings import Settings

CLOSE_TIMEOUT_S = 10
"""How long a client may take to read an answer that is ready when the server closes."""

logger = logging.getLogger(__name__)


_Signals = asyncio.Queue[signal.Signals]


class StartError(Exception):
    """The service cannot start; the message is one sentence."""


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers: it would close the listener at once on SIGTERM."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def run_server(settings: Settings, *, worker_command: Sequence[str] | None = None) -> None:
    """Serve until SIGTERM or SIGINT, then drain.

    Args:
        settings: All settings.
        worker_command: Starts the device worker's process; None: the network, on the device.

    Raises:
        StartError: An address is taken, the weights do not pass, or a process does not come up.
    """
    config = uvicorn.Config(
        app="",
        loop="auto",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=CLOSE_TIMEOUT_S,
    )
    factory = config.get_loop_factory()
    try:
        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(_serve(settings, config, worker_command or make_worker_command(settings)))
    finally:
        flush_logs()  # What is said last must also be written last.


def make_worker_command(settings: Settings) -> list[str]:
    """The command that starts the device worker's process."""
    config = BackendConfig(
        weights_directories=settings.weights_directories,
        device=settings.device,
        precision=settings.worker.precision,
        threads=settings.worker.threads,
        max_batch=settings.worker.max_batch,
    )
    program = [sys.executable, "-P", "-m", "service.device.child"]
    return [*program, config.to_json(), settings.log_level]


async def _serve(settings: Settings, config: uvicorn.Config, worker_command: Sequence[str]) -> None:
    signals = _watch_signals()
    hangup = _watch_hangup()
    with _bind(settings.host, settings.port) as listener:
        try:
            service = Service(settings, worker_command)
            starting = asyncio.create_task(service.start())
            if await _is_interrupted(starting, signals):
                await service.stop()
                return
            await starting
        except FusionError as cause:
            raise StartError(cause.message) from cause
        try:
            with _serve_metrics(service, settings):
                await _serve_requests(service, settings, config, listener, signals, hangup)
        finally:
            await service.stop()
    logger.info("stopped")


async def _serve_requests(
    service: Service,
    settings: Settings,
    config: uvicorn.Config,
    listener: socket.socket,
    signals: _Signals,
    hangup: asyncio.Event,
) -> None:
    config.app = create_app(service)
    guard = ConnectionGuard(service.limits, service.metrics)
    config.http = guard.protocol
    server = _Server(config)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    guarding = asyncio.create_task(guard.watch())
    draining = asyncio.create_task(_drain_on_signal(service, settings, signals))
    reloading = asyncio.create_task(_reload_on_hangup(service.reloads, hangup))
    host, port, *_ = listener.getsockname()
    logger.info("listening", extra={"host": host, "port": port})
    await asyncio.wait({serving, draining}, return_when=asyncio.FIRST_COMPLETED)
    for task in (draining, guarding, reloading):
        task.cancel()
    # First the processes, so that whatever is left is answered; then the connections.
    await service.stop()
    server.should_exit = True
    await serving


async def _is_interrupted(task: asyncio.Task[None], signals: _Signals) -> bool:
    """Wait for a task or a signal; a signal that comes first cancels the task."""
    interrupt = asyncio.create_task(signals.get())
    await asyncio.wait({task, interrupt}, return_when=asyncio.FIRST_COMPLETED)
    if task.done():
        interrupt.cancel()
        return False
    task.cancel()
    await asyncio.wait({task})
    return True


async def _drain_on_signal(service: Service, settings: Settings, signals: _Signals) -> None:
    """Wait for a signal, then drain; a second signal ends the wait.

    SIGTERM comes from an orchestrator whose balancer still sends requests for a moment, so those
    are served for `drain_pause_s`. SIGINT comes from a keyboard: no pause.
    """
    received = await signals.get()
    logger.info("draining", extra={"signal": received.name})
    service.begin_draining()

    async def drain() -> None:
        if received is signal.SIGTERM:
            await asyncio.sleep(settings.drain_pause_s)
        await service.drain(settings.drain_timeout_s)

    await _is_interrupted(asyncio.create_task(drain()), signals)


async def _reload_on_hangup(reloads: Reloads, hangup: asyncio.Event) -> None:
    while True:
        await hangup.wait()
        hangup.clear()
        await reloads.run()


def _watch_hangup() -> asyncio.Event:
    """Set by SIGHUP from now on, which would end the process otherwise."""
    received = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, received.set)
    return received


def _watch_signals() -> _Signals:
    received: _Signals = asyncio.Queue()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, received.put_nowait, number)
    return received


def _bind(host: str, port: int) -> socket.socket:
    """Claim the address; nothing is accepted before the service is warmed up."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
    except OSError as cause:
        listener.close()
        raise StartError(f"cannot listen on {host} port {port}: {cause.strerror}") from cause
    return listener


@contextmanager
def _serve_metrics(service: Service, settings: Settings) -> Iterator[None]:
    """Serve the metrics on a port of their own, where the settings name one."""
    if settings.metrics_port is None:
        yield
        return
    try:
        server, thread = prometheus_client.start_http_server(
            settings.metrics_port, settings.host, service.metrics.registry
        )
    except OSError as cause:
        raise StartError(
            f"cannot listen on {settings.host} port {settings.metrics_port}: {cause.strerror}"
        ) from cause
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
