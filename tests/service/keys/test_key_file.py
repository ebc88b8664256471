import json
import multiprocessing
import stat

import pytest

from service.errors import KeyFileError
from service.keys.key_file import KeyRecord, change_keys, read_keys
from service.keys.secret import hash_secret, make_key
from tests.service.keys.conftest import CREATED

WRITERS, KEYS_EACH = 4, 8


def mode_of(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_a_new_file_is_for_its_owner_alone(key_file):
    key = key_file.add(concurrency=3)
    (record,) = read_keys(key_file.path)
    assert (record.id, record.concurrency, record.created) == (key.id, 3, CREATED)
    assert mode_of(key_file.path) == 0o600
    assert key.secret not in key_file.path.read_text()
    assert "part" not in " ".join(path.name for path in key_file.path.parent.iterdir())


def test_a_file_that_is_there_keeps_its_mode_and_its_link(key_file, tmp_path):
    key_file.add()
    key_file.path.chmod(0o640)
    link = tmp_path / "link.json"
    link.symlink_to(key_file.path)
    change_keys(link, lambda records: records)
    assert link.is_symlink()
    assert mode_of(key_file.path) == 0o640


def test_a_file_that_everybody_may_write_is_refused(key_file):
    key_file.add()
    key_file.path.chmod(0o666)
    with pytest.raises(KeyFileError, match="chmod 600"):
        read_keys(key_file.path)


def test_one_that_others_may_read_is_taken_with_a_warning(key_file, caplog):
    key_file.add()
    read_keys(key_file.path)
    assert not caplog.records
    key_file.path.chmod(0o644)
    assert len(read_keys(key_file.path)) == 1
    assert "others can read" in caplog.text


def spoil(document, **facts):
    document["keys"][0] |= facts
    return document


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda document: document | {"form": "other"}, "form"),
        (lambda document: {"keys": []}, "form"),
        (lambda document: document | {"more": 1}, "more"),
        (lambda document: document | {"keys": document["keys"] * 2}, "twice"),
        (lambda document: spoil(document, revokd="2026-01-01T00:00:00Z"), "revokd"),
        (lambda document: spoil(document, id="A"), "keys.0.id"),
        (lambda document: spoil(document, hash="plain"), "keys.0.hash"),
        (lambda document: spoil(document, expires="2026-01-01T00:00:00"), "keys.0.expires"),
        (lambda document: spoil(document, concurrency=0), "keys.0.concurrency"),
        (lambda document: spoil(document, name="a\nb"), "keys.0.name"),
        (lambda document: "no document", "the document"),
    ],
)
def test_a_file_of_another_form_is_refused_and_nothing_of_it_is_told(key_file, change, words):
    key_file.add()
    document = json.loads(key_file.path.read_text())
    hashed = document["keys"][0]["hash"]
    key_file.path.write_text(json.dumps(change(document)))
    with pytest.raises(KeyFileError, match=words) as caught:
        read_keys(key_file.path)
    assert hashed not in str(caught.value)
    assert caught.value.__cause__ is None


def test_no_file_a_folder_and_a_file_that_is_too_large_are_refused(tmp_path, monkeypatch):
    for path in (tmp_path / "none", tmp_path):
        with pytest.raises(KeyFileError, match="there is none"):
            read_keys(path)
    monkeypatch.setattr("service.keys.key_file.MAX_FILE_BYTES", 3)
    (tmp_path / "large").write_text("1234")
    with pytest.raises(KeyFileError, match="got more"):
        read_keys(tmp_path / "large")


def test_a_change_that_fails_leaves_what_was_there(key_file):
    key_file.add()
    before = key_file.path.read_bytes()

    def fail(records):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        change_keys(key_file.path, fail)
    assert key_file.path.read_bytes() == before


def add_many(path):
    hashed = hash_secret(make_key().secret)
    for _ in range(KEYS_EACH):
        record = KeyRecord(id=make_key().id, name="a", hash=hashed, created=CREATED)
        change_keys(path, lambda records, one=record: [*records, one])


def test_writers_at_the_same_time_lose_no_key(key_file):
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=add_many, args=(key_file.path,)) for _ in range(WRITERS)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert [writer.exitcode for writer in writers] == [0] * WRITERS
    assert len(read_keys(key_file.path)) == WRITERS * KEYS_EACH
