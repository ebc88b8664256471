"""Reads and changes the file that lists the keys, hashed."""

import fcntl
import json
import logging
import os
import stat
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    PositiveInt,
    ValidationError,
    model_validator,
)

from expofuse.files.writing.destination import open_destination
from service.errors import KeyFileError
from service.keys.secret import ALPHABET, ID_LENGTH, is_hash

FORM = "expofuse-keys-1"
MAX_KEYS = 10_000
MAX_FILE_BYTES = 8 * 2**20
MAX_NAME = 100
NEW_MODE = 0o600

logger = logging.getLogger(__name__)


def _check_name(name: str) -> str:
    if not name.isprintable() or name != name.strip():
        raise ValueError("expected a name of printable characters")
    return name


def _check_hash(text: str) -> str:
    if not is_hash(text):
        raise ValueError("expected a hash that `expofuse keys add` wrote")
    return text


KeyName = Annotated[str, Field(min_length=1, max_length=MAX_NAME), AfterValidator(_check_name)]


class KeyRecord(BaseModel):
    """What the file says of one key.

    Attributes:
        id: Names the key in logs and metrics; its clients send it in front of the secret.
        name: Whose it is, for people.
        hash: Of the secret, see `hash_secret`.
        created: When.
        expires: From when on it is refused; None: never.
        revoked: When it was revoked; None: it was not.
        requests_per_minute: None: as the settings say, as the next two.
        megapixels_per_minute: What its fusions may count together.
        concurrency: Its requests at one time.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    id: str = Field(pattern=rf"^[{ALPHABET}]{{{ID_LENGTH}}}$")
    name: KeyName
    hash: Annotated[str, AfterValidator(_check_hash)]
    created: AwareDatetime
    expires: AwareDatetime | None = None
    revoked: AwareDatetime | None = None
    requests_per_minute: PositiveInt | None = None
    megapixels_per_minute: PositiveInt | None = None
    concurrency: PositiveInt | None = None

    def find_state(self, now: datetime) -> Literal["usable", "expired", "revoked"]:
        """Whether it is taken at a time."""
        if self.revoked is not None:
            return "revoked"
        return "expired" if self.expires is not None and self.expires <= now else "usable"


class KeyDocument(BaseModel):
    """The whole file."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    form: Literal["expofuse-keys-1"]
    keys: tuple[KeyRecord, ...] = Field(max_length=MAX_KEYS)

    @model_validator(mode="after")
    def _ids_are_unique(self) -> Self:
        twice = [name for name, count in Counter(one.id for one in self.keys).items() if count > 1]
        if twice:
            raise ValueError(f"expected each id once, got '{twice[0]}' twice")
        return self


def read_keys(path: Path) -> tuple[KeyRecord, ...]:
    """Read the file, and look at who else may.

    Args:
        path: Of the file.

    Raises:
        KeyFileError: It is not there, not readable, not of this form, or others may write to it.
    """
    try:
        if not path.is_file():
            raise KeyFileError("expected a file of keys, there is none")
        with path.open("rb") as file:
            _check_mode(os.fstat(file.fileno()).st_mode)
            content = file.read(MAX_FILE_BYTES + 1)
    except OSError as cause:
        raise KeyFileError(f"the file of keys cannot be read: {cause.strerror}") from cause
    if len(content) > MAX_FILE_BYTES:
        raise KeyFileError(f"expected a file of keys of at most {MAX_FILE_BYTES} bytes, got more")
    try:
        return KeyDocument.model_validate_json(content).keys
    except ValidationError as cause:
        first = cause.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"])) or "the document"
        raise KeyFileError(
            f"the file of keys is not of the form {FORM}: {where}: {first['msg']}"
        ) from None  # The cause holds what stands in the file.


def change_keys(path: Path, change: Callable[[Sequence[KeyRecord]], Sequence[KeyRecord]]) -> None:
    """Change the file; nobody reads half of it, and no other writer's change is lost.

    A new file is for its owner alone. One that is there keeps its owner and its mode, so that the
    service can read it after another user has changed it.

    Args:
        path: Of the file; made where it is not there. A link is followed.
        change: Makes the new list of the one that is there.

    Raises:
        KeyFileError: What is there is no file of keys.
        OSError: It cannot be written.
    """
    place = Path(os.path.realpath(path))
    with _locking(place):
        records = read_keys(place) if place.exists() else ()
        document = KeyDocument(form=FORM, keys=tuple(change(records)))
        written = json.dumps(document.model_dump(mode="json", exclude_none=True), indent=1)
        with open_destination(place, new_mode=NEW_MODE) as file:
            file.write(written.encode() + b"\n")


def _check_mode(mode: int) -> None:
    if mode & stat.S_IWOTH:
        raise KeyFileError(
            "expected a file of keys that others cannot write, everybody can: chmod 600 it"
        )
    if mode & (stat.S_IROTH | stat.S_IWGRP):
        logger.warning(
            "others can read the file of keys, or its group can write it",
            extra={"mode": f"{stat.S_IMODE(mode):o}"},
        )


@contextmanager
def _locking(place: Path) -> Iterator[None]:
    """Let one writer in at a time; the lock is a file of its own, for the other is replaced."""
    lock = os.open(place.with_name(f".{place.name}.lock"), os.O_CREAT | os.O_RDWR, NEW_MODE)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)
