"""Holds the shared memory blocks of one job and gives them back together."""

from math import prod
from types import TracebackType
from typing import Self

import numpy as np

from service.processes.block_pool import BlockPool
from service.processes.shared_memory import SampleType, SharedArray, SharedDescriptor


class JobBlocks:
    """Blocks that a job has for the length of a `with`, whenever it is cancelled.

    Args:
        pool: Where they come from and go back to.
    """

    def __init__(self, pool: BlockPool) -> None:
        self._pool = pool
        self._losses = pool.count_losses()
        self._blocks: list[SharedArray] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._pool.give_back(self._blocks, losses=self._losses)

    async def take(self, shape: tuple[int, ...], dtype: SampleType) -> SharedDescriptor:
        """Take a block without blocking the event loop; nobody has cleared it.

        Args:
            shape: Of the array in it, each axis at least 1.
            dtype: Type of its values.

        Raises:
            SharedMemoryError: /dev/shm has no room for it.
        """
        block = await self._pool.take(prod(shape) * np.dtype(dtype).itemsize)
        self._blocks.append(block)
        return SharedDescriptor(block.descriptor.name, shape, dtype)
