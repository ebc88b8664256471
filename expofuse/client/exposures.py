"""The exposures that a client sends: paths, bytes or open files, read while they are sent."""

import io
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO, TypeAlias

from expofuse.client.errors import UsageError
from model.exposure import MAX_EXPOSURES, MIN_EXPOSURES

Exposure: TypeAlias = str | os.PathLike[str] | bytes | BinaryIO
"""A file's path, its bytes, or the file open in binary mode, which is read from its beginning."""

Parts: TypeAlias = list[tuple[str, tuple[str, BinaryIO, str]]]
"""Parts of a form as httpx takes them: the field, and of its file the name, content and type."""

FIELD = "exposures"
_MEDIA_TYPE = "application/octet-stream"


class Exposures:
    """Two to nine exposures of one scene, which can be sent more than once.

    Args:
        given: The exposures, in any order.

    Raises:
        UsageError: They are not two to nine.
        TypeError: One of them is no file, or a single file is given instead of several.
    """

    def __init__(self, given: Sequence[Exposure]) -> None:
        if isinstance(given, str | bytes | os.PathLike):
            raise TypeError("expected a sequence of exposures, got a single one")
        self._given = list(given)
        if not MIN_EXPOSURES <= len(self._given) <= MAX_EXPOSURES:
            raise UsageError(
                f"expected {MIN_EXPOSURES} to {MAX_EXPOSURES} exposures, got {len(self._given)}"
            )
        for one in self._given:
            if not isinstance(one, str | bytes | os.PathLike) and not hasattr(one, "read"):
                raise TypeError(
                    "expected exposures as paths, bytes or files open in binary mode, "
                    f"got {type(one).__name__}"
                )

    @property
    def can_repeat(self) -> bool:
        """They can be sent again: none of them is a pipe, which is read only once."""
        return all(
            isinstance(one, str | bytes | os.PathLike) or one.seekable() for one in self._given
        )

    @contextmanager
    def open_parts(self) -> Iterator[Parts]:
        """Open the files for one attempt; their contents are read piece by piece by what sends.

        Raises:
            OSError: A file cannot be opened.
        """
        with ExitStack() as stack:
            # Names of files are nobody's business; messages of the service count the exposures.
            yield [(FIELD, (FIELD, self._open(one, stack), _MEDIA_TYPE)) for one in self._given]

    @staticmethod
    def _open(one: Exposure, stack: ExitStack) -> BinaryIO:
        if isinstance(one, bytes):
            return io.BytesIO(one)
        if isinstance(one, str | os.PathLike):
            return stack.enter_context(Path(one).open("rb"))
        return one
