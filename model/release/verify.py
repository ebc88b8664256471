"""Checks a weights version and says of every check whether it passed.

`model.release.weights.load_weights` stops at the first fault, which is right when a service starts.
A person who asks wants to know the result of every check. Where the CPU serves from graphs, the
graphs fuse the golden pair too.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import onnxruntime
import torch
from onnxruntime.capi.onnxruntime_pybind11_state import (
    EPFail,
    Fail,
    InvalidArgument,
    InvalidGraph,
    InvalidProtobuf,
    RuntimeException,
)
from onnxruntime.capi.onnxruntime_pybind11_state import NotImplemented as OperatorMissing
from torch import Tensor

from model.errors import WeightsError
from model.manifest import (
    GRAPH_NAME,
    PARAMETERS_NAME,
    VALID_GRAPH_NAME,
    Manifest,
    read_manifest,
    verify_file,
    verify_label,
)
from model.release.weights import (
    files_to_verify,
    golden_pair,
    restore_network,
    run_golden,
    verify_golden,
)

GRAPH_ERRORS = (
    EPFail,
    Fail,
    InvalidArgument,
    InvalidGraph,
    InvalidProtobuf,
    OperatorMissing,
    RuntimeException,
    ValueError,
)
"""What a file raises that is no graph, or a graph of something else; they have no common base."""


@dataclass(frozen=True, slots=True)
class CheckResult:
    """One check of a weights version.

    Attributes:
        name: What was checked.
        fault: One sentence, or None where the check passed.
        was_run: False where an earlier fault left nothing to check.
    """

    name: str
    fault: str | None = None
    was_run: bool = True

    @property
    def has_passed(self) -> bool:
        """It was run and found no fault."""
        return self.was_run and self.fault is None


def verify_weights(directory: Path) -> Iterator[CheckResult]:
    """Check a weights version: schema, name, hashes, and the golden pair by every way of running.

    A fault ends only the checks that depend on it: without a manifest there is nothing to compare
    with, a file whose hash differs is not loaded, and every sound one is.

    Args:
        directory: `weights/<name>-<version>`.

    Yields:
        One result for each check, in order, as soon as it is known.
    """
    try:
        manifest = read_manifest(directory)
    except WeightsError as error:
        yield CheckResult("schema", error.message)
        return
    yield CheckResult("schema")
    yield _run("name", partial(verify_label, manifest, directory))
    sound: set[str] = set()
    for name in files_to_verify(manifest):
        result = _run(f"SHA-256 of {name}", partial(verify_file, manifest, directory, name))
        if result.has_passed:
            sound.add(name)
        yield result
    for name, title, check in _golden_checks(manifest, directory):
        yield _run(title, check) if name in sound else CheckResult(title, was_run=False)


def _golden_checks(
    manifest: Manifest, directory: Path
) -> list[tuple[str, str, Callable[[], None]]]:
    """The file that each golden check runs, its title, and the check."""

    def check_network() -> None:
        fused = run_golden(restore_network(manifest, directory), manifest.golden)
        verify_golden(manifest, fused, by="the network")

    checks: list[tuple[str, str, Callable[[], None]]] = [
        (PARAMETERS_NAME, "golden pair by the network", check_network)
    ]
    if manifest.receptive_field is None:
        return checks
    halo_px = (manifest.receptive_field - 1) // 2

    def check_graph() -> None:
        fused = _run_graph(manifest, directory / GRAPH_NAME)
        verify_golden(manifest, fused, by=GRAPH_NAME)

    def check_valid_graph() -> None:
        fused = _run_graph(manifest, directory / VALID_GRAPH_NAME)
        verify_golden(manifest, fused, by=VALID_GRAPH_NAME, margin_px=halo_px)

    return [
        *checks,
        (GRAPH_NAME, f"golden pair by {GRAPH_NAME}", check_graph),
        (VALID_GRAPH_NAME, f"golden pair by {VALID_GRAPH_NAME}", check_valid_graph),
    ]


def _run_graph(manifest: Manifest, path: Path) -> Tensor:
    under, over = golden_pair(manifest.golden.seed, manifest.golden.side_px)
    try:
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        (fused,) = session.run(None, {"under_l": under.numpy(), "over_l": over.numpy()})
    except GRAPH_ERRORS as cause:
        raise WeightsError(
            f"weights '{manifest.label}': {path.name} does not run in ONNX Runtime"
        ) from cause
    return torch.from_numpy(fused)


def _run(name: str, check: Callable[[], None]) -> CheckResult:
    try:
        check()
    except WeightsError as error:
        return CheckResult(name, error.message)
    return CheckResult(name)
