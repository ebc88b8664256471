"""Keeps the requests that are being answered, so that their clients can ask how far they are."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from service.http.schemas import RequestProgress
from service.request_record import RequestRecord

MIN_SECRET_LENGTH = 20
"""Characters of an id by which a request can be asked about: a shorter one could be guessed."""


class RunningRequests:
    """The requests to fuse that are being answered, by their ids.

    There are never more of them than connections. Whoever knows a request's id may ask about it.
    """

    def __init__(self) -> None:
        self._records: dict[str, RequestRecord] = {}

    @contextmanager
    def showing(self, record: RequestRecord) -> Iterator[None]:
        """Let a request be asked about for the length of a `with`.

        Of several with one id the last is shown.
        """
        self._records[record.request_id] = record
        try:
            yield
        finally:
            if self._records.get(record.request_id) is record:
                del self._records[record.request_id]

    def describe(self, request_id: str) -> RequestProgress:
        """How far a request is.

        Args:
            request_id: As its client sent it; of a short one nothing is told.
        """
        record = self._records.get(request_id)
        if record is None or len(request_id) < MIN_SECRET_LENGTH:
            return RequestProgress(stage="none")
        return describe_progress(record)


def describe_progress(record: RequestRecord) -> RequestProgress:
    """How far a request is.

    Args:
        record: Of the request, which need not have reached any stage.
    """
    stages = record.stages
    place = 0 if record.find_place is None else record.find_place()
    # The queue of jobs times these two, and tells of both only when the job is done.
    is_begun = stages.current == "queue" and place == 0
    return RequestProgress(
        stage="send" if record.end is not None else "fuse" if is_begun else stages.current,
        place=place,
        elapsed_s=round(time.monotonic() - record.begin, 3),
        stages_ms={name: round(1000 * seconds, 1) for name, seconds in stages.seconds.items()},
    )
