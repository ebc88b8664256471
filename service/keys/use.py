"""Counts what one key has used, and tells it in the headers `RateLimit-Policy` and `RateLimit`."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from model.errors import FusionError
from service.errors import RateLimitError, TooManyConcurrentError
from service.keys.buckets import MINUTE_S, Bucket
from service.keys.key_file import KeyRecord
from service.metrics import Metrics
from service.problem_types import find_row
from service.request_record import RequestRecord
from service.settings import KeySettings


class KeyUse:
    """What one key may ask for, and has asked for.

    Args:
        record: What the file says of it.
        settings: Limits where the file names none.
        metrics: Where refusals are counted.
        label: Of the key, in metrics.

    Attributes:
        record: As given, or as it was read since.
    """

    def __init__(
        self, record: KeyRecord, settings: KeySettings, metrics: Metrics, label: str
    ) -> None:
        self.record = record
        self._settings = settings
        self._metrics = metrics
        self._label = label
        self._requests = Bucket(self._requests_per_minute)
        self._megapixels = Bucket(self._megapixels_per_minute)
        self._running = 0

    def adopt(self, record: KeyRecord) -> None:
        """Go on with what the file says now; what was used stays used."""
        self.record = record
        self._requests.resize(self._requests_per_minute)
        self._megapixels.resize(self._megapixels_per_minute)

    @contextmanager
    def counting(self, record: RequestRecord) -> Iterator[None]:
        """Count a request that asks for work, for the length of a `with`.

        Raises:
            TooManyConcurrentError: Others of this key are being answered.
            RateLimitError: It has used up its requests of this minute.
        """
        if self._running >= self._concurrency:
            self._metrics.rate_limited.labels("concurrency").inc()
            raise TooManyConcurrentError(
                f"expected at most {self._concurrency} requests of this key at one time, got more"
            )
        self._check("requests", self._requests, 1, record)
        self._requests.take(1)
        self._metrics.key_requests.labels(self._label).inc()
        self._running += 1
        try:
            yield
        finally:
            self._running -= 1

    @contextmanager
    def charging(self, record: RequestRecord, megapixels: float) -> Iterator[None]:
        """Charge a fusion, once its size is known, for the length of a `with`.

        Where the service refuses it for its own sake (503) it is given back. All else stays
        charged, also what failed or was left by its client: it was worked for.

        Raises:
            RateLimitError: The key has used up its megapixels of this minute.
        """
        self._check("megapixels", self._megapixels, megapixels, record)
        self._megapixels.take(megapixels)
        try:
            yield
        except FusionError as error:
            if find_row(error).may_retry:
                self._megapixels.give_back(megapixels)
            raise
        self._metrics.key_megapixels.labels(self._label).inc(megapixels)

    def describe(self) -> dict[str, str]:
        """The headers that tell its limits, and what is left of them.

        They are those of draft-ietf-httpapi-ratelimit-headers-10, structured fields: a list of
        policies, each with its quota `q`, window `w` in seconds and unit `qu`; and of each what
        remains, `r`, and the seconds `t` until all of it is there again.
        """
        policies = (
            f'"requests";q={self._requests_per_minute};w={MINUTE_S:.0f}',
            f'"megapixels";q={self._megapixels_per_minute};w={MINUTE_S:.0f};qu="megapixels"',
            f'"concurrency";q={self._concurrency};qu="concurrent-requests"',
        )
        levels = (
            f'"requests";r={self._requests.left};t={self._requests.full_in_s}',
            f'"megapixels";r={self._megapixels.left};t={self._megapixels.full_in_s}',
            f'"concurrency";r={max(0, self._concurrency - self._running)}',
        )
        return {"RateLimit-Policy": ", ".join(policies), "RateLimit": ", ".join(levels)}

    def _check(
        self,
        limit: Literal["requests", "megapixels"],
        bucket: Bucket,
        cost: float,
        record: RequestRecord,
    ) -> None:
        wait_s = bucket.find_wait_s(cost)
        if wait_s <= 0:
            return
        self._metrics.rate_limited.labels(limit).inc()
        record.retry_after_s = math.ceil(wait_s)
        most = self._requests_per_minute if limit == "requests" else self._megapixels_per_minute
        raise RateLimitError(f"expected at most {most} {limit} a minute of this key, got more")

    @property
    def _requests_per_minute(self) -> int:
        return self.record.requests_per_minute or self._settings.requests_per_minute

    @property
    def _megapixels_per_minute(self) -> int:
        return self.record.megapixels_per_minute or self._settings.megapixels_per_minute

    @property
    def _concurrency(self) -> int:
        return self.record.concurrency or self._settings.concurrency
