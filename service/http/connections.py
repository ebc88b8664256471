"""Bounds how many connections are open, and how long a client may read nothing."""

import asyncio
import logging
from typing import ClassVar

from service.errors import QueueFullError
from service.http.protocol import RequestProtocol
from service.metrics import Metrics
from service.problems import write_refusal
from service.settings import LimitSettings

STALL_CHECKS = 4
"""Looks in a row at which a connection's unsent bytes must not have moved for it to be cut."""

FAREWELL_S = 1.0
"""How long a refused connection may take to read its answer."""

MAX_FAREWELLS = 64
"""Refused connections beyond this many are closed without an answer."""

logger = logging.getLogger(__name__)


class ConnectionGuard:
    """Knows every open connection; keeps them within a bound and cuts those that stall.

    Above the bound the connection that has been open for longest without a request under way gives
    way, so that idle clients lock out neither others nor a probe; where all are busy, the new one
    is refused.

    Args:
        limits: The bounds.
        metrics: Where the levels are shown.
    """

    def __init__(self, limits: LimitSettings, metrics: Metrics) -> None:
        self._limits = limits
        self._metrics = metrics
        self._open: dict[GuardedProtocol, None] = {}  # Oldest first.
        self._farewells = 0

    @property
    def protocol(self) -> "type[GuardedProtocol]":
        """The class of connections that are known to this guard; uvicorn makes one for each."""
        facts = {
            "guard": self,
            "max_head_bytes": self._limits.max_head_bytes,
            "retry_after_s": self._limits.retry_after_s,
        }
        return type("GuardedProtocol", (GuardedProtocol,), facts)

    async def watch(self) -> None:
        """Cut connections that stall, until cancelled."""
        while True:
            await asyncio.sleep(self._limits.send_stall_timeout_s / STALL_CHECKS)
            for connection in list(self._open):
                if connection.count_stalls() >= STALL_CHECKS:
                    logger.warning("client reads nothing and is cut off")
                    self._metrics.connections_cut.labels("stalled").inc()
                    connection.transport.abort()

    def admit(self, connection: "GuardedProtocol") -> bool:
        """Count a connection in; False when there is no room for it."""
        if len(self._open) >= self._limits.max_connections:
            idle = next((one for one in self._open if one.is_idle), None)
            self._metrics.connections_cut.labels("too-many" if idle is None else "idle").inc()
            if idle is None:
                return False
            self.forget(idle)
            idle.transport.abort()
        self._open[connection] = None
        self._metrics.connections.set(len(self._open))
        return True

    def refuse(self, transport: asyncio.Transport) -> None:
        """Answer a connection that was not admitted, and close it a moment later.

        Closed at once, its client would get a reset while it still sends, and not the answer.
        """
        if self._farewells >= MAX_FAREWELLS:
            transport.abort()
            return
        self._farewells += 1
        most = self._limits.max_connections
        error = QueueFullError(f"expected at most {most} open connections")
        transport.write(write_refusal(error, retry_after_s=self._limits.retry_after_s))
        if transport.can_write_eof():
            transport.write_eof()
        asyncio.get_running_loop().call_later(FAREWELL_S, self._part, transport)

    def forget(self, connection: "GuardedProtocol") -> None:
        """A connection is closed."""
        self._open.pop(connection, None)
        self._metrics.connections.set(len(self._open))

    def _part(self, transport: asyncio.Transport) -> None:
        self._farewells -= 1
        transport.abort()


class GuardedProtocol(RequestProtocol):
    """A connection that is known to a guard."""

    guard: ClassVar[ConnectionGuard]
    _is_admitted = False
    _unsent_bytes = 0
    _stalls = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take the connection up, or refuse it."""
        self._is_admitted = self.guard.admit(self)
        if self._is_admitted:
            super().connection_made(transport)
        else:
            self.guard.refuse(transport)

    def connection_lost(self, error: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        if self._is_admitted:
            self.guard.forget(self)
            super().connection_lost(error)

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`; what a refused client sends is thrown away."""
        if self._is_admitted:
            super().data_received(data)

    def eof_received(self) -> bool:  # type: ignore[override]
        """See `asyncio.Protocol`."""
        return self._is_admitted and super().eof_received()

    def resume_writing(self) -> None:
        """The client has read: see `asyncio.BaseProtocol`."""
        self._stalls = 0
        super().resume_writing()

    def count_stalls(self) -> int:
        """How many times in a row, this one included, the same bytes were found unsent."""
        unsent_bytes = self.transport.get_write_buffer_size()
        has_moved = unsent_bytes == 0 or unsent_bytes != self._unsent_bytes
        self._unsent_bytes = unsent_bytes
        self._stalls = 0 if has_moved else self._stalls + 1
        return self._stalls
