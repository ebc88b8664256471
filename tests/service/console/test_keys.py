"""`expofuse keys`, and the commands that ask a service with a key."""

import json
import stat
import subprocess
import sys

import pytest

from service.keys.key_file import read_keys
from service.keys.secret import is_secret, split_key
from tests.paths import ROOT

COMMANDS_AT_ONCE = 4


@pytest.fixture
def file(tmp_path, monkeypatch):
    path = tmp_path / "keys.json"
    monkeypatch.setenv("EXPOFUSE_KEYS__FILE", str(path))
    return path


def test_a_key_is_printed_once_and_kept_as_a_hash(file, expofuse):
    said = expofuse("keys", "add", "a studio", "--requests-per-minute", 5, "--concurrency", 1)
    assert said.code == 0
    key = split_key(said.out.decode().strip())
    (record,) = read_keys(file)
    assert (record.id, record.name) == (key.id, "a studio")
    assert is_secret(key.secret, record.hash)
    assert (record.requests_per_minute, record.concurrency) == (5, 1)
    assert (record.megapixels_per_minute, record.expires) == (None, None)
    assert key.secret not in said.err + file.read_text()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_keys_are_listed_without_their_hashes_and_revoked(file, expofuse):
    key = json.loads(expofuse("keys", "add", "first", "--json").out)
    expofuse("keys", "add", "late", "--expires", "2020-01-31")
    said = expofuse("keys", "list")
    title, first, late = said.out.decode().splitlines()
    assert title.split()[:3] == ["id", "name", "state"]
    assert first.split()[:3] == [key["id"], "first", "usable"]
    assert late.split()[1:3] == ["late", "expired"]
    assert "scrypt" not in said.out.decode()
    assert expofuse("keys", "revoke", key["id"]).code == 0
    told = json.loads(expofuse("keys", "list", "--json").out)
    assert [one["state"] for one in told] == ["revoked", "expired"]
    assert told[1]["expires"] == "2020-01-31T00:00:00Z"
    assert not any("hash" in one for one in told)
    revoked = told[0]["revoked"]
    assert json.loads(expofuse("keys", "revoke", key["id"], "--json").out)["state"] == "revoked"
    assert json.loads(expofuse("keys", "list", "--json").out)[0]["revoked"] == revoked


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["list"], 1, "there is none"),
        (["revoke", "aaaaaaaa"], 2, "expected the id of a key"),
        (["add", "two\nlines"], 2, "printable"),
        (["add", "a", "--expires", "soon"], 2, "2027-01-31"),
        (["add", "a", "--concurrency", "0"], 2, "concurrency"),
    ],
)
def test_what_is_wrong_is_one_sentence(file, expofuse, arguments, code, words):
    said = expofuse("keys", *arguments)
    assert (said.code, words in said.err) == (code, True), said.err
    assert not file.exists() or read_keys(file) == ()


def test_the_file_must_be_named(expofuse, monkeypatch):
    monkeypatch.delenv("EXPOFUSE_KEYS__FILE", raising=False)
    said = expofuse("keys", "list")
    assert (said.code, "EXPOFUSE_KEYS__FILE" in said.err) == (2, True)


def test_commands_at_the_same_time_lose_no_key(file):
    program = [sys.executable, "-m", "service", "keys", "add"]
    running = [
        subprocess.Popen([*program, f"n{number}"], cwd=ROOT, stdout=subprocess.PIPE)
        for number in range(COMMANDS_AT_ONCE)
    ]
    ids = {split_key(one.communicate()[0].decode().strip()).id for one in running}
    assert [one.returncode for one in running] == [0] * COMMANDS_AT_ONCE
    assert {one.id for one in read_keys(file)} == ids


def test_the_doctor_looks_at_the_keys(file, expofuse):
    def find():
        told = json.loads(expofuse("doctor", "--json").out)
        (found,) = [one for one in told if one["name"] == "keys"]
        return found["state"], found["found"]

    assert find() == ("wrong", "expected a file of keys, there is none")
    key = json.loads(expofuse("keys", "add", "a", "--json").out)
    assert find() == ("well", "1 in the file, 1 of them usable")
    expofuse("keys", "revoke", key["id"])
    assert find()[0] == "note"


def test_health_says_that_a_key_is_needed_and_sends_the_one_it_has(server, expofuse, monkeypatch):
    server.pages["/readyz"] = (401, b'{"detail":"x"}')
    said = expofuse("health", "--server", server.url)
    assert (said.code, b"EXPOFUSE_API_KEY" in said.out) == (1, True)
    monkeypatch.setenv("EXPOFUSE_API_KEY", "xpf_a_b")
    said = expofuse("health", "--server", server.url)
    assert (said.code, said.out) == (1, b"the API key is not in force there\n")
    monkeypatch.setenv("EXPOFUSE_API_KEY", "two words")
    said = expofuse("health", "--server", server.url)
    assert (said.code, "two words" in said.err) == (1, False)
