"""What the event loop's process and the device worker say to each other; plain data."""

from dataclasses import dataclass

from model.errors import FusionError
from model.exposure import AlignmentReport, Reference
from service.processes.shared_memory import SharedDescriptor


@dataclass(frozen=True, slots=True)
class FuseJob:
    """One pair to be fused.

    Attributes:
        under: The darker exposure, RGB, where it lies.
        over: The brighter exposure, same shape and type.
        output: Where the picture goes, same shape and type.
        is_swapped: The caller gave the brighter exposure first.
        report: How the exposures lie on each other; None warps nothing.
        weights: Label of the weights version that fuses it, one that the worker serves.
    """

    under: SharedDescriptor
    over: SharedDescriptor
    output: SharedDescriptor
    is_swapped: bool
    report: AlignmentReport | None
    weights: str


@dataclass(frozen=True, slots=True)
class Submit:
    """To the worker: run this job; the number is never used again."""

    number: int
    job: FuseJob


@dataclass(frozen=True, slots=True)
class Cancel:
    """To the worker: nobody waits for this job any more; unknown numbers are ignored."""

    number: int


@dataclass(frozen=True, slots=True)
class Stop:
    """To the worker: end now; sent when no job is left."""


@dataclass(frozen=True, slots=True)
class ServedWeights:
    """One weights version that the worker has loaded.

    Attributes:
        name: Its name.
        version: Its semantic version.
        architecture: Architecture of its network.
        summary: What it is, in a sentence or two; may be empty.
        reference: Exposure onto which the other is warped for it.
        precision: Precision of its network's feature maps.
    """

    name: str
    version: str
    architecture: str
    summary: str
    reference: Reference
    precision: str

    @property
    def label(self) -> str:
        """Name and version as one word."""
        return f"{self.name}-{self.version}"


@dataclass(frozen=True, slots=True)
class WorkerInfo:
    """What the worker runs, for `/version`, `/weights` and the metrics.

    Attributes:
        weights: Every version that is served, at least one; the first is the default.
        device: `cpu` or `cuda:N`.
    """

    weights: tuple[ServedWeights, ...]
    device: str


@dataclass(frozen=True, slots=True)
class Ready:
    """From the worker: loaded and warmed up."""

    info: WorkerInfo


@dataclass(frozen=True, slots=True)
class StartFailed:
    """From the worker: it cannot serve, and this sentence says why."""

    message: str


@dataclass(frozen=True, slots=True)
class Started:
    """From the worker: the job's first window is about to be computed.

    Attributes:
        number: The job.
        at: `time.monotonic()`, one clock for all processes of a machine.
    """

    number: int
    at: float


@dataclass(frozen=True, slots=True)
class Finished:
    """From the worker: every window of the job is in its output."""

    number: int
    at: float


@dataclass(frozen=True, slots=True)
class Failed:
    """From the worker: this job, and only this one, failed."""

    number: int
    error: FusionError


@dataclass(frozen=True, slots=True)
class BatchDone:
    """From the worker: one network call returned.

    Attributes:
        windows: Windows in it.
        seconds: Time it took.
    """

    windows: int
    seconds: float


ToWorker = Submit | Cancel | Stop
FromWorker = Ready | StartFailed | Started | Finished | Failed | BatchDone
