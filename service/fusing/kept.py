"""Keeps finished pictures for requests to come, within bounds of bytes and age."""

import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from service.errors import KeyReusedError
from service.fusing.tag import Names

MAX_KEYS = 10_000
"""Idempotency keys that are remembered; each is some hundred bytes."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A finished picture and what is told about it.

    Attributes:
        entity_tag: Of the picture.
        picture: The encoded picture.
        media_type: Of it.
        headers: What is told about it.
        made_at: `time.monotonic()` when it was finished.
    """

    entity_tag: str
    picture: bytes
    media_type: str
    headers: Mapping[str, str]
    made_at: float = field(default_factory=time.monotonic)

    @property
    def age_s(self) -> float:
        """Seconds since it was finished."""
        return time.monotonic() - self.made_at


class KeptAnswers:
    """Answers by entity tag; those used longest ago are given up first.

    Args:
        max_bytes: Of all pictures; one that is larger is not kept, and with 0 none is.
        max_age_s: How long one is kept; None: until others need its place.
        show_bytes: Told what all take, whenever it changes.
    """

    def __init__(
        self, max_bytes: int, *, max_age_s: float | None, show_bytes: Callable[[int], None]
    ) -> None:
        self._max_bytes = max_bytes
        self._max_age_s = max_age_s
        self._show_bytes = show_bytes
        self._answers: OrderedDict[str, Answer] = OrderedDict()
        self._bytes = 0

    def find(self, entity_tag: str) -> Answer | None:
        """The answer of a tag, where it is kept and not too old."""
        self._drop_old()
        answer = self._answers.get(entity_tag)
        if answer is not None:
            self._answers.move_to_end(entity_tag)
        return answer

    def keep(self, answer: Answer) -> None:
        """Keep an answer, at the cost of others."""
        self._drop_old()
        self._drop(answer.entity_tag)
        if len(answer.picture) > self._max_bytes:
            return
        self._answers[answer.entity_tag] = answer
        self._count(len(answer.picture))
        while self._bytes > self._max_bytes:
            self._drop(next(iter(self._answers)))

    def _drop_old(self) -> None:
        if self._max_age_s is None:
            return
        # A use does not make an answer younger, so the old ones may be anywhere.
        old = [tag for tag, one in self._answers.items() if one.age_s > self._max_age_s]
        for tag in old:
            self._drop(tag)

    def _drop(self, entity_tag: str) -> None:
        answer = self._answers.pop(entity_tag, None)
        if answer is not None:
            self._count(-len(answer.picture))

    def _count(self, change: int) -> None:
        self._bytes += change
        self._show_bytes(self._bytes)


@dataclass(frozen=True, slots=True)
class _Claim:
    names: Names
    claimed_at: float


class IdempotencyKeys:
    """Which request each key came with, by caller.

    Args:
        max_age_s: How long a key is remembered after it came last.
    """

    def __init__(self, max_age_s: float) -> None:
        self._max_age_s = max_age_s
        self._claims: OrderedDict[tuple[str, str], _Claim] = OrderedDict()

    def claim(self, caller: str, key: str, names: Names) -> str:
        """Take a key for a request, or find that it is the same request again.

        Args:
            caller: Who asks; nobody meets the keys of others.
            key: As it was sent.
            names: Of the request.

        Returns:
            Entity tag of the picture that the key stands for: that of the request that came first
            with it, which other weights may have fused.

        Raises:
            KeyReusedError: The key came with another request.
        """
        now = time.monotonic()
        while self._claims:
            oldest = next(iter(self._claims))
            is_old = now - self._claims[oldest].claimed_at > self._max_age_s
            if not is_old and len(self._claims) < MAX_KEYS:
                break
            del self._claims[oldest]
        earlier = self._claims.pop((caller, key), None)
        first = names if earlier is None else earlier.names
        self._claims[caller, key] = _Claim(first, now)
        if first.asked != names.asked:
            raise KeyReusedError(
                "expected a new Idempotency-Key for each request, got one that another came with"
            )
        return first.entity_tag
