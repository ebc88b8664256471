"""Opens weights on a device and keeps them open, so that only the first picture pays for it."""

import threading
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from model.device import choose_precision, resolve_device
from model.exposure import Reference
from model.pipeline import FusionPipeline, create_pipeline
from model.release.weights import load_weights

MAX_OPEN = 4
"""Versions that are kept open; the one that was not used for the longest time gives way."""

_LOCK = threading.Lock()


@dataclass(frozen=True, slots=True)
class OpenWeights:
    """A weights version on a device, ready to fuse.

    Attributes:
        label: Its name and version.
        reference: The exposure that alignment keeps where it is.
        is_for_pairs: Of a stack it fuses the darkest and the brightest exposure alone.
        pipeline: What fuses stacks; several threads may use it at the same time.
    """

    label: str
    reference: Reference
    is_for_pairs: bool
    pipeline: FusionPipeline


def open_weights(directory: Path, *, device: str, threads: int | None = None) -> OpenWeights:
    """Open a weights version, or take the one that is open already; any thread may call it.

    Args:
        directory: `weights/<name>-<version>`.
        device: See `resolve_device`.
        threads: Of the CPU's computation; None takes every core.

    Returns:
        The weights.

    Raises:
        WeightsError: The version does not pass its checks.
        DeviceError: The device is not there.
    """
    # Under the lock, so that two threads do not load the same version twice.
    with _LOCK:
        return _open(directory.resolve(), resolve_device(device), threads)


@lru_cache(maxsize=MAX_OPEN)
def _open(directory: Path, device: str, threads: int | None) -> OpenWeights:
    weights = load_weights(directory)
    pipeline = create_pipeline(
        weights, device=device, precision=choose_precision(device), threads=threads
    )
    manifest = weights.manifest
    return OpenWeights(manifest.label, manifest.reference, manifest.network.is_for_pairs, pipeline)
