"""Serves an application with uvicorn on a socket that is bound, until it is told to stop."""

import asyncio
import socket
import ssl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import uvicorn
from starlette.types import ASGIApp

from service.errors import AddressError
from service.http.connections import ConnectionGuard

CLOSE_TIMEOUT_S = 10
"""How long a client may take to read an answer that is ready when the server closes."""

BACKLOG = 2048
"""Connections that wait to be accepted."""


class HttpServer(uvicorn.Server):
    """uvicorn without signal handlers, on one socket.

    Args:
        app: What answers.
        listener: A bound socket.
        guard: Knows its connections.
        tls: Encrypts them; None: nothing does.
        trusted_proxies: Addresses and networks whose `X-Forwarded-For` and `X-Forwarded-Proto` are
            believed.
    """

    def __init__(
        self,
        app: ASGIApp,
        listener: socket.socket,
        guard: ConnectionGuard,
        *,
        tls: ssl.SSLContext | None = None,
        trusted_proxies: Sequence[str] = (),
    ) -> None:
        config = uvicorn.Config(
            app,
            http=guard.protocol,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            # Its own default believes whoever comes from the loopback address.
            proxy_headers=bool(trusted_proxies),
            forwarded_allow_ips=list(trusted_proxies),
            timeout_graceful_shutdown=CLOSE_TIMEOUT_S,
            ssl_context_factory=None if tls is None else lambda *_: tls,
        )
        super().__init__(config)
        self._listener = listener
        self._guard = guard

    @property
    def address(self) -> tuple[str, int]:
        """Host and port."""
        host, port, *_ = self._listener.getsockname()
        return host, port

    async def run_until_stopped(self) -> None:
        """Serve until `stop` or `abandon`; connections that are open then are closed in order."""
        guarding = asyncio.create_task(self._guard.watch())
        try:
            await self.serve()
        finally:
            guarding.cancel()

    def stop(self) -> None:
        """Take no more connections, let those that are open have their answers."""
        self.should_exit = True

    def abandon(self) -> None:
        """Wait for nobody any more."""
        self.should_exit = self.force_exit = True

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """See `uvicorn.Server`, which has no bound on the time of a handshake."""
        await self.lifespan.startup()
        loop = asyncio.get_running_loop()
        try:
            server = await loop.create_server(
                self._create_protocol,
                sock=self._listener,
                backlog=BACKLOG,
                ssl=self.config.ssl,
                ssl_handshake_timeout=self._guard.handshake_timeout_s if self.config.ssl else None,
            )
        except OSError as cause:  # Another has bound it as well, and was the first to listen.
            host, port = self.address
            raise AddressError(f"cannot listen on {host} port {port}: {cause.strerror}") from cause
        self.servers = [server]
        self.started = True

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """See `uvicorn.Server`, which would close the listener at once on SIGTERM."""
        yield

    def _create_protocol(self) -> asyncio.Protocol:
        return self._guard.protocol(
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )
