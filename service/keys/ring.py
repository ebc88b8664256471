"""Knows the keys that are in force: recognises them, and reads them anew."""

import asyncio
import logging
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from service.errors import KeyFileError, RateLimitError, UnauthorizedError
from service.keys.key_file import KeyRecord, read_keys
from service.keys.secret import Key, split_key
from service.keys.use import KeyUse
from service.keys.verification import Verifier
from service.metrics import KeyRefusal, Metrics
from service.request_record import KEY_PREFIX, RequestRecord
from service.settings import KeySettings

WATCH_S = 5.0
"""How often the file is looked at; an orchestrator that renews it sends no signal."""

MAX_LABELS = 100
"""Keys that have a label of their own in metrics; all further ones share another."""

OTHER_LABEL = "other"
_BEARER = re.compile(r"bearer +([A-Za-z0-9._~+/-]+=*) *", re.IGNORECASE)
_EXPECTED = "expected a valid API key as 'Authorization: Bearer KEY'"

logger = logging.getLogger(__name__)
_Stamp = tuple[int, int, int]


class KeyRing:
    """The keys that are in force; none, and none needed, where the settings name no file.

    Args:
        settings: Where the keys are, and the limits of those that have none of their own.
        metrics: Where it is counted.

    Raises:
        KeyFileError: The file is not taken.
    """

    def __init__(self, settings: KeySettings, metrics: Metrics) -> None:
        self._settings = settings
        self._metrics = metrics
        self._uses: dict[str, KeyUse] = {}
        self._labels: set[str] = set()
        self._verifier = Verifier(settings.wrong_per_minute)
        self._reading = asyncio.Lock()
        self._stamp: _Stamp | None = None
        if settings.file is not None:
            self._stamp = _stamp(settings.file)
            self._take(read_keys(settings.file))

    @property
    def is_needed(self) -> bool:
        """Requests need a key."""
        return self._settings.file is not None

    async def recognise(self, given: Sequence[str], record: RequestRecord) -> KeyUse:
        """Find the key that a request came with, and note it in the request's record.

        Args:
            given: Every `Authorization` of the request.
            record: Of the request.

        Raises:
            UnauthorizedError: It has none, or one that is not in force; not told which.
            RateLimitError: Too many wrong keys came from there.
            QueueFullError: Too many keys wait to be verified.
        """
        key = self._read_key(given)
        use = self._uses.get(key.id)
        if use is None:
            raise self._refuse("unknown")
        state = use.record.find_state(datetime.now(UTC))
        if state != "usable":
            raise self._refuse(state, key.id)
        is_right = self._verifier.recall(key, use.record.hash)
        if is_right is None:
            is_right = await self._verify(key, use.record.hash, record)
        if not is_right:
            raise self._refuse("wrong", key.id)
        record.key, record.caller = key.id, f"{KEY_PREFIX}{key.id}"
        return use

    @contextmanager
    def charging(self, record: RequestRecord, megapixels: float) -> Iterator[None]:
        """Charge a fusion to the key of its request, see `KeyUse.charging`.

        Args:
            record: Of the request; without a key nothing is charged.
            megapixels: What it counts.
        """
        use = None if record.key is None else self._uses.get(record.key)
        if use is None:
            yield
            return
        with use.charging(record, megapixels):
            yield

    async def reload(self) -> None:
        """Read the file anew; one that is not taken leaves the keys in force that were."""
        if self._settings.file is None:
            return
        async with self._reading:
            try:
                self._stamp = await asyncio.to_thread(_stamp, self._settings.file)
                records = await asyncio.to_thread(read_keys, self._settings.file)
            except KeyFileError as error:
                self._metrics.key_reloads.labels("refused").inc()
                logger.error(
                    "the file of keys is not taken, those before stay in force",
                    extra={"reason": error.message},
                )
                return
            self._take(records)
            self._metrics.key_reloads.labels("reloaded").inc()

    async def watch(self) -> None:
        """Read the file anew whenever it has changed, until cancelled."""
        while self._settings.file is not None:
            await asyncio.sleep(WATCH_S)
            if await asyncio.to_thread(_stamp, self._settings.file) != self._stamp:
                await self.reload()

    def _read_key(self, given: Sequence[str]) -> Key:
        if not given:
            self._metrics.keys_refused.labels("none").inc()
            raise UnauthorizedError(f"{_EXPECTED}, got none")
        found = _BEARER.fullmatch(given[0]) if len(given) == 1 else None
        key = split_key(found[1]) if found else None
        if key is None:
            raise self._refuse("malformed")
        return key

    async def _verify(self, key: Key, hashed: str, record: RequestRecord) -> bool:
        try:
            return await self._verifier.verify(key, hashed, record)
        except RateLimitError:
            self._metrics.keys_refused.labels("too-many").inc()
            raise

    def _refuse(self, reason: KeyRefusal, key_id: str | None = None) -> UnauthorizedError:
        self._metrics.keys_refused.labels(reason).inc()
        if key_id is not None:
            logger.info("key refused", extra={"key": key_id, "reason": reason})
        return UnauthorizedError(f"{_EXPECTED}, got another", has_key=True)

    def _take(self, records: Sequence[KeyRecord]) -> None:
        before = self._uses
        self._uses = {}
        for one in records:
            use = before.get(one.id)
            if use is None:
                use = KeyUse(one, self._settings, self._metrics, self._choose_label(one.id))
            else:
                use.adopt(one)
            self._uses[one.id] = use
        self._verifier.keep({one.hash for one in records})
        now = datetime.now(UTC)
        usable = sum(one.find_state(now) == "usable" for one in records)
        self._metrics.keys.set(usable)
        logger.info("keys read", extra={"keys": len(records), "usable": usable})

    def _choose_label(self, key_id: str) -> str:
        if key_id not in self._labels and len(self._labels) >= MAX_LABELS:
            return OTHER_LABEL
        self._labels.add(key_id)
        return key_id


def _stamp(path: Path) -> _Stamp | None:
    """What differs when a file was changed or replaced; None where there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns
