"""Bounds how many connections are open, and cuts those whose clients take too long."""

import asyncio
import logging
from typing import ClassVar

from service.errors import QueueFullError
from service.http.patience import Patience
from service.http.protocol import RequestProtocol
from service.metrics import CutReason, Metrics
from service.problems import write_refusal
from service.settings import LimitSettings

WATCH_INTERVAL_S = 0.5
"""Between two looks at a connection; one takes a few microseconds."""

FAREWELL_S = 1.0
"""How long a refused connection may take to read its answer."""

MAX_FAREWELLS = 64
"""Refused connections beyond this many are closed without an answer."""

logger = logging.getLogger(__name__)


class ConnectionGuard:
    """Knows every open connection; keeps them within a bound and cuts those that take too long.

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
        self._open: dict[GuardedProtocol, Patience] = {}  # Oldest first.
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

    @property
    def handshake_timeout_s(self) -> float:
        """How long the handshake of TLS may take, before which a connection is not known here."""
        return self._limits.head_timeout_s

    async def watch(self) -> None:
        """Cut connections whose clients take too long, until cancelled."""
        clock = asyncio.get_running_loop().time
        while True:
            await asyncio.sleep(WATCH_INTERVAL_S)
            now = clock()
            for connection, patience in list(self._open.items()):
                reason = patience.look(now)
                if reason is not None:
                    self._cut(connection, patience, reason)

    def find_room(self) -> bool:
        """Make room for a connection; False when there is none."""
        if len(self._open) >= self._limits.max_connections:
            idle = next((one for one in self._open if one.is_idle), None)
            self._metrics.connections_cut.labels("too-many" if idle is None else "idle").inc()
            if idle is None:
                return False
            self.forget(idle)
            idle.transport.abort()
        return True

    def admit(self, connection: "GuardedProtocol") -> None:
        """Count a connection in that there is room for."""
        now = asyncio.get_running_loop().time()
        self._open[connection] = Patience(connection, self._limits, now)
        self._metrics.connections.inc()

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
        if self._open.pop(connection, None) is not None:
            self._metrics.connections.dec()

    def _cut(self, connection: "GuardedProtocol", patience: Patience, reason: CutReason) -> None:
        level = logging.DEBUG if reason == "no-request" else logging.WARNING
        logger.log(level, "client takes too long and is cut off", extra={"reason": reason})
        self._metrics.connections_cut.labels(reason).inc()
        error = patience.explain(reason)
        if error is not None:
            connection.refuse(error)
        elif reason == "no-request":
            connection.transport.close()
        else:
            connection.transport.abort()

    def _part(self, transport: asyncio.Transport) -> None:
        self._farewells -= 1
        transport.abort()


class GuardedProtocol(RequestProtocol):
    """A connection that is known to a guard."""

    guard: ClassVar[ConnectionGuard]
    _is_admitted = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take the connection up, or refuse it."""
        self._is_admitted = self.guard.find_room()
        if self._is_admitted:
            super().connection_made(transport)
            self.guard.admit(self)
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
