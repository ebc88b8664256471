"""Loads the weights in the device worker's process, and puts a few calls before them."""

import hashlib
import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import TypeAdapter

from model.errors import WeightsError
from model.exposure import ExposureStack, Pixels
from model.registration import Registration
from model.tiling import Window
from service.served_weights import ServedWeights, WorkerInfo

if TYPE_CHECKING:
    from model.manifest import Manifest
    from model.pipeline import FusionPipeline, FusionRun

FailureKind = Literal["memory", "device", "job"]
WARM_UP_TILES = 2
"""Side of the warm-up picture in tiles: the fewest that have windows of every kind."""


@dataclass(frozen=True, slots=True)
class BackendPipeline:
    """The calls that the worker's loop makes into one loaded weights version.

    Attributes:
        max_batch: Most windows in one micro-batch.
        shared_batch: Windows up to which a micro-batch is filled from several jobs: as many as
            the device needs to be busy. More would make the first of them wait for the others.
        warm_up: Runs the real shapes once.
        begin: Plans the fusion of one stack into a given output.
        fuse_windows: Fuses one micro-batch of windows of equal keys.
    """

    max_batch: int
    shared_batch: int
    warm_up: Callable[[], None]
    begin: Callable[[ExposureStack, Registration, Pixels], "FusionRun"]
    fuse_windows: Callable[[Sequence[tuple["FusionRun", Window]]], None]


@dataclass(frozen=True, slots=True)
class Backend:
    """Every loaded weights version, and what they share: the device.

    Attributes:
        info: What is served, and on what.
        pipelines: One for each version of `info`, by its label.
        classify: Whether an error means too little memory, a lost device, or this job alone.
        free_memory: Gives cached device memory back before a smaller attempt.
        measure_memory: Bytes of the device's memory that this process holds; 0 on a CPU.
    """

    info: WorkerInfo
    pipelines: Mapping[str, BackendPipeline]
    classify: Callable[[Exception], FailureKind]
    free_memory: Callable[[], None]
    measure_memory: Callable[[], int] = lambda: 0


BackendFactory = Callable[[], Backend]
"""Called once, in the worker's process."""


@dataclass(frozen=True, slots=True)
class BackendConfig:
    """What the settings say about the device; crosses to the worker's process as JSON."""

    weights_directories: tuple[Path, ...]
    device: str
    precision: Literal["auto", "float32", "bfloat16", "float16"]
    threads: int | None
    max_batch: int | None

    @staticmethod
    def from_json(text: str) -> "BackendConfig":
        """Read what `to_json` wrote."""
        return TypeAdapter(BackendConfig).validate_json(text)

    def to_json(self) -> str:
        """Write the config as JSON."""
        return TypeAdapter(BackendConfig).dump_json(self).decode()


def verify_files(directories: Sequence[Path]) -> None:
    """Check what can be checked of weights before a process is started for them.

    Args:
        directories: One for each version.

    Raises:
        WeightsError: A file is missing or not as its manifest says, or two have one label.
    """
    from model import manifest

    _refuse_equal_labels(directories)
    for directory in directories:
        manifest.verify_files(directory)


def create_backend(config: BackendConfig) -> Backend:
    """Load every version onto the device; imports what computes, in the worker's process only.

    Raises:
        WeightsError: A version does not pass its checks, those of what the device makes of the
            golden pair among them, or two have one label.
        DeviceError: The device is not there, or torch is not installed for it.
    """
    from model.device import choose_precision, resolve_device
    from model.pipeline import create_pipeline
    from model.release.golden_picture import verify_picture
    from model.release.weights import load_weights

    _refuse_equal_labels(config.weights_directories)
    device = resolve_device(config.device)
    precision = choose_precision(device, config.precision)
    served: list[ServedWeights] = []
    pipelines: dict[str, BackendPipeline] = {}
    for directory in config.weights_directories:
        weights = load_weights(directory)
        pipeline = create_pipeline(
            weights, device=device, precision=precision, threads=config.threads
        )
        verify_picture(weights.manifest, pipeline.fuse, precision=pipeline.precision)
        served.append(_describe(weights.manifest, pipeline.precision))
        max_batch = config.max_batch or pipeline.preferred_batch
        pipelines[weights.manifest.label] = BackendPipeline(
            max_batch=max_batch,
            shared_batch=_count_threads(config) if device == "cpu" else max_batch,
            warm_up=partial(_warm_up, pipeline),
            begin=pipeline.begin,
            fuse_windows=pipeline.fuse_windows,
        )
    info = WorkerInfo(tuple(served), device)
    if device == "cpu":
        return Backend(info, pipelines, classify_error, _nothing_to_free)
    from service.device import torch_device

    return Backend(
        info,
        pipelines,
        torch_device.classify_error,
        torch_device.free_memory,
        torch_device.measure_memory,
    )


def _count_threads(config: BackendConfig) -> int:
    return config.threads or len(os.sched_getaffinity(0))


def _refuse_equal_labels(directories: Sequence[Path]) -> None:
    """A directory that passes its checks has its version's label for a name."""
    for label, count in Counter(directory.resolve().name for directory in directories).items():
        if count > 1:
            raise WeightsError(f"expected weights of different labels, got '{label}' {count} times")


def _describe(manifest: "Manifest", precision: str) -> ServedWeights:
    return ServedWeights(
        name=manifest.name,
        version=manifest.version,
        architecture=manifest.network.architecture,
        summary=manifest.summary,
        reference=manifest.reference,
        precision=precision,
        is_for_pairs=manifest.network.is_for_pairs,
        digest=_digest(manifest),
    )


def _digest(manifest: "Manifest") -> str:
    deciding = manifest.model_dump_json(include={"network", "files", "chroma", "reference"})
    return hashlib.sha256(deciding.encode()).hexdigest()


def _warm_up(pipeline: "FusionPipeline") -> None:
    side_px = WARM_UP_TILES * pipeline.tile_px
    black = np.zeros((side_px, side_px, 3), np.uint8)
    pipeline.fuse(ExposureStack((black, black), (0, 1)))


def classify_error(error: Exception) -> FailureKind:
    """Tell too little memory from a failure of one job, on the CPU.

    ONNX Runtime reports a failed allocation as a general error with this text.
    """
    causes = (error, error.__cause__)
    if any(isinstance(cause, MemoryError) for cause in causes):
        return "memory"
    if any("Failed to allocate memory" in str(cause) for cause in causes):
        return "memory"
    return "job"


def _nothing_to_free() -> None:
    """On a CPU the allocator keeps nothing back that another size could not use."""
