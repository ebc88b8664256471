"""Answers fusions, each picture made once: from what is kept, with others that wait, or anew."""

import asyncio
import copy
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from http import HTTPStatus

from model.errors import FusionError
from service.admission import Allowance
from service.errors import IdempotencyKeyError
from service.fusing.kept import Answer, IdempotencyKeys, KeptAnswers
from service.fusing.path import FusedPicture, Fusion, run_fusion
from service.fusing.tag import Names
from service.fusing.told import CACHE_HEADER
from service.lifecycle import Service
from service.problem_types import CLIENT_LEFT_STATUS, REUSED_OUTCOME, find_row
from service.request_record import RequestRecord

_KEY = re.compile(r'"([\x20\x21\x23-\x5b\x5d-\x7e]{1,255})"|([\x21\x23-\x7e]{1,255})')


def read_idempotency_key(values: Sequence[str]) -> str | None:
    """The key of a request; None where it has none.

    Args:
        values: Its headers `Idempotency-Key`: a string in quotes, as the IETF's draft has it
            (draft-ietf-httpapi-idempotency-key-header), or bare, as most clients send it.

    Raises:
        IdempotencyKeyError: There are several, or it is none.

    Example:
        >>> [read_idempotency_key(values) for values in ([], ['"8e03"'], ["8e03"])]
        [None, '8e03', '8e03']
    """
    if not values:
        return None
    found = _KEY.fullmatch(values[0].strip())
    if found is None or len(values) > 1:
        raise IdempotencyKeyError(
            "expected one Idempotency-Key of 1 to 255 printable ASCII characters, got another"
        )
    return found[1] or found[2]


class _Flight:
    """A fusion that is under way for everybody who waits for it; ended when nobody does.

    Args:
        tag: Entity tag of its picture.
        fusion: What is fused.
        upload: Holds the bytes of its files; the flight gives them back.
        record: Of the request that it was begun for.
        service: Its parts.
    """

    def __init__(
        self,
        tag: str,
        fusion: Fusion,
        upload: Allowance,
        record: RequestRecord,
        service: Service,
    ) -> None:
        self.tag = tag
        self.record = record
        self.is_keyed = False
        self._service = service
        self._waiting = 0
        self.task = asyncio.create_task(self._run(fusion, upload), name="shared-fusion")

    @property
    def is_open(self) -> bool:
        """Others may still join."""
        return not self.task.done() and self._waiting > 0

    async def wait(self, *, is_own: bool) -> FusedPicture:
        """The picture, with an allowance for one more client that has not read it.

        Args:
            is_own: Of the request that it was begun for.

        Raises:
            FusionError: The flight's; others than its own request get a copy, because an error
                holds on to the frames that it passed, and they are cleared when one has answered.
        """
        self._waiting += 1
        try:
            await asyncio.wait({self.task})
            if (error := self.task.exception()) is not None:
                raise error if is_own else copy.copy(error)
            fused = self.task.result()
            allowance = self._service.admission.hold_response(len(fused.picture))
            return replace(fused, allowance=allowance)
        finally:
            self._waiting -= 1
            if not self._waiting:
                await self._end()

    def find_place(self) -> int:
        """See `RequestRecord.find_place`."""
        return 0 if self.record.find_place is None else self.record.find_place()

    async def _run(self, fusion: Fusion, upload: Allowance) -> FusedPicture:
        try:
            return await run_fusion(fusion, upload, self.record, self._service)
        finally:
            upload.release()

    async def _end(self) -> None:
        self.task.cancel()
        await asyncio.wait({self.task})
        if not self.task.cancelled() and self.task.exception() is None:
            self.task.result().allowance.release()


class Answering:
    """The pictures that are kept or under way, and the keys of requests.

    Args:
        service: Its parts.
    """

    def __init__(self, service: Service) -> None:
        settings, shown = service.settings.cache, service.metrics.kept_bytes
        self._service = service
        self._has_cache = settings.bytes > 0
        self._equal = KeptAnswers(
            settings.bytes, max_age_s=None, show_bytes=shown.labels("equal").set
        )
        self._keyed = KeptAnswers(
            settings.keyed_bytes,
            max_age_s=settings.keyed_s,
            show_bytes=shown.labels("keyed").set,
        )
        self._keys = IdempotencyKeys(settings.keyed_s)
        self._flights: dict[str, _Flight] = {}

    async def answer(
        self,
        fusion: Fusion,
        names: Names,
        key: str | None,
        upload: Allowance,
        record: RequestRecord,
    ) -> FusedPicture:
        """The picture of a request, fused where none is kept or under way that may be given.

        Args:
            fusion: From `judge`.
            names: Of it.
            key: Its idempotency key.
            upload: What its files count; released once they are decoded.
            record: Takes the times of the stages, and the outcome.

        Raises:
            KeyReusedError: The key came with another request.
            FusionError: Any step's of the fusion.
        """
        tag = names.entity_tag
        if key is None and not self._has_cache:
            fused = await run_fusion(fusion, upload, record, self._service)
            return replace(fused, headers=_tell(fused.headers, tag, "miss"))
        tags = [tag]
        if key is not None:
            tags.insert(0, self._keys.claim(record.caller, key, names))
        while True:
            if (kept := self._find(tags, is_keyed=key is not None)) is not None:
                return self._give(kept, fusion, record)
            flight = self._find_flight(tags)
            is_own = flight is None
            if flight is None:
                flight = self._begin(tag, fusion, upload.pass_on(), record)
            flight.is_keyed = flight.is_keyed or key is not None
            if is_own:
                fused = await flight.wait(is_own=True)
                return replace(fused, headers=_tell(fused.headers, tag, "miss"))
            try:
                return await self._share(flight, fusion, record)
            except FusionError as error:
                if _is_final(error):
                    raise
                # What befell the other one says nothing of this request: it tries by itself.

    def _begin(self, tag: str, fusion: Fusion, upload: Allowance, record: RequestRecord) -> _Flight:
        flight = self._flights[tag] = _Flight(tag, fusion, upload, record, self._service)
        # Called before those that wait are told: whoever comes then finds the picture kept.
        flight.task.add_done_callback(partial(self._end_flight, flight))
        return flight

    def _end_flight(self, flight: _Flight, task: asyncio.Task[FusedPicture]) -> None:
        if self._flights.get(flight.tag) is flight:
            del self._flights[flight.tag]
        if task.cancelled() or task.exception() is not None:
            return
        fused = task.result()
        answer = Answer(flight.tag, fused.picture, fused.media_type, fused.headers)
        self._equal.keep(answer)
        if flight.is_keyed:
            self._keyed.keep(answer)

    def _find_flight(self, tags: Sequence[str]) -> _Flight | None:
        found = (self._flights.get(tag) for tag in tags)
        return next((one for one in found if one is not None and one.is_open), None)

    def _find(self, tags: Sequence[str], *, is_keyed: bool) -> Answer | None:
        places = (self._equal, self._keyed) if is_keyed else (self._equal,)
        found = (place.find(tag) for tag in tags for place in places)
        return next((one for one in found if one is not None), None)

    def _give(self, kept: Answer, fusion: Fusion, record: RequestRecord) -> FusedPicture:
        """A picture that is kept, to one more client."""
        _note_reuse(fusion, record)
        headers = _tell(kept.headers, kept.entity_tag, "hit") | {
            "Age": str(int(kept.age_s)),
            "Server-Timing": record.stages.server_timing(),
        }
        allowance = self._service.admission.hold_response(len(kept.picture))
        return FusedPicture(kept.picture, allowance, kept.media_type, headers)

    async def _share(self, flight: _Flight, fusion: Fusion, record: RequestRecord) -> FusedPicture:
        """The picture that is made for another; how far it is, is how far this request is."""
        own_stages = record.stages
        record.stages, record.find_place = flight.record.stages, flight.find_place
        try:
            fused = await flight.wait(is_own=False)
        except FusionError:
            record.stages, record.find_place = own_stages, None
            raise
        _note_reuse(fusion, record)
        return replace(fused, headers=_tell(fused.headers, flight.tag, "shared"))


def _tell(headers: Mapping[str, str], entity_tag: str, how: str) -> dict[str, str]:
    return {**headers, "ETag": entity_tag, CACHE_HEADER: how}


def _note_reuse(fusion: Fusion, record: RequestRecord) -> None:
    record.outcome = REUSED_OUTCOME
    record.end = time.monotonic()
    record.weights = fusion.weights.label
    record.megapixels = fusion.megapixels


def _is_final(error: FusionError) -> bool:
    """An equal request would fail in the same way, whenever it comes."""
    row = find_row(error)
    is_of_request = row.status < HTTPStatus.INTERNAL_SERVER_ERROR
    return is_of_request and row.status != CLIENT_LEFT_STATUS and not row.may_retry
