"""Compares secrets with their hashes: the slow way once, then by a memory that is fast.

A key is 256 random bits: nobody guesses it, and the slow hash only keeps a stolen file useless. So
it is computed once for each secret. What was found is remembered under a keyed hash, whose key is
drawn at the start and never leaves the process.
"""

import asyncio
import hashlib
import hmac
import math
import secrets
from collections import OrderedDict
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor

from service.errors import QueueFullError, RateLimitError
from service.keys.buckets import AddressBuckets
from service.keys.secret import Key, is_secret
from service.request_record import RequestRecord

MAX_WAITING = 64
"""Secrets that wait for the one that is being hashed: seconds; one more is refused at once."""

MAX_WRONG = 4096
"""Wrong secrets that are remembered, so that a client that repeats one costs no hash again."""


class Verifier:
    """Says whether a secret is right; hashes one at a time, on a thread.

    One at a time: whatever is sent, it costs one core and the memory of one hash at most. And few
    wrong ones of each address: else one client would keep those waiting that come for the first
    time. What memory answers costs nothing and is not counted, so that a client that goes on
    sending a key that was revoked locks nobody out who shares its address.

    Args:
        wrong_per_minute: Wrong secrets of one address that are hashed.
    """

    def __init__(self, wrong_per_minute: int) -> None:
        self._wrong_per_minute = wrong_per_minute
        self._addresses = AddressBuckets(wrong_per_minute)
        self._memory_key = secrets.token_bytes(hashlib.blake2b.MAX_KEY_SIZE)
        self._right: dict[str, bytes] = {}
        self._wrong: OrderedDict[bytes, None] = OrderedDict()
        self._thread = ThreadPoolExecutor(1, "keys")
        self._turn = asyncio.Lock()
        self._waiting = 0

    def recall(self, key: Key, hashed: str) -> bool | None:
        """Whether a secret is right, by memory; None where it has to be hashed.

        Once the right secret of a hash is known, every other one is known to be wrong.
        """
        digest = self._digest(key, hashed)
        right = self._right.get(hashed)
        if right is not None:
            return hmac.compare_digest(digest, right)
        return False if digest in self._wrong else None

    async def verify(self, key: Key, hashed: str, record: RequestRecord) -> bool:
        """Whether a secret is right, by its hash.

        Args:
            key: As a client sent it.
            hashed: Of the key that has its id.
            record: Of the request; is told how long to wait where it is refused.

        Raises:
            RateLimitError: Too many wrong ones came from the address.
            QueueFullError: Too many others wait for theirs.
        """
        self._check_address(record)
        if self._waiting >= MAX_WAITING:
            raise QueueFullError(f"expected at most {MAX_WAITING} keys to be verified, got more")
        self._waiting += 1
        try:
            async with self._turn:
                # A client that opens several connections sends one key several times at once.
                known = self.recall(key, hashed)
                if known is not None:
                    return known
                self._check_address(record)
                is_right = await self._hash(key, hashed)
                if not is_right:
                    self._addresses.find(record.caller).take(1)
                return is_right
        finally:
            self._waiting -= 1

    def keep(self, hashes: Collection[str]) -> None:
        """Forget the secrets of all other hashes."""
        self._right = {hashed: one for hashed, one in self._right.items() if hashed in hashes}

    async def _hash(self, key: Key, hashed: str) -> bool:
        loop = asyncio.get_running_loop()
        is_right = await loop.run_in_executor(self._thread, is_secret, key.secret, hashed)
        if is_right:
            self._right[hashed] = self._digest(key, hashed)
        else:
            self._wrong[self._digest(key, hashed)] = None
            if len(self._wrong) > MAX_WRONG:
                self._wrong.popitem(last=False)
        return is_right

    def _check_address(self, record: RequestRecord) -> None:
        wait_s = self._addresses.find(record.caller).find_wait_s(1)
        if wait_s > 0:
            record.retry_after_s = math.ceil(wait_s)
            raise RateLimitError(
                f"expected at most {self._wrong_per_minute} wrong keys a minute from one address, "
                "got more"
            )

    def _digest(self, key: Key, hashed: str) -> bytes:
        given = f"{hashed} {key.secret}".encode()
        return hashlib.blake2b(given, key=self._memory_key).digest()
