"""Files of keys, and rings that read them."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from service.keys.key_file import KeyRecord, change_keys
from service.keys.secret import Key, hash_secret, make_key

CREATED = datetime(2026, 1, 1, tzinfo=UTC)


class KeyFile:
    """A file of keys, and the keys that were added to it."""

    def __init__(self, path: Path):
        self.path = path

    def add(self, **facts) -> Key:
        """Add a key, with what the file is to say of it."""
        key = make_key()
        record = KeyRecord(
            id=key.id, name="a", hash=hash_secret(key.secret), created=CREATED, **facts
        )
        change_keys(self.path, lambda records: [*records, record])
        return key

    def change(self, key: Key, **facts) -> None:
        """Let the file say something else of a key."""
        change_keys(
            self.path,
            lambda records: [
                one.model_copy(update=facts) if one.id == key.id else one for one in records
            ],
        )


@pytest.fixture
def key_file(tmp_path) -> KeyFile:
    return KeyFile(tmp_path / "keys.json")
