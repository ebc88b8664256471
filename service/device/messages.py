"""The messages between the event loop and the device worker; plain, typed values."""

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from model.exposure import StackAlignment
from model.ghosts.ghost_map import PackedGhost
from service.processes.shared_memory import SharedDescriptor
from service.processes.wire import Ping, Pong, StartFailed, Stop, Wire
from service.served_weights import WorkerInfo

EXIT_LOST_DEVICE = 70
"""Exit code of a worker that ended itself because its device is lost."""


@dataclass(frozen=True, slots=True)
class FuseJob:
    """One stack to be fused.

    Attributes:
        exposures: The exposures, RGB, dark to bright, where they lie; of one shape and type.
        order: Which of the images given each of them is, from 0.
        output: Where the picture goes, same shape and type.
        reference: The exposure that the others lie on, from 0, dark to bright.
        alignment: How the exposures lie on it; None warps nothing.
        ghosts: What moved in each exposure; None replaces nothing.
        weights: Label of the weights version that fuses it, one that the worker serves.
        is_alone: The service had nothing else to do when it came.
    """

    exposures: tuple[SharedDescriptor, ...]
    order: tuple[int, ...]
    output: SharedDescriptor
    reference: int
    alignment: StackAlignment | None
    ghosts: tuple[PackedGhost | None, ...] | None
    weights: str
    is_alone: bool = False

    @property
    def blocks(self) -> tuple[SharedDescriptor, ...]:
        """What it may touch."""
        return (*self.exposures, self.output)


@dataclass(frozen=True, slots=True)
class Submit:
    """To the worker: run this job; the number is never used again.

    Attributes:
        number: The job's.
        job: What is to be fused.
        rank: Of its turn; the lowest one is first.
    """

    number: int
    job: FuseJob
    rank: float = 0.0
    kind: Literal["submit"] = "submit"


@dataclass(frozen=True, slots=True)
class Cancel:
    """To the worker: nobody waits for this job any more.

    It answers `Cancelled`, unless `Finished` or `Failed` of that job is already on its way.
    """

    number: int
    kind: Literal["cancel"] = "cancel"


@dataclass(frozen=True, slots=True)
class Ready:
    """From the worker: loaded and warmed up."""

    info: WorkerInfo
    kind: Literal["ready"] = "ready"


@dataclass(frozen=True, slots=True)
class Started:
    """From the worker: the job's first window is about to be computed.

    Attributes:
        number: The job.
        at: `time.monotonic()`, one clock for all processes of a machine.
    """

    number: int
    at: float
    kind: Literal["started"] = "started"


@dataclass(frozen=True, slots=True)
class Finished:
    """From the worker: every window of the job is in its output."""

    number: int
    at: float
    kind: Literal["finished"] = "finished"


@dataclass(frozen=True, slots=True)
class Failed:
    """From the worker: this job, and only this one, failed.

    Attributes:
        number: The job.
        code: Code of an error class of the project.
        message: Its message.
    """

    number: int
    code: str
    message: str
    kind: Literal["failed"] = "failed"


@dataclass(frozen=True, slots=True)
class Cancelled:
    """From the worker: the job is dropped, as asked for."""

    number: int
    kind: Literal["cancelled"] = "cancelled"


@dataclass(frozen=True, slots=True)
class BatchDone:
    """From the worker: one network call returned.

    Attributes:
        windows: Windows in it.
        seconds: Time it took.
        memory_bytes: What the worker holds of the device's memory now; 0 on a CPU.
    """

    windows: int
    seconds: float
    memory_bytes: int = 0
    kind: Literal["batch-done"] = "batch-done"


@dataclass(frozen=True, slots=True)
class OutOfMemory:
    """From the worker: the device's memory did not hold a micro-batch, or what a job keeps there.

    It tries again with less; a job that fails for it is another message.
    """

    kind: Literal["out-of-memory"] = "out-of-memory"


ToWorker = Annotated[Submit | Cancel | Ping | Stop, Field(discriminator="kind")]
FromWorker = Annotated[
    Ready | Started | Finished | Failed | Cancelled | BatchDone | OutOfMemory | Pong | StartFailed,
    Field(discriminator="kind"),
]
DEVICE_WIRE: Wire[ToWorker, FromWorker] = Wire(TypeAdapter(ToWorker), TypeAdapter(FromWorker))
