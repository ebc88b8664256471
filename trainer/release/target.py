"""The folder of a new weights version: its name is checked, and it is whole or not there."""

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from trainer.errors import RunError


def parse_version(name: str, target: Path) -> str:
    """The version that the folder `target` is named after.

    Args:
        name: Name of the weights, without a version.
        target: `weights/<name>-<version>`; must not exist.

    Returns:
        `<major>.<minor>.<patch>`.

    Raises:
        RunError: The folder exists or is not named after the weights.
    """
    matched = re.fullmatch(rf"{re.escape(name)}-(\d+\.\d+\.\d+)", target.name)
    if matched is None:
        raise RunError(
            f"expected the target folder as '{name}-<major>.<minor>.<patch>', got '{target.name}'"
        )
    if target.exists():
        raise RunError(f"the weights version '{target.name}' exists; released weights never change")
    return matched.group(1)


@contextmanager
def begin_version(target: Path) -> Iterator[Path]:
    """A hidden folder beside `target` that becomes it when the block ends without an error.

    A version that was begun must neither look like one nor be in the way of the next attempt.
    """
    partial = target.with_name(f".{target.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    yield partial
    partial.rename(target)
