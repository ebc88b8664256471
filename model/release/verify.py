"""Checks a weights version and says of every check whether it passed.

`model.release.weights.load_weights` stops at the first fault, which is right when a service starts.
A person who asks wants to know the result of every check. The golden pair is fused by every way
there is of running the version: on the CPU, and by the network in torch where torch is installed.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from model.device import has_torch
from model.errors import WeightsError
from model.manifest import (
    GRAPH_NAME,
    PARAMETERS_NAME,
    VALID_GRAPH_NAME,
    Manifest,
    PyramidBlendConfig,
    files_to_verify,
    read_manifest,
    verify_file,
    verify_label,
)
from model.release.graphs import run_graph
from model.release.weights import (
    LoadedWeights,
    golden_pair,
    restore_parameters,
    run_golden,
    verify_golden,
)


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
    is_blend = isinstance(manifest.network, PyramidBlendConfig)

    def check_network() -> None:
        weights = LoadedWeights(manifest, restore_parameters(manifest, directory), directory)
        if is_blend:
            verify_golden(manifest, run_golden(weights), by="the network")
        if has_torch():
            verify_torch(weights)

    def check_graph(name: str, margin_px: int) -> None:
        pair = golden_pair(manifest.golden.seed, manifest.golden.side_px)
        fused = run_graph(directory / name, *pair, label=manifest.label)
        verify_golden(manifest, fused, by=name, margin_px=margin_px)

    checks: list[tuple[str, str, Callable[[], None]]] = []
    title = "golden pair by the network" if is_blend or has_torch() else "parameters"
    checks.append((PARAMETERS_NAME, title, check_network))
    if manifest.receptive_field is not None:
        halo_px = (manifest.receptive_field - 1) // 2
        for name, margin_px in ((GRAPH_NAME, 0), (VALID_GRAPH_NAME, halo_px)):
            title = f"golden pair by {name}"
            checks.append((name, title, partial(check_graph, name, margin_px)))
    return checks


def verify_torch(weights: LoadedWeights) -> None:
    """Fuse the golden pair by the network in torch.

    Raises:
        WeightsError: The answer is not the manifest's.
    """
    from model.release.torch_networks import answer_golden, build_loaded

    golden = weights.manifest.golden
    fused = answer_golden(build_loaded(weights), seed=golden.seed, side_px=golden.side_px)
    verify_golden(weights.manifest, fused, by="the network in torch")


def _run(name: str, check: Callable[[], None]) -> CheckResult:
    try:
        check()
    except WeightsError as error:
        return CheckResult(name, error.message)
    return CheckResult(name)
