"""Killable processes for everything that touches untrusted bytes, and for alignment.

Each process has a slot: an asyncio task that starts it, gives it one call after another and
replaces it when it is over its time, over its memory, or dead. A call whose process was killed is
run again once on another one; a call that loses two processes fails. The event loop's process
imports neither torch nor OpenCV nor libvips for this.
"""

import asyncio
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field

from expofuse.files.formats import EncodeOptions, ImageMetadata
from expofuse.files.headers import PixelLimits
from model.errors import FusionError
from model.exposure import Reference
from service.codec.loop_side import CallNotBegunError, ChildDiedError, CodecChild
from service.codec.messages import (
    AlignCall,
    AlignMode,
    Answer,
    Call,
    DecodeCall,
    DecodedImage,
    EncodeCall,
    Encoded,
    Failure,
    PairAlignment,
)
from service.errors import (
    CodecCrashError,
    CodecError,
    CodecMemoryError,
    CodecStartError,
    CodecTimeoutError,
    QueueFullError,
    WorkerStoppedError,
    error_from_code,
)
from service.processes.shared_memory import SharedDescriptor

MAX_DEATHS = 2
"""A call that this many processes had begun when they died is held to be the cause."""

FIRST_BACKOFF_S, MAX_BACKOFF_S = 0.5, 10.0


@dataclass(frozen=True, slots=True)
class CodecPoolConfig:
    """How the pool is driven.

    Attributes:
        processes: Number of codec processes.
        job_timeout_s: Longest time of one call in its process.
        memory_limit_bytes: Private memory that a call may add to its process.
        max_waiting: Most calls that wait for a process.
        limits: How large an image may be.
        threads_per_process: Threads of OpenCV and BLAS in each.
        start_timeout_s: Longest time from a start to the first call.
    """

    processes: int
    job_timeout_s: float
    memory_limit_bytes: int
    max_waiting: int
    limits: PixelLimits
    threads_per_process: int = 1
    start_timeout_s: float = 60.0


@dataclass(slots=True, eq=False)
class _Pending:
    call: Call
    payload: bytes | bytearray | memoryview
    future: asyncio.Future[tuple[Answer, bytes]]
    deaths: int = field(default=0)

    def fail(self, error: FusionError) -> None:
        if not self.future.done():
            self.future.set_exception(error)


class CodecPool:
    """Codec processes behind one queue; used from one event loop.

    Args:
        config: How it is driven.

    Example:
        ``pool = CodecPool(config)``, ``await pool.start()``, then any number of concurrent
        ``await pool.decode(...)``, at the end ``await pool.stop()``.
    """

    def __init__(self, config: CodecPoolConfig) -> None:
        self._config = config
        self._slots: list[asyncio.Task[None]] = []
        self._waiting: deque[_Pending] = deque()
        self._idle: deque[asyncio.Future[_Pending | None]] = deque()
        self._accepted: set[_Pending] = set()
        self._is_open = False
        self._alive = 0
        self._running = 0
        self._restarts = 0

    @property
    def alive(self) -> int:
        """Processes that are warmed up now."""
        return self._alive

    @property
    def running(self) -> int:
        """Calls that a process is working on, those that nobody waits for any more among them."""
        return self._running

    @property
    def waiting(self) -> int:
        """Calls that wait for a process."""
        return len(self._waiting)

    @property
    def restarts(self) -> int:
        """Processes that had to be replaced so far."""
        return self._restarts

    async def start(self) -> None:
        """Start all processes at once; return when each has run everything once.

        Raises:
            CodecStartError: One did not come up; the others are stopped.
        """
        self._is_open = True
        loop = asyncio.get_running_loop()
        started = [loop.create_future() for _ in range(self._config.processes)]
        self._slots = [asyncio.create_task(self._run_slot(first)) for first in started]
        try:
            await asyncio.gather(*started)
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """End all processes; calls that are not settled fail with `WorkerStoppedError`."""
        self._is_open = False
        for slot in self._slots:
            slot.cancel()
        await asyncio.gather(*self._slots, return_exceptions=True)
        self._slots = []
        self._waiting.clear()
        for pending in list(self._accepted):
            pending.fail(WorkerStoppedError("expected a running codec pool, got a stopped one"))

    async def decode(
        self, data: bytes | bytearray | memoryview, *, destination: SharedDescriptor
    ) -> DecodedImage:
        """Decode a file into a block; see `expofuse.files.images.decode`.

        Args:
            data: The whole file, untrusted; must not change before the call is settled.
            destination: Block for the pixels: as many samples as the sniffed size says, uint16
                if this image or the other of its pair has 16 bits.

        Returns:
            Where the pixels are, with their shape after orientation, and the metadata.

        Raises:
            MediaTypeError, ImageDecodeError, UnsupportedImageError, PixelLimitError: the image.
            CodecError, QueueFullError, WorkerStoppedError: the pool.
        """
        answer, _ = await self._submit(DecodeCall(destination, self._config.limits), data)
        if not isinstance(answer, DecodedImage):
            raise _unexpected(answer)
        return answer

    async def align(
        self,
        first: SharedDescriptor,
        second: SharedDescriptor,
        *,
        mode: AlignMode,
        reference: Reference = "over",
    ) -> PairAlignment:
        """Check that two decoded images form a pair, order them, and align them.

        Args:
            first: The image that the client called under.
            second: The image that the client called over.
            mode: `off` only orders, `require` makes a refused alignment an error.
            reference: The exposure that stays where it is; the weights' manifest says which.

        Returns:
            The order and the alignment report.

        Raises:
            ExposureError: They differ in size, or are too small.
            AlignmentError: `require`, and the gates refused.
            CodecError, QueueFullError, WorkerStoppedError: the pool.
        """
        answer, _ = await self._submit(AlignCall(first, second, mode, reference), b"")
        if not isinstance(answer, PairAlignment):
            raise _unexpected(answer)
        return answer

    async def encode(
        self, pixels: SharedDescriptor, *, options: EncodeOptions, metadata: ImageMetadata
    ) -> bytes:
        """Encode a block; see `expofuse.files.images.encode`.

        Args:
            pixels: RGB in sRGB, shape (H, W, 3).
            options: Format, quality, depth.
            metadata: That of the under exposure.

        Returns:
            The file.

        Raises:
            OptionError: The format cannot meet the options.
            CodecError, QueueFullError, WorkerStoppedError: the pool.
        """
        answer, file = await self._submit(EncodeCall(pixels, options, metadata), b"")
        if not isinstance(answer, Encoded):
            raise _unexpected(answer)
        return file

    async def _submit(
        self, call: Call, payload: bytes | bytearray | memoryview
    ) -> tuple[Answer, bytes]:
        if not self._is_open:
            raise WorkerStoppedError("expected a running codec pool, got a stopped one")
        if not self._idle and len(self._waiting) >= self._config.max_waiting:
            raise QueueFullError(
                f"expected at most {self._config.max_waiting} calls to wait for a codec process, "
                "got one more"
            )
        pending = _Pending(call, payload, asyncio.get_running_loop().create_future())
        self._accepted.add(pending)
        self._enqueue(pending)
        try:
            answer, result = await pending.future
        finally:
            # A caller that left: a waiting call is dropped, a running one finishes for nobody.
            self._accepted.discard(pending)
            with suppress(ValueError):
                self._waiting.remove(pending)
        if isinstance(answer, Failure):
            raise error_from_code(answer.code, answer.message)
        return answer, result

    def _enqueue(self, pending: _Pending, *, is_first: bool = False) -> None:
        """Give a call to an idle slot, or let it wait; one that had its turn goes first."""
        while self._idle:
            idle = self._idle.popleft()
            if not idle.done():
                idle.set_result(pending)
                return
        if is_first:
            self._waiting.appendleft(pending)
        else:
            self._waiting.append(pending)

    async def _run_slot(self, started: asyncio.Future[None]) -> None:
        backoff_s = FIRST_BACKOFF_S
        while True:
            try:
                process = await CodecChild.start(
                    memory_limit_bytes=self._config.memory_limit_bytes,
                    threads=self._config.threads_per_process,
                    timeout_s=self._config.start_timeout_s,
                )
            except CodecStartError as error:
                if not started.done():
                    started.set_exception(error)
                    return
                await asyncio.sleep(backoff_s)
                backoff_s = min(2 * backoff_s, MAX_BACKOFF_S)
                continue
            backoff_s = FIRST_BACKOFF_S
            self._alive += 1
            if not started.done():
                started.set_result(None)
            try:
                await self._serve(process)
            finally:
                self._alive -= 1
                await process.kill()
            self._restarts += 1

    async def _serve(self, process: CodecChild) -> None:
        """Run calls until the process must be replaced."""
        while (pending := await self._next_call(process)) is not None:
            if pending.future.done():
                continue
            self._running += 1
            try:
                is_usable = await self._run(pending, process)
            finally:
                self._running -= 1
            if not is_usable:
                return

    async def _next_call(self, process: CodecChild) -> _Pending | None:
        """Wait for a call, or for the death of the idle process (None)."""
        if process.exited.done():
            return None
        if self._waiting:
            return self._waiting.popleft()
        idle: asyncio.Future[_Pending | None] = asyncio.get_running_loop().create_future()

        def wake(_: asyncio.Task[int]) -> None:
            if not idle.done():
                idle.set_result(None)

        self._idle.append(idle)
        process.exited.add_done_callback(wake)
        try:
            return await idle
        finally:
            process.exited.remove_done_callback(wake)
            with suppress(ValueError):
                self._idle.remove(idle)

    async def _run(self, pending: _Pending, process: CodecChild) -> bool:
        """Settle a call, or let it wait again; False when the process must be replaced."""
        timeout_s = self._config.job_timeout_s
        try:
            async with asyncio.timeout(timeout_s):
                answer, result = await process.call(pending.call, pending.payload)
        except TimeoutError:
            pending.fail(
                CodecTimeoutError(f"expected a result within {timeout_s:g} s, got none in time")
            )
            return False
        except ChildDiedError as error:
            pending.deaths += not isinstance(error, CallNotBegunError)
            if pending.deaths >= MAX_DEATHS:
                pending.fail(
                    CodecCrashError(
                        f"expected a result, got {pending.deaths} processes that died at this call"
                    )
                )
            elif not pending.future.done():
                self._enqueue(pending, is_first=True)
            return False
        if not pending.future.done():
            pending.future.set_result((answer, result))
        # What a library does after an allocation failed is not worth finding out.
        return not (isinstance(answer, Failure) and answer.code == CodecMemoryError.code)


def _unexpected(answer: Answer) -> CodecError:
    return CodecError(f"expected the answer to the call, got {type(answer).__name__}")
