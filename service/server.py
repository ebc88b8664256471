"""Runs the server: sockets, signals, and an end that loses no accepted job."""

import asyncio
import logging
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING

import uvicorn

from model.errors import FusionError
from service.device.backend import BackendConfig, verify_files
from service.http.admin_app import create_admin_app
from service.http.app import create_app
from service.http.connections import ConnectionGuard
from service.http.server import HttpServer
from service.jobs.jobs import Jobs
from service.lifecycle import Service
from service.listening import claim_address
from service.logs import flush_logs
from service.metrics import Metrics
from service.reloads import Reloads
from service.settings import Settings, wants_traces
from service.tls import ServerTls

if TYPE_CHECKING:
    from service.tracing import Tracing

AT_ONCE_S = 1.0
"""How long a second signal waits for jobs to be answered with a problem and processes to end."""

MAX_OPERATORS = 64
"""Connections of the operators' port, which those of everybody else must not take."""

logger = logging.getLogger(__name__)


_Signals = asyncio.Queue[signal.Signals]


class StartError(Exception):
    """The service cannot start; the message is one sentence."""


def run_server(
    settings: Settings, *, worker_command: Sequence[str] | None = None
) -> signal.Signals | None:
    """Serve until SIGTERM or SIGINT, then drain; a second signal ends it at once.

    Args:
        settings: All settings.
        worker_command: Starts the device worker's process; None: the network, on the device.

    Returns:
        The second signal; None: it ended in order.

    Raises:
        StartError: An address is taken, a file is not sound, the system allows too little, or a
            process does not come up.
    """
    factory = uvicorn.Config(app="", log_config=None).get_loop_factory()
    try:
        with asyncio.Runner(loop_factory=factory) as runner:
            return runner.run(_serve(settings, worker_command))
    except FusionError as cause:
        raise StartError(cause.message) from cause
    finally:
        flush_logs()  # What is said last must also be written last.


def make_worker_command(settings: Settings) -> list[str]:
    """The command that starts the device worker's process."""
    config = BackendConfig(
        # Where links lead now: a worker that is replaced loads what the one before had.
        weights_directories=tuple(one.resolve() for one in settings.weights_directories),
        device=settings.device,
        precision=settings.worker.precision,
        threads=settings.worker.threads,
        max_batch=settings.worker.max_batch,
    )
    program = [sys.executable, "-P", "-m", "service.device.child"]
    return [*program, config.to_json(), settings.log_level]


async def _serve(settings: Settings, worker_command: Sequence[str] | None) -> signal.Signals | None:
    signals = _watch_signals()
    hangup = _watch_hangup()
    with ExitStack() as held:
        # Everything that can be known to be wrong, before a process is started.
        listener = held.enter_context(claim_address(settings.host, settings.port))
        admin_listener = None
        if settings.metrics_port is not None:
            host = settings.metrics_host or settings.host
            admin_listener = held.enter_context(claim_address(host, settings.metrics_port))
        if worker_command is None:
            verify_files(settings.weights_directories)
            make_command: Callable[[], Sequence[str]] = partial(make_worker_command, settings)
        else:
            make_command = partial(list, worker_command)
        metrics = Metrics()
        tls = None if settings.tls.certificate is None else ServerTls(settings.tls, metrics)
        tracing = _start_tracing()
        if tracing is not None:
            held.callback(tracing.close)
        service = Service(
            settings, make_command(), renew_command=make_command, metrics=metrics, tracing=tracing
        )
        jobs = None if settings.state_dir is None else Jobs(settings.state_dir, service)
        try:
            starting = asyncio.create_task(_start(service, jobs))
            if await _is_interrupted(starting, signals):
                await _stop(service, jobs)
                return None
            await starting
            servers = _create_servers(service, jobs, listener, admin_listener, tls)
            second = await _serve_requests(service, jobs, servers, signals, hangup)
        except BaseException:
            await _stop(service, jobs)
            raise
    logger.info("stopped")
    return second


def _start_tracing() -> "Tracing | None":
    """Traces where the environment asks for them; they are no reason not to serve."""
    if not wants_traces():
        return None
    try:
        from service.tracing import start_tracing
    except ImportError:
        logger.warning("the OTEL_... variables ask for traces, which need the extra 'otel'")
        return None
    return start_tracing()


def _create_servers(
    service: Service,
    jobs: Jobs | None,
    listener: socket.socket,
    admin_listener: socket.socket | None,
    tls: ServerTls | None,
) -> list[HttpServer]:
    """The server of the main port, and that of operators where they have a port."""
    servers = [
        HttpServer(
            create_app(service, jobs),
            listener,
            ConnectionGuard(service.limits, service.metrics),
            tls=None if tls is None else tls.context,
            trusted_proxies=service.settings.proxies,
        )
    ]
    if tls is not None:
        service.reloads.add("certificate", tls.reload)
    if admin_listener is not None:
        limits = service.limits.model_copy(update={"max_connections": MAX_OPERATORS})
        guard = ConnectionGuard(limits, service.metrics)
        servers.append(HttpServer(create_admin_app(service), admin_listener, guard))
    return servers


async def _start(service: Service, jobs: Jobs | None) -> None:
    await service.start()
    if jobs is not None:
        await jobs.start()


async def _stop(service: Service, jobs: Jobs | None) -> None:
    """Before the processes end, what jobs still run waits for the next start."""
    if jobs is not None:
        await jobs.stop()
    await service.stop()


async def _serve_requests(
    service: Service,
    jobs: Jobs | None,
    servers: Sequence[HttpServer],
    signals: _Signals,
    hangup: asyncio.Event,
) -> signal.Signals | None:
    """Serve until a signal; the second one, where it did not wait for the end."""
    serving = [asyncio.create_task(server.run_until_stopped()) for server in servers]
    reloading = asyncio.create_task(_reload_on_hangup(service.reloads, hangup))
    watching = asyncio.create_task(service.keys.watch())
    first = asyncio.create_task(signals.get())
    for server in servers:
        host, port = server.address
        logger.info("listening", extra={"host": host, "port": port})
    await asyncio.wait({first, *serving}, return_when=asyncio.FIRST_COMPLETED)
    reloading.cancel()
    watching.cancel()
    if not first.done():  # A server could not begin.
        first.cancel()
        for server in servers:
            server.abandon()
        await asyncio.gather(*serving)
        return None
    ending = asyncio.create_task(_end_in_order(service, jobs, servers, serving, first.result()))
    second = asyncio.create_task(signals.get())
    await asyncio.wait({ending, second}, return_when=asyncio.FIRST_COMPLETED)
    if ending.done():
        second.cancel()
        await ending
        return None
    ending.cancel()
    await _end_at_once(service, jobs, servers, serving, second.result())
    return second.result()


async def _end_in_order(
    service: Service,
    jobs: Jobs | None,
    servers: Sequence[HttpServer],
    serving: Sequence[asyncio.Task[None]],
    received: signal.Signals,
) -> None:
    """Finish what was accepted, within `drain_timeout_s`.

    SIGTERM comes from an orchestrator whose balancer still sends requests for a moment, so those
    are served for `drain_pause_s`. SIGINT comes from a keyboard: no pause.
    """
    logger.info("draining", extra={"signal": received.name})
    service.begin_draining()
    if jobs is not None:
        jobs.hold()  # It still takes jobs: the next start runs them.
    if received is signal.SIGTERM:
        await asyncio.sleep(service.settings.drain_pause_s)
    await service.drain(service.settings.drain_timeout_s)
    # First the processes, so that whatever is left is answered; then the connections.
    await _stop(service, jobs)
    for server in servers:
        server.stop()
    await asyncio.gather(*serving)


async def _end_at_once(
    service: Service,
    jobs: Jobs | None,
    servers: Sequence[HttpServer],
    serving: Sequence[asyncio.Task[None]],
    received: signal.Signals,
) -> None:
    """Answer what is left with a problem where that takes no time, and wait for nobody."""
    logger.warning("ending at once", extra={"signal": received.name})
    stopping = asyncio.create_task(_stop(service, jobs))
    await asyncio.wait({stopping}, timeout=AT_ONCE_S)
    for server in servers:
        server.abandon()
    await asyncio.wait(serving, timeout=AT_ONCE_S)


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
