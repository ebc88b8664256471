"""Checks a weights version wholly: what stands in its files, and what the CPU makes of them."""

from collections.abc import Iterator
from pathlib import Path

from model.errors import WeightsError
from model.pipeline import create_pipeline
from model.release.golden_picture import verify_picture
from model.release.verify import CheckResult, verify_weights
from model.release.weights import load_weights

PICTURE_CHECK = "golden picture by the CPU"


def verify_wholly(directory: Path) -> Iterator[CheckResult]:
    """Check a weights version; see `model.release.verify.verify_weights`.

    Args:
        directory: `weights/<name>-<version>`.

    Yields:
        Its results, and last that of the golden picture: not run after a fault, and not named
        where there is no manifest that could hold one.
    """
    results: list[CheckResult] = []
    for result in verify_weights(directory):
        results.append(result)
        yield result
    if all(result.has_passed for result in results):
        yield _check_picture(directory)
    elif results[0].has_passed:
        yield CheckResult(PICTURE_CHECK, was_run=False)


def _check_picture(directory: Path) -> CheckResult:
    try:
        weights = load_weights(directory)
        pipeline = create_pipeline(weights, device="cpu")
        verify_picture(weights.manifest, pipeline.fuse, precision=pipeline.precision)
    except WeightsError as error:
        return CheckResult(PICTURE_CHECK, error.message)
    return CheckResult(PICTURE_CHECK)
