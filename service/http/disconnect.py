"""Cancels a request when its client leaves; pure ASGI, without polling."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from starlette.types import Receive

from service.errors import DisconnectedError


@asynccontextmanager
async def cancel_when_client_leaves(receive: Receive) -> AsyncIterator[None]:
    """Cancel the block when the client closes its connection.

    Args:
        receive: Of a request whose body was read to its end, so that the next message can only
            be the disconnect.

    Raises:
        DisconnectedError: Instead of the cancellation, when it was the client that left.
    """
    task = asyncio.current_task()
    assert task is not None
    has_left = False

    async def watch() -> None:
        nonlocal has_left
        while (await receive())["type"] != "http.disconnect":
            pass
        has_left = True
        task.cancel()

    watcher = asyncio.create_task(watch(), name="disconnect-watcher")
    already_cancelling = task.cancelling()
    try:
        yield
    except asyncio.CancelledError as cause:
        if has_left and task.uncancel() <= already_cancelling:
            raise DisconnectedError("the client left before its answer") from cause
        raise
    finally:
        watcher.cancel()
        with suppress(asyncio.CancelledError):
            await watcher
