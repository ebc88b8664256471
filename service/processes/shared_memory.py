"""Shared memory blocks through which pixels pass between the processes.

The event loop's process creates and removes every block; the other processes attach by name and
never remove one, so a process that is killed can neither take a block away from the others nor
leave one behind. A block outlives its owner only when the whole container is killed at once; the
next start removes it (`sweep_stale_blocks`). `block_pool` keeps blocks for the next job, and
`known_blocks` keeps them mapped.
"""

import errno
import fcntl
import mmap
import os
import secrets
import time
from contextlib import suppress
from dataclasses import dataclass
from math import prod
from multiprocessing.shared_memory import SharedMemory
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray

from service.errors import SharedMemoryError
from service.processes.control_groups import find_free_bytes

PREFIX = "expofuse-"
MOUNT = Path("/dev/shm")
"""Where Linux keeps POSIX shared memory; the service runs on Linux only."""

SPARE_BYTES = 32 << 20
"""What a new block leaves of the container's memory, for what processes take meanwhile."""

_MADV_POPULATE_WRITE = 23
"""From `linux/mman.h`; Python has no name for it."""

_FULL = (errno.ENOSPC, errno.ENOMEM)
"""What the system says where a block finds no room."""

SampleType = Literal["uint8", "uint16"]
Samples = NDArray[np.uint8] | NDArray[np.uint16]


@dataclass(frozen=True, slots=True)
class SharedDescriptor:
    """What another process needs to attach a block; plain data.

    Attributes:
        name: Name of the block.
        shape: Shape of the array in it, C order.
        dtype: Type of its values.
    """

    name: str
    shape: tuple[int, ...]
    dtype: SampleType

    @property
    def size_bytes(self) -> int:
        """Bytes that the array takes."""
        return prod(self.shape) * np.dtype(self.dtype).itemsize


class AttachedBlock:
    """A block of this process or another one, mapped into this one until `close`.

    Args:
        name: Of the block.

    Raises:
        SharedMemoryError: The block is gone.
    """

    def __init__(self, name: str) -> None:
        fd = _open_block(name)
        try:
            self._mapping = mmap.mmap(fd, os.fstat(fd).st_size)
        finally:
            os.close(fd)
        # All pages at once: a third less time than a page fault for each of them.
        with suppress(OSError):  # Linux knows it from 5.14 on; elsewhere each page faults.
            self._mapping.madvise(_MADV_POPULATE_WRITE)

    def view(self, descriptor: SharedDescriptor) -> Samples:
        """The values, writable; do not use them after `close`.

        Raises:
            SharedMemoryError: The block is smaller than the descriptor says.
        """
        size_bytes = len(self._mapping)
        if size_bytes < descriptor.size_bytes:
            raise SharedMemoryError(
                f"expected a shared block of at least {descriptor.size_bytes} bytes, "
                f"got {size_bytes}"
            )
        # frombuffer, because its views keep the mapping alive: those of np.ndarray(buffer=...) are
        # left dangling by close.
        values = np.frombuffer(self._mapping, descriptor.dtype, prod(descriptor.shape))
        return values.reshape(descriptor.shape)

    def close(self) -> None:
        """Unmap the block; where a view is still held, with the last view."""
        with suppress(BufferError):
            self._mapping.close()


class SharedArray:
    """A block that this process owns: created here, removed here by `unlink`.

    The owner's process does not map the block until `array` is asked for: the event loop hands
    descriptors around and never reads a pixel.
    """

    def __init__(self, block: SharedMemory, lock_fd: int, descriptor: SharedDescriptor) -> None:
        self._block = block
        self._lock_fd = lock_fd
        self._attached: AttachedBlock | None = None
        self._is_linked = True
        self.descriptor = descriptor

    @classmethod
    def create(cls, shape: tuple[int, ...], dtype: SampleType) -> Self:
        """Create a block and claim its memory.

        The memory is claimed now, so that a full /dev/shm is an error here and not a bus error in
        the process that writes. That takes some 0.1 s a gigabyte: call it in a thread for large
        blocks.

        Args:
            shape: Shape of the array, each axis at least 1.
            dtype: Type of its values.

        Raises:
            SharedMemoryError: /dev/shm has no room for it, or the container no memory.
            OSError: The process may open no more files.
        """
        name = f"{PREFIX}{os.getpid()}-{secrets.token_hex(16)}"
        descriptor = SharedDescriptor(name, shape, dtype)
        if descriptor.size_bytes < 1:
            raise ValueError(f"expected a shape with at least one value, got {shape}")
        _require_free_memory(descriptor.size_bytes)
        try:
            block = SharedMemory(name, create=True, size=descriptor.size_bytes)
        except OSError as error:
            if error.errno not in _FULL:
                raise
            raise _full(descriptor.size_bytes) from error
        block.close()
        try:
            lock_fd = _open_block(name)
        except BaseException:
            block.unlink()
            raise
        # Held until unlink: a block that can be locked has no living owner (sweep_stale_blocks).
        fcntl.flock(lock_fd, fcntl.LOCK_EX)
        array = cls(block, lock_fd, descriptor)
        try:
            os.posix_fallocate(lock_fd, 0, descriptor.size_bytes)
        except OSError as error:
            array.unlink()
            if error.errno not in _FULL:
                raise
            raise _full(descriptor.size_bytes) from error
        return array

    @property
    def array(self) -> Samples:
        """The values, writable; do not use it after `unlink`."""
        if not self._is_linked:
            raise ValueError("expected a linked block, got an unlinked one")
        if self._attached is None:
            self._attached = AttachedBlock(self.descriptor.name)
        return self._attached.view(self.descriptor)

    @property
    def is_linked(self) -> bool:
        """The block still has its name, and others can attach it."""
        return self._is_linked and os.fstat(self._lock_fd).st_nlink > 0

    def unlink(self) -> None:
        """Remove the block; its memory is free once nobody has it mapped. Idempotent."""
        if not self._is_linked:
            return
        self._is_linked = False
        if self._attached is not None:
            self._attached.close()
        os.close(self._lock_fd)
        with suppress(FileNotFoundError):  # Somebody emptied /dev/shm: the aim is reached.
            self._block.unlink()

    def free(self) -> None:
        """Remove the block and free its memory, though others have it mapped.

        For a block that nobody touches any more: whoever did would get a bus error.
        """
        if self._is_linked:
            os.ftruncate(self._lock_fd, 0)
        self.unlink()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.unlink()


def shared_memory_free_bytes() -> int:
    """Free bytes of /dev/shm."""
    room = os.statvfs(MOUNT)
    return room.f_bavail * room.f_frsize


def shared_memory_size_bytes() -> int:
    """Bytes of /dev/shm."""
    room = os.statvfs(MOUNT)
    return room.f_blocks * room.f_frsize


def require_shared_memory(needed_bytes: int) -> None:
    """Check at start that the configured megapixels in flight fit into /dev/shm.

    Raises:
        SharedMemoryError: They do not; the message says what to do.
    """
    free_bytes = shared_memory_free_bytes()
    if free_bytes < needed_bytes:
        raise SharedMemoryError(
            f"expected at least {needed_bytes >> 20} MiB of free shared memory in /dev/shm, got "
            f"{free_bytes >> 20} MiB. A container has 64 MiB unless it is given more: use "
            "`--shm-size` with docker run, `shm_size` in a compose file, an emptyDir volume of "
            "medium Memory at /dev/shm in Kubernetes; or lower the limit of megapixels in flight."
        )


def sweep_stale_blocks(min_age_s: float = 10.0) -> int:
    """Remove the blocks of services that were killed together with their resource tracker.

    A living owner holds a lock on each of its blocks, so another service on the same /dev/shm
    keeps what it uses.

    Args:
        min_age_s: Younger blocks stay: their owner may not have locked them yet.

    Returns:
        The number of blocks removed.
    """
    removed = 0
    for path in MOUNT.glob(f"{PREFIX}*"):
        with suppress(OSError):
            if time.time() - path.stat().st_ctime < min_age_s:
                continue
            with path.open("rb") as block:
                fcntl.flock(block, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink()
                removed += 1
    return removed


def _open_block(name: str) -> int:
    # Not through SharedMemory: that registers the block with the resource tracker (from Python 3.13
    # on it can be told not to), which then removes the owner's block when this process ends.
    try:
        return os.open(MOUNT / name, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError as error:
        raise SharedMemoryError("expected a shared block that exists, got a removed one") from error


def _require_free_memory(wanted_bytes: int) -> None:
    """Refuse what the container has no memory for, before the kernel ends a process for it.

    In the end that is this process: it is the one that asks.
    """
    free_bytes = find_free_bytes()
    if free_bytes is not None and free_bytes < wanted_bytes + SPARE_BYTES:
        raise SharedMemoryError(
            f"expected {wanted_bytes} bytes of memory beside {SPARE_BYTES} that are kept free, "
            f"the container has {free_bytes} left"
        )


def _full(wanted_bytes: int) -> SharedMemoryError:
    return SharedMemoryError(
        f"expected {wanted_bytes} bytes of free shared memory, got {shared_memory_free_bytes()}"
    )
