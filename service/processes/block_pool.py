"""Keeps shared memory blocks for the next job, for as long as jobs come.

New memory is dear: the system clears it, and each process that touches a page of it for the first
time takes a fault. A block that comes back has its pages, and the child processes have it mapped.

A block goes to another job only when no process can write into it any more: none works on it, and
none was lost while its job ran, which might be dying still. Of any other the name is removed; the
memory follows when the processes let go. What a job finds in its blocks is whatever was there:
who fills a block writes all of the array that is described.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from service.errors import SharedMemoryError
from service.processes.shared_memory import SharedArray

IDLE_S = 20.0
"""How long a block waits for its next job."""

MIN_STEP_BYTES = 1 << 16
STEPS_PER_DOUBLING = 16
"""Sizes are rounded up by a sixteenth, or 64 KiB: pictures of nearly one size share blocks."""

logger = logging.getLogger(__name__)


def round_size(n_bytes: int) -> int:
    """The size of a block for so many bytes.

    Example:
        >>> round_size(1), round_size(5_000_000), round_size(5_100_000)
        (65536, 5242880, 5242880)
    """
    step = max(MIN_STEP_BYTES, (1 << n_bytes.bit_length() - 1) // STEPS_PER_DOUBLING)
    return -(-n_bytes // step) * step


class BlockUser(Protocol):
    """Child processes that read and write blocks."""

    @property
    def restarts(self) -> int:
        """Processes lost so far; counted before their work goes to others."""
        ...

    def is_using(self, block: str) -> bool:
        """A process may touch the block of this name, for whatever it was given to do."""
        ...

    def ping(self) -> None:
        """Have idle processes come round, which lets go of blocks that are gone."""
        ...


@dataclass(frozen=True, slots=True)
class _Idle:
    block: SharedArray
    since: float


class BlockPool:
    """Blocks of memory for jobs, taken and given back; used from one event loop.

    Args:
        max_bytes: Of all blocks, used and idle, before idle ones give way. It refuses nobody:
            admission counts what jobs need.
        users: Whose processes touch the blocks.
        idle_s: How long a block waits for its next job.
    """

    def __init__(
        self, max_bytes: int, users: Sequence[BlockUser], *, idle_s: float = IDLE_S
    ) -> None:
        self._max_bytes = max_bytes
        self._users = users
        self._idle_s = idle_s
        self._idle: deque[_Idle] = deque()  # Longest idle first.
        self._held_bytes = 0
        self._timer: asyncio.TimerHandle | None = None
        self._removals: set[asyncio.Future[None]] = set()
        self._is_closed = False

    @property
    def held_bytes(self) -> int:
        """Of all blocks, used and idle."""
        return self._held_bytes

    @property
    def idle_bytes(self) -> int:
        """Of those that wait for a job."""
        return sum(one.block.descriptor.size_bytes for one in self._idle)

    def count_losses(self) -> int:
        """Child processes lost so far."""
        return sum(user.restarts for user in self._users)

    async def take(self, n_bytes: int) -> SharedArray:
        """A block of at least so many bytes, with whatever is in it, for one job.

        Raises:
            SharedMemoryError: /dev/shm has no room for it.
        """
        size_bytes = round_size(n_bytes)
        if (block := self._take_idle(size_bytes)) is not None:
            return block
        self._held_bytes += size_bytes
        try:
            await self._make_room(self._max_bytes)
            try:
                return await self._create(size_bytes)
            except SharedMemoryError:
                if not self._idle:
                    raise
            await self._make_room(0)
            return await self._create(size_bytes)
        except BaseException:
            self._held_bytes -= size_bytes
            raise

    def give_back(self, blocks: Iterable[SharedArray], *, losses: int) -> None:
        """Take a job's blocks back; kept where it is certain that nobody touches them.

        Args:
            blocks: Of the job, which is over: it has no call or job left that waits to begin.
            losses: What `count_losses` said when the job began.
        """
        is_certain = not self._is_closed and losses == self.count_losses()
        now = asyncio.get_running_loop().time()
        for block in blocks:
            name = block.descriptor.name
            if is_certain and not any(user.is_using(name) for user in self._users):
                self._idle.append(_Idle(block, now))
            else:
                self._held_bytes -= block.descriptor.size_bytes
                self._in_thread(block.unlink)
        self._set_timer()

    async def close(self) -> None:
        """Remove the idle blocks, and what is given back from now on."""
        self._is_closed = True
        if self._timer is not None:
            self._timer.cancel()
        while self._idle:
            self._drop(self._idle.popleft())
        while self._removals:
            await asyncio.wait(self._removals)

    def _take_idle(self, size_bytes: int) -> SharedArray | None:
        for index in reversed(range(len(self._idle))):  # The caches know the last one best.
            block = self._idle[index].block
            if block.descriptor.size_bytes == size_bytes:
                found = self._idle[index]
                del self._idle[index]
                if block.is_linked:
                    return block
                self._drop(found)  # Somebody emptied /dev/shm.
                return self._take_idle(size_bytes)
        return None

    async def _make_room(self, max_bytes: int) -> None:
        """Drop those that are idle longest until all are within so many bytes."""
        removals: list[asyncio.Future[None]] = []
        while self._idle and self._held_bytes > max_bytes:
            removals.append(self._drop(self._idle.popleft()))
        if removals:
            await asyncio.wait(removals)

    async def _create(self, size_bytes: int) -> SharedArray:
        loop = asyncio.get_running_loop()
        creation = loop.run_in_executor(None, SharedArray.create, (size_bytes,), "uint8")
        try:
            return await asyncio.shield(creation)
        except asyncio.CancelledError:
            creation.add_done_callback(_unlink_late)
            raise

    def _drop(self, idle: _Idle) -> asyncio.Future[None]:
        self._held_bytes -= idle.block.descriptor.size_bytes
        return self._in_thread(idle.block.free)

    def _in_thread(self, remove: Callable[[], None]) -> asyncio.Future[None]:
        """Off the event loop: a large block takes tens of milliseconds."""
        removal = asyncio.get_running_loop().run_in_executor(None, remove)
        self._removals.add(removal)
        removal.add_done_callback(self._note_removed)
        return removal

    def _note_removed(self, removal: asyncio.Future[None]) -> None:
        self._removals.discard(removal)
        if not removal.cancelled() and (error := removal.exception()) is not None:
            logger.error("a shared block was not removed", exc_info=error)
        if not self._removals:
            for user in self._users:
                user.ping()

    def _set_timer(self) -> None:
        if self._idle and self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_at(self._idle[0].since + self._idle_s, self._drop_expired)

    def _drop_expired(self) -> None:
        self._timer = None
        now = asyncio.get_running_loop().time()
        while self._idle and now - self._idle[0].since >= self._idle_s:
            self._drop(self._idle.popleft())
        self._set_timer()


def _unlink_late(creation: asyncio.Future[SharedArray]) -> None:
    if not creation.cancelled() and creation.exception() is None:
        creation.result().unlink()
