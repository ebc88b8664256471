"""Keeps shared blocks mapped in a child process, since the same ones come back job after job.

The first touch of a page of shared memory costs a process as much as a copy of four. What stays
mapped is touched for the first time once.
"""

from service.processes.shared_memory import (
    MOUNT,
    AttachedBlock,
    Samples,
    SharedDescriptor,
)

MAX_KNOWN = 256
"""Blocks that stay mapped, each with an open file; a busy service has fewer."""


class KnownBlocks:
    """The blocks that this process has met, mapped until they are gone."""

    def __init__(self) -> None:
        self._blocks: dict[str, AttachedBlock] = {}

    def __len__(self) -> int:
        return len(self._blocks)

    def attach(self, descriptor: SharedDescriptor) -> Samples:
        """View a block, as `AttachedBlock.view` does; mapped now if it is not known.

        Returns:
            The values, writable. The view must not outlive the call or job that it is for: the
            block goes to another one then.

        Raises:
            SharedMemoryError: The block is gone, or smaller than the descriptor says.
        """
        # Taken out and put back: the order is that of use.
        block = self._blocks.pop(descriptor.name, None) or AttachedBlock(descriptor.name)
        self._blocks[descriptor.name] = block
        if len(self._blocks) > MAX_KNOWN:
            self._forget(next(iter(self._blocks)))
        return block.view(descriptor)

    def forget_gone(self) -> None:
        """Unmap the blocks that their owner has removed; their memory is free after that."""
        for name in [name for name in self._blocks if not (MOUNT / name).exists()]:
            self._forget(name)

    def _forget(self, name: str) -> None:
        self._blocks.pop(name).close()
