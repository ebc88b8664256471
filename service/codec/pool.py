"""The event loop's side of the codec processes: one queue of calls before them.

Everything that touches untrusted bytes, and alignment, runs in processes that may be killed. The
pool hands calls to them in the order of their jobs' turns. The event loop's process imports
neither torch nor OpenCV nor libvips for this.
"""

import asyncio
import logging
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from expofuse.files.device.outcome import Outcome
from expofuse.files.formats import EncodeOptions, ImageMetadata
from expofuse.files.headers import PixelLimits
from model.exposure import CropMode, GhostsMode, Reference
from model.tiling import Rect
from service.codec.messages import (
    NO_DEVICE,
    AlignMode,
    Answer,
    Call,
    DecodeCall,
    DecodedImage,
    EncodeCall,
    Encoded,
    Failure,
    RegisterCall,
    StackFound,
)
from service.codec.slot import CodecSlot, PendingCall
from service.codec.wear import WearLimits
from service.errors import (
    ChildStartError,
    CodecError,
    QueueFullError,
    WorkerStoppedError,
    error_from_code,
)
from service.metrics import DeviceCallKind, Metrics
from service.processes.child_process import SOURCE_ROOT
from service.processes.confinement import ALL_BARS, Bar, SandboxMode
from service.processes.shared_memory import SharedDescriptor
from service.processes.supervision_limits import SupervisionLimits
from service.turns import AT_ONCE, Turn, WaitingCalls

_PASSED_ON = (
    *("LD_LIBRARY_PATH", "PYTHONHOME", "COVERAGE_PROCESS_START", "COVERAGE_PROCESS_CONFIG"),
    *("CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER"),
)
"""What interpreter and loader may need, and which GPU bears which number; the service's keys are no
business of a decoder."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class CodecPoolConfig:
    """How the pool is driven.

    Attributes:
        processes: Number of codec processes.
        call_timeout_s: Longest time of one call in its process.
        memory_limit_bytes: Private memory that a call may add to its process.
        max_waiting: Most calls that wait for a process.
        limits: How large an image may be.
        supervision: How patient the supervisors of the processes are.
        cpu_limit_s: CPU time of one call, of all its threads.
        wear: After what a process is replaced by a new one.
        sandbox: Whether the processes give up what they do not need, and whether they must.
        threads_per_process: Threads of OpenCV and BLAS in each.
        abandon_grace_s: Time that a call has to end once nobody waits for it.
        log_level: Least severe level that the processes log.
        jpeg_device: What decodes and encodes JPEG files beside the CPU, see `DeviceJpeg`; None:
            nothing does.
        program: Interpreter arguments that name what a process runs.
    """

    processes: int
    call_timeout_s: float
    memory_limit_bytes: int
    max_waiting: int
    limits: PixelLimits
    supervision: SupervisionLimits
    cpu_limit_s: float = 60.0
    wear: WearLimits = field(default_factory=WearLimits)
    sandbox: SandboxMode = "auto"
    threads_per_process: int = 1
    abandon_grace_s: float = 2.0
    log_level: str = "info"
    jpeg_device: str | None = None
    program: tuple[str, ...] = ("-P", "-m", "service.codec.child")


class CodecPool:
    """Codec processes behind one queue; used from one event loop.

    Args:
        config: How it is driven.
        metrics: Where waiting and working time are shown; None: nowhere.

    Example:
        ``pool = CodecPool(config)``, ``await pool.start()``, then any number of concurrent
        ``await pool.decode(...)``, at the end ``await pool.stop()``.
    """

    def __init__(self, config: CodecPoolConfig, metrics: Metrics | None = None) -> None:
        self._config = config
        self._metrics = metrics or Metrics()
        self._slots = [self._make_slot() for _ in range(config.processes)]
        self._waiting: WaitingCalls[PendingCall] = WaitingCalls()
        self._accepted: set[PendingCall] = set()
        self._is_open = False
        self._renewal: asyncio.Task[None] | None = None
        self._renewed = _Counts()
        self._metrics.codec_queue_calls.set_function(lambda: len(self._waiting))

    @property
    def alive(self) -> int:
        """Processes that are warmed up now."""
        return sum(slot.is_up for slot in self._slots)

    @property
    def running(self) -> int:
        """Calls that a process is working on, those that nobody waits for any more among them."""
        return sum(slot.is_running for slot in self._slots)

    @property
    def waiting(self) -> int:
        """Calls that wait for a process."""
        return len(self._waiting)

    @property
    def pids(self) -> list[int]:
        """Process ids of the processes that are alive."""
        return [slot.pid for slot in self._slots if slot.pid is not None]

    @property
    def restarts(self) -> int:
        """Processes that had to be replaced so far."""
        return self._renewed.restarts + sum(slot.restarts for slot in self._slots)

    @property
    def start_failures(self) -> int:
        """Starts of a process that failed so far."""
        failures = sum(slot.start_failures for slot in self._slots)
        return self._renewed.start_failures + failures

    @property
    def violations(self) -> int:
        """Processes so far that said what they had no reason to say."""
        return self._renewed.violations + sum(slot.violations for slot in self._slots)

    @property
    def renewals(self) -> int:
        """Processes so far that were replaced because they had worked enough."""
        return self._renewed.renewals

    @property
    def confined_by(self) -> tuple[Bar, ...]:
        """What keeps every process in, see `processes.confinement`."""
        bars = [set(slot.confined_by) for slot in self._slots]
        return tuple(bar for bar in ALL_BARS if all(bar in one for one in bars))

    def is_using(self, block: str) -> bool:
        """A process works on a call that may touch the block of this name."""
        return any(slot.is_using(block) for slot in self._slots)

    def ping(self) -> None:
        """Have every process come round once it is idle, see `Supervisor.ping`."""
        for slot in self._slots:
            slot.ping()

    async def start(self) -> None:
        """Start all processes at once; return when each has run everything once.

        Raises:
            ChildStartError: One did not come up; the others are stopped.
        """
        self._is_open = True
        starts = [asyncio.create_task(slot.start()) for slot in self._slots]
        try:
            await asyncio.gather(*starts)
        except BaseException:
            for one in starts:
                one.cancel()
            await asyncio.gather(*starts, return_exceptions=True)
            await self.stop()
            raise
        bars = self.confined_by
        is_as_wanted = bars == ALL_BARS or self._config.sandbox == "off"
        logger.log(
            logging.INFO if is_as_wanted else logging.WARNING,
            "codec processes are confined" if bars else "codec processes are not confined",
            extra={"by": bars, "sandbox": self._config.sandbox},
        )

    async def stop(self) -> None:
        """End all processes; calls that are not settled fail with `WorkerStoppedError`."""
        self._is_open = False
        if self._renewal is not None:
            self._renewal.cancel()
            await asyncio.gather(self._renewal, return_exceptions=True)
        await asyncio.gather(*(slot.stop() for slot in self._slots))
        self._waiting.clear()
        for pending in list(self._accepted):
            pending.fail(WorkerStoppedError("expected a running codec pool, got a stopped one"))

    async def decode(
        self,
        data: bytes | bytearray | memoryview,
        *,
        destination: SharedDescriptor,
        white_balance: tuple[float, ...] | None = None,
        turn: Turn = AT_ONCE,
    ) -> DecodedImage:
        """Decode a file into a block; see `expofuse.files.reading.decode.decode`.

        Args:
            data: The whole file, untrusted; must not change before the call is settled.
            destination: Block for the pixels: as many samples as the sniffed size says, uint16
                if this image or the other of its pair has 16 bits.
            white_balance: Of a raw file; None takes the camera's.
            turn: Of its job.

        Returns:
            Where the pixels are, with their shape after orientation, and the metadata.

        Raises:
            MediaTypeError, ImageDecodeError, UnsupportedImageError, PixelLimitError: the image.
            CodecError, QueueFullError, WorkerStoppedError: the pool.
        """
        call = DecodeCall(destination, self._config.limits, white_balance)
        answer, _ = await self._submit(call, data, turn)
        if not isinstance(answer, DecodedImage):
            raise _unexpected(answer)
        self._note_device("decode", answer.on_device)
        return answer

    async def register(
        self,
        images: Sequence[DecodedImage],
        *,
        align: AlignMode,
        ghosts: GhostsMode = "auto",
        reference: int | None = None,
        pair_reference: Reference = "over",
        crop: CropMode = "none",
        rooms: Sequence[SharedDescriptor] = (),
        turn: Turn = AT_ONCE,
    ) -> StackFound:
        """Check that decoded images form a stack, order them, and align them.

        Args:
            images: The images, decoded, as the client sent them.
            align: `off` does not look, `require` makes a refused alignment an error.
            ghosts: `off` does not look for what moved.
            reference: Number of the image that stays where it is, from 1; None leaves the choice.
            pair_reference: Of a pair, the exposure that is then chosen; the weights' manifest
                says which.
            crop: `common` refuses images that share no frame to cut the picture to.
            rooms: Blocks, each as large as any image, for images that are turned and for those that
                are brought to the size of the reference; as many as there can be.
            turn: Of its job.

        Returns:
            The order, the reference, the alignment, what moved, and where the exposures lie.

        Raises:
            ExposureError: They do not form a stack, see `model.register.register`.
            AlignmentError: `require`, and the gates refused.
            CodecError, QueueFullError, WorkerStoppedError: the pool.
        """
        call = RegisterCall(
            tuple(images), tuple(rooms), align, ghosts, reference, pair_reference, crop
        )
        answer, _ = await self._submit(call, b"", turn)
        if not isinstance(answer, StackFound):
            raise _unexpected(answer)
        return answer

    async def encode(
        self,
        pixels: SharedDescriptor,
        *,
        options: EncodeOptions,
        metadata: ImageMetadata,
        frame: Rect | None = None,
        turn: Turn = AT_ONCE,
    ) -> bytes:
        """Encode a block; see `expofuse.files.writing.encode.encode`.

        Args:
            pixels: RGB in sRGB, shape (H, W, 3).
            options: Format, quality, depth.
            metadata: That of the under exposure.
            frame: The part of the block that is encoded; None for all of it.
            turn: Of its job.

        Returns:
            The file.

        Raises:
            OptionError: The format cannot meet the options.
            CodecError, QueueFullError, WorkerStoppedError: the pool.
        """
        answer, file = await self._submit(EncodeCall(pixels, frame, options, metadata), b"", turn)
        if not isinstance(answer, Encoded):
            raise _unexpected(answer)
        self._note_device("encode", answer.on_device)
        return file

    async def _submit(
        self, call: Call, payload: bytes | bytearray | memoryview, turn: Turn
    ) -> tuple[Answer, bytes]:
        if not self._is_open:
            raise WorkerStoppedError("expected a running codec pool, got a stopped one")
        is_free = any(slot.is_free for slot in self._slots)
        if not is_free and len(self._waiting) >= self._config.max_waiting:
            raise QueueFullError(
                f"expected at most {self._config.max_waiting} calls to wait for a codec process, "
                "got one more"
            )
        pending = PendingCall(call, payload, asyncio.get_running_loop().create_future())
        self._accepted.add(pending)
        self._waiting.add(pending, turn)
        self._dispatch()
        try:
            answer, result = await pending.future
        finally:
            # A caller that left: a waiting call is dropped, a running one is its slot's business.
            self._accepted.discard(pending)
            self._waiting.discard(pending)
        if isinstance(answer, Failure):
            raise error_from_code(answer.code, answer.message)
        return answer, result

    def _dispatch(self) -> None:
        """Give waiting calls to free slots."""
        free = [slot for slot in self._slots if slot.is_free]
        # One that comes alone may use the cores of the processes that have nothing to do.
        threads = max(1, len(free) - len(self._waiting) + 1)
        for slot in free:
            if not self._waiting:
                break
            pending = self._waiting.take()
            if isinstance(pending.call, RegisterCall):
                pending.call = replace(pending.call, threads=threads)
            waited_s = time.monotonic() - pending.queued_at
            self._metrics.codec_wait_seconds.observe(waited_s)
            slot.run(pending)

    def _note_work(self, pending: PendingCall, seconds: float) -> None:
        self._metrics.codec_busy_seconds.labels(pending.call.kind).inc(seconds)

    def _note_device(self, call: DeviceCallKind, outcome: Outcome | None) -> None:
        if outcome is not None and self._config.jpeg_device is not None:
            self._metrics.codec_device_jpegs.labels(call, outcome).inc()

    def _note_free(self) -> None:
        self._dispatch()
        if self._renewal is None and self._is_open:
            worn = next((slot for slot in self._slots if slot.is_worn), None)
            if worn is not None:
                self._renewal = asyncio.create_task(self._renew(worn), name="codec-renewal")

    async def _renew(self, worn: CodecSlot) -> None:
        """Replace a process that has worked enough; the new one serves before the old one ends."""
        fresh = self._make_slot()
        try:
            await fresh.start()
            self._slots.append(fresh)
            self._dispatch()
            await worn.retire()
            self._slots.remove(worn)
            self._renewed.add(worn)
            logger.info("codec process is renewed", extra={"pid": fresh.pid})
        except ChildStartError as error:
            logger.error("codec process is not renewed", extra={"reason": error.message})
            self._renewed.start_failures += 1
            await asyncio.sleep(self._config.supervision.backoff_max_s)
        finally:
            if fresh not in self._slots:
                await fresh.stop()
            self._renewal = None

    def _take_back(self, pending: PendingCall) -> None:
        """A call that had its turn goes first."""
        self._waiting.add_first(pending)
        self._dispatch()

    def _make_slot(self) -> CodecSlot:
        config = self._config
        arguments = (
            config.memory_limit_bytes,
            config.threads_per_process,
            config.log_level,
            config.cpu_limit_s,
            config.sandbox,
            config.jpeg_device or NO_DEVICE,
        )
        return CodecSlot(
            command=[sys.executable, *config.program, *map(str, arguments)],
            environment=_make_environment(config.threads_per_process),
            limits=config.supervision,
            call_timeout_s=config.call_timeout_s,
            abandon_grace_s=config.abandon_grace_s,
            wear=config.wear,
            on_free=self._note_free,
            take_back=self._take_back,
            note_work=self._note_work,
        )


@dataclass(slots=True)
class _Counts:
    """What was counted of processes that are renewed."""

    renewals: int = 0
    restarts: int = 0
    start_failures: int = 0
    violations: int = 0

    def add(self, slot: CodecSlot) -> None:
        self.renewals += 1
        self.restarts += slot.restarts
        self.start_failures += slot.start_failures
        self.violations += slot.violations


def _make_environment(threads: int) -> dict[str, str]:
    passed_on = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    return passed_on | {
        "PYTHONPATH": str(SOURCE_ROOT),
        "LANG": "C.UTF-8",
        "OMP_NUM_THREADS": str(threads),
        "OPENBLAS_NUM_THREADS": str(threads),
        # Both would print warnings, which may quote the file.
        "VIPS_WARNING": "0",
        "OPENCV_LOG_LEVEL": "SILENT",
        # nvImageCodec prints too; what it fails at is told in its place.
        "PYNVIMGCODEC_VERBOSITY": "0",
        "CUDA_CACHE_DISABLE": "1",
    }


def _unexpected(answer: Answer) -> CodecError:
    return CodecError(f"expected the answer to the call, got {type(answer).__name__}")
