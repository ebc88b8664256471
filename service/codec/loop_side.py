"""The event loop's end of one codec process: its start, its pipes, its end."""

import asyncio
import os
import signal
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from pydantic import ValidationError

from service.codec.frames import PREFIX, call_to_json, json_to_answer
from service.codec.messages import Answer, Call, Ready
from service.errors import CodecStartError

CHUNK_BYTES = 1 << 20
MAX_MESSAGE_BYTES, MAX_PAYLOAD_BYTES = 1 << 20, 1 << 31
"""A process that an image has taken over may announce anything."""

_PASSED_ON = ("LD_LIBRARY_PATH", "PYTHONHOME", "COVERAGE_PROCESS_START", "COVERAGE_PROCESS_CONFIG")
"""What interpreter and loader may need; the service's keys are no business of a decoder."""


class ChildDiedError(Exception):
    """The process ended while a call was running in it, or answered nonsense."""


class CallNotBegunError(ChildDiedError):
    """The process ended before it read the call, which cannot have been the cause."""


class CodecChild:
    """One process and its pipes."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.exited = asyncio.create_task(process.wait())

    @classmethod
    async def start(
        cls, *, memory_limit_bytes: int, threads: int, timeout_s: float
    ) -> "CodecChild":
        """Start a process and wait until it is warmed up.

        Args:
            memory_limit_bytes: Private memory that a call may add.
            threads: Threads of OpenCV and BLAS.
            timeout_s: Longest time until it is warmed up.

        Raises:
            CodecStartError: It ended, or took too long.
        """
        process = cls(
            await asyncio.create_subprocess_exec(
                sys.executable,
                "-P",
                "-m",
                "service.codec.child",
                str(os.getpid()),
                str(memory_limit_bytes),
                str(threads),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                limit=CHUNK_BYTES,
                env=_environment(threads),
            )
        )
        try:
            async with asyncio.timeout(timeout_s):
                answer, _ = await process.read_answer()
            if not isinstance(answer, Ready):
                raise ChildDiedError
        except BaseException as error:
            await process.kill()
            if isinstance(error, TimeoutError | ChildDiedError):
                raise CodecStartError(
                    f"expected a codec process within {timeout_s:g} s, "
                    f"got exit status {process.exited.result()}"
                ) from error
            raise
        return process

    async def call(
        self, call: Call, payload: bytes | bytearray | memoryview
    ) -> tuple[Answer, bytes]:
        """Send a call and wait for its answer.

        Raises:
            CallNotBegunError: The process ended before it read the call.
            ChildDiedError: It ended later, or its answer is no answer.
        """
        with suppress(ConnectionError):  # Reading comes to the same end, and knows what was begun.
            await self._send(call, payload)
        try:
            await self.read_answer()
        except ChildDiedError as error:
            raise CallNotBegunError from error
        return await self.read_answer()

    async def _send(self, call: Call, payload: bytes | bytearray | memoryview) -> None:
        stdin = self._process.stdin
        assert stdin is not None
        message = call_to_json(call)
        view = memoryview(payload).cast("B")
        stdin.write(PREFIX.pack(len(message), len(view)) + message)
        for start in range(0, len(view), CHUNK_BYTES):
            stdin.write(view[start : start + CHUNK_BYTES])
            await stdin.drain()
        await stdin.drain()

    async def read_answer(self) -> tuple[Answer, bytes]:
        """Read one answer and its payload.

        Raises:
            ChildDiedError: The pipe ended before it did, or it is no answer.
        """
        stdout = self._process.stdout
        assert stdout is not None
        try:
            prefix = await stdout.readexactly(PREFIX.size)
            message_bytes, payload_bytes = PREFIX.unpack(prefix)
            if message_bytes > MAX_MESSAGE_BYTES or payload_bytes > MAX_PAYLOAD_BYTES:
                raise ChildDiedError
            answer = json_to_answer(await stdout.readexactly(message_bytes))
            return answer, await stdout.readexactly(payload_bytes)
        except (asyncio.IncompleteReadError, ConnectionError, ValidationError) as error:
            raise ChildDiedError from error

    async def kill(self) -> None:
        """End the process and wait until it is gone, also when the caller is cancelled."""
        if not self.exited.done():
            # Not Popen.kill: that collects the exit status before asyncio's watcher can.
            with suppress(ProcessLookupError):
                os.kill(self._process.pid, signal.SIGKILL)
        is_cancelled = False
        while not self.exited.done():
            try:
                await asyncio.shield(self.exited)
            except asyncio.CancelledError:
                is_cancelled = True
        if is_cancelled:
            raise asyncio.CancelledError


def _environment(threads: int) -> Mapping[str, str]:
    passed_on = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    return passed_on | {
        "PYTHONPATH": str(Path(__file__).resolve().parents[2]),
        "LANG": "C.UTF-8",
        "OMP_NUM_THREADS": str(threads),
        "OPENBLAS_NUM_THREADS": str(threads),
        # libvips would print warnings, which may quote the file.
        "VIPS_WARNING": "0",
    }
