"""Secrets against their hashes: hashed once, remembered, one at a time, few wrong ones."""

import asyncio
import hmac
import threading
from dataclasses import replace

import pytest

from service.errors import QueueFullError, RateLimitError
from service.keys import verification
from service.keys.secret import hash_secret, make_key
from service.keys.verification import Verifier
from service.request_record import RequestRecord

KEY, OTHER = make_key(), make_key()
HASHED = hash_secret(KEY.secret)


def record(address="192.0.2.1"):
    return RequestRecord("id", 5, caller=address)


@pytest.fixture
def hashings(monkeypatch):
    """The secrets that were hashed, and the threads that did it."""
    seen = []
    real = verification.is_secret

    def count(secret, hashed):
        seen.append((secret, threading.current_thread()))
        return real(secret, hashed)

    monkeypatch.setattr(verification, "is_secret", count)
    return seen


async def test_a_secret_is_hashed_once_and_never_on_the_event_loop(hashings):
    verifier = Verifier(10)
    assert verifier.recall(KEY, HASHED) is None
    assert await verifier.verify(KEY, HASHED, record())
    assert verifier.recall(KEY, HASHED) is True
    assert len(hashings) == 1
    assert hashings[0][1] is not threading.main_thread()


async def test_where_the_right_secret_is_known_wrong_ones_cost_no_hash(hashings):
    verifier = Verifier(10)
    await verifier.verify(KEY, HASHED, record())
    assert verifier.recall(replace(KEY, secret=OTHER.secret), HASHED) is False
    assert len(hashings) == 1


async def test_a_wrong_secret_is_remembered_too(hashings, monkeypatch):
    monkeypatch.setattr(verification, "MAX_WRONG", 1)
    verifier = Verifier(10)
    assert not await verifier.verify(OTHER, HASHED, record())
    assert verifier.recall(OTHER, HASHED) is False
    await verifier.verify(make_key(), HASHED, record())
    assert verifier.recall(OTHER, HASHED) is None


async def test_what_is_remembered_is_compared_in_constant_time(monkeypatch):
    verifier = Verifier(10)
    await verifier.verify(KEY, HASHED, record())
    compared = []
    real = hmac.compare_digest
    monkeypatch.setattr(hmac, "compare_digest", lambda *two: compared.append(two) or real(*two))
    assert verifier.recall(KEY, HASHED)
    assert len(compared) == 1
    assert KEY.secret.encode() not in compared[0]


async def test_one_key_on_many_connections_is_hashed_once(hashings):
    verifier = Verifier(1)
    answers = await asyncio.gather(*(verifier.verify(KEY, HASHED, record()) for _ in range(20)))
    assert answers == [True] * 20
    assert len(hashings) == 1


async def test_too_many_wrong_ones_of_an_address_are_not_hashed_and_others_are(hashings):
    verifier = Verifier(2)
    guesses = [make_key() for _ in range(20)]
    told = record()
    answers = await asyncio.gather(
        *(verifier.verify(guess, HASHED, told) for guess in guesses), return_exceptions=True
    )
    limited = [one for one in answers if isinstance(one, RateLimitError)]
    # One comes back in half a minute, during which a slow machine may hash one more.
    assert len(hashings) in (2, 3)
    assert len(limited) == 20 - len(hashings)
    assert told.retry_after_s > 5
    assert await verifier.verify(KEY, HASHED, record("192.0.2.2"))


async def test_more_than_may_wait_are_refused_at_once(monkeypatch):
    monkeypatch.setattr(verification, "MAX_WAITING", 1)
    verifier = Verifier(10)
    first, second = await asyncio.gather(
        verifier.verify(KEY, HASHED, record()),
        verifier.verify(OTHER, HASHED, record()),
        return_exceptions=True,
    )
    assert first is True
    assert isinstance(second, QueueFullError)


async def test_secrets_of_hashes_that_are_gone_are_forgotten():
    verifier = Verifier(10)
    await verifier.verify(KEY, HASHED, record())
    verifier.keep({HASHED})
    assert verifier.recall(KEY, HASHED)
    verifier.keep(set())
    assert verifier.recall(KEY, HASHED) is None
