"""Adds, lists and revokes keys in their file, and tells of it."""

import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from service.console.exits import EXIT_MISUSED, CommandError
from service.console.output import write_json
from service.keys.key_file import MAX_NAME, KeyName, KeyRecord, change_keys, read_keys
from service.keys.secret import hash_secret, make_key

TITLES = ("id", "name", "state", "created", "expires", "requests", "megapixels", "concurrency")


@dataclass(frozen=True, slots=True)
class KeyLimits:
    """What one key may ask for; None leaves it to the settings of the service.

    The attributes are those of `KeyRecord`.
    """

    requests_per_minute: int | None
    megapixels_per_minute: int | None
    concurrency: int | None


def add_key(
    file: Path, name: str, limits: KeyLimits, expires: datetime | None, *, as_json: bool
) -> None:
    """Add a key to the file and write it to standard output.

    Args:
        file: Of the keys.
        name: Whose it is.
        limits: What it may ask for.
        expires: From when on it is refused; None: never.
        as_json: Write JSON.

    Raises:
        CommandError: The name is none.
        KeyFileError: What is there is no file of keys.
        OSError: It cannot be written.
    """
    try:
        TypeAdapter(KeyName).validate_python(name)
    except ValidationError as cause:
        raise CommandError(
            f"expected a name of 1 to {MAX_NAME} printable characters, got another", EXIT_MISUSED
        ) from cause
    key = make_key()
    record = KeyRecord(
        id=key.id,
        name=name,
        hash=hash_secret(key.secret),
        created=_now(),
        expires=expires,
        **asdict(limits),
    )
    change_keys(file, lambda records: [*records, record])
    if as_json:
        write_json({"id": key.id, "name": name, "key": key.text})
        return
    sys.stdout.write(f"{key.text}\n")
    sys.stderr.write(f"expofuse: added '{name}' as {key.id}; the key is not shown again\n")


def list_keys(file: Path, *, as_json: bool) -> None:
    """Write what the file says of each key, without the hash.

    Args:
        file: Of the keys.
        as_json: Write JSON.

    Raises:
        KeyFileError: There is no file of keys.
    """
    records = read_keys(file)
    now = _now()
    if as_json:
        write_json(
            [
                {**one.model_dump(mode="json", exclude={"hash"}), "state": one.find_state(now)}
                for one in records
            ]
        )
        return
    rows = [TITLES, *(_describe(one, now) for one in records)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(TITLES))]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        sys.stdout.write("  ".join(cells).rstrip() + "\n")


def revoke_key(file: Path, key_id: str, *, as_json: bool) -> None:
    """Mark a key as revoked; one that is already stays as it is.

    Args:
        file: Of the keys.
        key_id: Of the key.
        as_json: Write JSON.

    Raises:
        CommandError: There is no such key.
        KeyFileError: There is no file of keys.
        OSError: It cannot be written.
    """

    def revoke(records: Sequence[KeyRecord]) -> list[KeyRecord]:
        if key_id not in {one.id for one in records}:
            raise CommandError(
                f"expected the id of a key of the file, got '{key_id}'; `expofuse keys list` "
                "shows them",
                EXIT_MISUSED,
                code="no-such-key",
            )
        return [
            one.model_copy(update={"revoked": one.revoked or _now()}) if one.id == key_id else one
            for one in records
        ]

    change_keys(file, revoke)
    if as_json:
        write_json({"id": key_id, "state": "revoked"})
    else:
        sys.stdout.write(f"revoked {key_id}\n")


def _describe(record: KeyRecord, now: datetime) -> tuple[str, ...]:
    limits = (record.requests_per_minute, record.megapixels_per_minute, record.concurrency)
    return (
        record.id,
        record.name,
        record.find_state(now),
        f"{record.created:%Y-%m-%d}",
        "never" if record.expires is None else f"{record.expires:%Y-%m-%d %H:%M}",
        *("default" if limit is None else str(limit) for limit in limits),
    )


def _now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)
