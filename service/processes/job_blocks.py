"""Holds the shared memory blocks of one job and frees them together."""

import asyncio
from types import TracebackType
from typing import Self

from service.processes.shared_memory import SampleType, SharedArray, SharedDescriptor


class JobBlocks:
    """Blocks that live as long as a `with`; nothing is left behind, whenever it is cancelled."""

    def __init__(self) -> None:
        self._blocks: list[SharedArray] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for block in self._blocks:
            block.unlink()

    async def create(self, shape: tuple[int, ...], dtype: SampleType) -> SharedDescriptor:
        """Claim a block without blocking the event loop.

        Raises:
            SharedMemoryError: /dev/shm has no room for it.
        """
        creation = asyncio.ensure_future(asyncio.to_thread(SharedArray.create, shape, dtype))
        try:
            block = await asyncio.shield(creation)
        except asyncio.CancelledError:
            creation.add_done_callback(_unlink_late)
            raise
        self._blocks.append(block)
        return block.descriptor


def _unlink_late(creation: asyncio.Future[SharedArray]) -> None:
    if not creation.cancelled() and creation.exception() is None:
        creation.result().unlink()
