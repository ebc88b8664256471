"""Renews what a running service has read at its start, when SIGHUP asks for it."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

logger = logging.getLogger(__name__)


class Reloads:
    """What is read again on SIGHUP: each by its name, in the order in which it was added.

    One that fails leaves in force what it would have replaced, and keeps none of the others.
    """

    def __init__(self) -> None:
        self._reloads: dict[str, Callable[[], Awaitable[None]]] = {}
        self._turn = asyncio.Lock()

    def add(self, name: str, reload: Callable[[], Awaitable[None]]) -> None:
        """Let something be read again.

        Args:
            name: What it is, as the log names it; added again under this name, it is replaced.
            reload: Reads it, checks it, and puts it in force only then; what it raises is logged.
        """
        self._reloads[name] = reload

    async def run(self) -> None:
        """Read everything again, one after another; a second call waits for the first."""
        async with self._turn:
            for name, reload in list(self._reloads.items()):
                try:
                    await reload()
                except Exception as error:  # Whatever it is, the old goes on serving.
                    logger.error("reload failed, the old stays", exc_info=error, extra={"of": name})
                else:
                    logger.info("reloaded", extra={"of": name})
