"""The files of all jobs: exposures until they are fused, pictures until they expire."""

import fcntl
import os
from collections.abc import Collection, Iterable
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, Final, Literal

from service.errors import JobsSetupError

FileKind = Literal["exposures", "pictures"]
KINDS: Final[tuple[FileKind, ...]] = ("exposures", "pictures")
DATABASE_NAME: Final = "jobs.sqlite3"
_LOCK_NAME = "lock"
_PRIVATE_FOLDER, _PRIVATE_FILE = 0o700, 0o600
_UNFINISHED_SUFFIX = ".part"


class JobFolder:
    """The folder of the jobs, which belongs to one service at a time.

    What is written is on the disk when a call returns, whole or not at all. The calls block.

    Args:
        state_dir: The state folder; made where it is not there.

    Raises:
        JobsSetupError: It cannot be used, or another service uses it.
    """

    def __init__(self, state_dir: Path) -> None:
        self._root = state_dir / "jobs"
        try:
            for kind in KINDS:
                (self._root / kind).mkdir(_PRIVATE_FOLDER, parents=True, exist_ok=True)
            self._root.chmod(_PRIVATE_FOLDER)
            self._lock = os.open(self._root / _LOCK_NAME, os.O_RDWR | os.O_CREAT, _PRIVATE_FILE)
        except OSError as cause:
            raise JobsSetupError(
                f"expected EXPOFUSE_STATE_DIR to be a folder to write to: {cause.strerror}"
            ) from cause
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as cause:
            os.close(self._lock)
            raise JobsSetupError(
                "expected EXPOFUSE_STATE_DIR for this service alone, another one is using it"
            ) from cause

    @property
    def database_path(self) -> Path:
        """Where the store lies."""
        return self._root / DATABASE_NAME

    def close(self) -> None:
        """Let another service have the folder."""
        os.close(self._lock)

    def write(self, kind: FileKind, job_id: str, pieces: Iterable[bytes | bytearray]) -> None:
        """Write a file of a job.

        Raises:
            OSError: It cannot be written; nothing of it is left.
        """
        path = self._path(kind, job_id)
        unfinished = path.with_suffix(_UNFINISHED_SUFFIX)
        try:
            with unfinished.open("wb") as file:
                for piece in pieces:
                    file.write(piece)
                file.flush()
                os.fsync(file.fileno())
            unfinished.replace(path)
            _sync_folder(path.parent)
        except BaseException:
            for one in (unfinished, path):
                with suppress(OSError):
                    one.unlink(missing_ok=True)
            raise

    def read(self, kind: FileKind, job_id: str) -> bytes:
        """The content of a file of a job.

        Raises:
            FileNotFoundError: There is none.
        """
        return self._path(kind, job_id).read_bytes()

    def open(self, kind: FileKind, job_id: str) -> BinaryIO:
        """A file of a job, open to be read; it can be read to its end though it is removed.

        Raises:
            FileNotFoundError: There is none.
        """
        return self._path(kind, job_id).open("rb")

    def remove(self, kind: FileKind, job_id: str) -> None:
        """Remove a file of a job, where there is one."""
        self._path(kind, job_id).unlink(missing_ok=True)

    def sweep(self, kind: FileKind, kept: Collection[str]) -> int:
        """Remove what belongs to no job: what was being written when the service was killed.

        Args:
            kind: Which files.
            kept: Ids of the jobs that have one.

        Returns:
            How many files were removed.
        """
        strays = [path for path in (self._root / kind).iterdir() if path.name not in kept]
        for path in strays:
            path.unlink(missing_ok=True)
        return len(strays)

    def _path(self, kind: FileKind, job_id: str) -> Path:
        return self._root / kind / job_id


def _sync_folder(path: Path) -> None:
    """Bring the names within a folder to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
