"""The keys in force: who is recognised, and what a file that is read anew changes."""

import asyncio
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest

from service.errors import KeyFileError, UnauthorizedError
from service.keys import ring as ring_module
from service.keys.key_file import change_keys
from service.keys.ring import KeyRing
from service.keys.secret import make_key
from service.request_record import RequestRecord
from service.settings import KeySettings
from tests.service.keys.conftest import CREATED

SOON = datetime.now(UTC) + timedelta(days=1)


def make_ring(key_file, metrics, **settings):
    return KeyRing(KeySettings(file=key_file.path, **settings), metrics)


async def recognise(ring, *given):
    record = RequestRecord("id", 5, caller="192.0.2.1")
    await ring.recognise(given, record)
    return record


def refused(metrics, reason):
    return metrics.registry.get_sample_value("expofuse_keys_refused_total", {"reason": reason})


async def test_a_key_is_recognised_and_noted(key_file, metrics):
    key = key_file.add(expires=SOON)
    record = await recognise(make_ring(key_file, metrics), f"Bearer {key.text}")
    assert (record.key, record.caller) == (key.id, f"key:{key.id}")
    ring = make_ring(key_file, metrics)
    for spelt in (f"bearer  {key.text}", f"BEARER {key.text} "):
        assert (await recognise(ring, spelt)).key == key.id


async def test_every_other_is_refused_in_the_same_words(key_file, metrics):
    key = key_file.add()
    revoked, expired = key_file.add(revoked=CREATED), key_file.add(expires=CREATED)
    ring = make_ring(key_file, metrics)
    good = f"Bearer {key.text}"
    told = set()
    for reason, *given in (
        ("malformed", key.text),
        ("malformed", f"Basic {key.text}"),
        ("malformed", "Bearer nonsense"),
        ("malformed", good, good),
        ("malformed", f"{good}, {good}"),
        ("unknown", f"Bearer {make_key().text}"),
        ("wrong", f"Bearer xpf_{key.id}_{make_key().secret}"),
        ("revoked", f"Bearer {revoked.text}"),
        ("expired", f"Bearer {expired.text}"),
    ):
        before = refused(metrics, reason)
        with pytest.raises(UnauthorizedError) as caught:
            await recognise(ring, *given)
        assert refused(metrics, reason) == before + 1
        told.add((caught.value.message, caught.value.challenge))
    assert len(told) == 1
    with pytest.raises(UnauthorizedError) as caught:
        await recognise(ring)
    assert caught.value.challenge == 'Bearer realm="expofuse"'
    assert refused(metrics, "none") == 1


def test_a_file_that_is_not_taken_ends_the_start(key_file, metrics):
    with pytest.raises(KeyFileError, match="there is none"):
        make_ring(key_file, metrics)


async def test_without_a_file_nobody_needs_a_key(metrics):
    ring = KeyRing(KeySettings(), metrics)
    assert not ring.is_needed
    await ring.reload()
    await ring.watch()
    with ring.charging(RequestRecord("id", 5), 1e9):
        pass


async def test_a_file_that_is_read_anew_adds_and_revokes(key_file, metrics):
    key = key_file.add()
    ring = make_ring(key_file, metrics)
    await recognise(ring, f"Bearer {key.text}")
    added = key_file.add()
    key_file.change(key, revoked=CREATED)
    await ring.reload()
    await recognise(ring, f"Bearer {added.text}")
    with pytest.raises(UnauthorizedError):
        await recognise(ring, f"Bearer {key.text}")
    assert metrics.registry.get_sample_value("expofuse_keys") == 1
    change_keys(key_file.path, lambda records: [])
    await ring.reload()
    with pytest.raises(UnauthorizedError):
        await recognise(ring, f"Bearer {added.text}")


async def test_a_file_that_is_not_taken_leaves_the_keys_that_were(key_file, metrics, caplog):
    key = key_file.add()
    ring = make_ring(key_file, metrics)
    key_file.path.write_text("{")
    await ring.reload()
    await recognise(ring, f"Bearer {key.text}")
    assert "those before stay in force" in caplog.text
    key_file.path.unlink()
    await ring.reload()
    await recognise(ring, f"Bearer {key.text}")
    reloads = {"outcome": "refused"}
    assert metrics.registry.get_sample_value("expofuse_key_reloads_total", reloads) == 2
    key_file.add()
    await ring.reload()
    reloads = {"outcome": "reloaded"}
    assert metrics.registry.get_sample_value("expofuse_key_reloads_total", reloads) == 1


async def test_what_was_used_stays_used_when_the_file_is_read_anew(key_file, metrics):
    key = key_file.add(requests_per_minute=2)
    ring = make_ring(key_file, metrics)
    record = RequestRecord("id", 5, caller="192.0.2.1")
    use = await ring.recognise([f"Bearer {key.text}"], record)
    with use.counting(record):
        key_file.change(key, requests_per_minute=10, concurrency=4)
        await ring.reload()
        told = use.describe()
    assert '"requests";q=10;w=60' in told["RateLimit-Policy"]
    assert '"requests";r=9' in told["RateLimit"]
    assert '"concurrency";r=3' in told["RateLimit"]


async def test_a_change_is_noticed_without_a_signal(key_file, metrics, monkeypatch):
    monkeypatch.setattr(ring_module, "WATCH_S", 0.01)
    key_file.add()
    ring = make_ring(key_file, metrics)
    watching = asyncio.create_task(ring.watch())
    added = key_file.add()
    deadline = asyncio.get_running_loop().time() + 30
    while asyncio.get_running_loop().time() < deadline:
        with suppress(UnauthorizedError):
            await recognise(ring, f"Bearer {added.text}")
            break
        await asyncio.sleep(0.01)
    else:
        pytest.fail("the change was never noticed")
    watching.cancel()


async def test_keys_beyond_the_first_ones_share_a_label(key_file, metrics, monkeypatch):
    monkeypatch.setattr(ring_module, "MAX_LABELS", 1)
    first, *others = [key_file.add() for _ in range(3)]
    ring = make_ring(key_file, metrics)
    for key in (first, *others):
        record = RequestRecord("id", 5, caller="192.0.2.1")
        use = await ring.recognise([f"Bearer {key.text}"], record)
        with use.counting(record):
            pass
    for label, count in ((first.id, 1), ("other", 2)):
        value = metrics.registry.get_sample_value("expofuse_key_requests_total", {"key": label})
        assert value == count
