"""Sends a picture to its client piece by piece, and counts it until it is sent."""

import time
from collections.abc import Mapping
from http import HTTPStatus

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from service.admission import Allowance
from service.problem_types import NOT_MODIFIED_OUTCOME
from service.request_record import RequestRecord

KEPT_BY_ITS_CLIENT = {"Cache-Control": "private, no-cache"}
"""The client may keep a picture, and asks by its entity tag whether it is still the one; a cache
that others share may not."""

PIECE_BYTES = 1 << 16
"""What the connection buffers anyway; the next piece waits until the client has read."""


class PictureResponse(Response):
    """An answer whose bytes stay in a budget until the connection has taken them.

    Sent in one piece, a picture would lie in the connection's own buffer, where nothing counts it,
    for as long as its client likes.

    Args:
        picture: The encoded picture.
        allowance: Holds its bytes in the budget of pictures that are not read yet.
        media_type: Of the picture.
        headers: Further headers.
    """

    def __init__(
        self,
        picture: bytes,
        allowance: Allowance,
        *,
        media_type: str,
        headers: Mapping[str, str],
    ) -> None:
        super().__init__(picture, media_type=media_type, headers=headers)
        self._allowance = allowance

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the picture."""
        start = {"type": "http.response.start", "status": 200, "headers": self.raw_headers}
        try:
            await send(start)
            picture = memoryview(self.body)
            for begin in range(0, len(picture), PIECE_BYTES):
                end = begin + PIECE_BYTES
                piece, has_more = bytes(picture[begin:end]), end < len(picture)
                await send({"type": "http.response.body", "body": piece, "more_body": has_more})
        finally:
            self._allowance.release()


def answer_not_modified(record: RequestRecord, entity_tag: str) -> Response:
    """Tell a client that it has the picture, and note the outcome.

    RFC 9110 has 412 for conditions of methods other than GET and HEAD. A fusion changes nothing,
    and POST is its method only because exposures do not fit into a URL.

    Args:
        record: Of the request.
        entity_tag: Of the picture.
    """
    record.outcome = NOT_MODIFIED_OUTCOME
    record.end = time.monotonic()
    headers = {"ETag": entity_tag, **KEPT_BY_ITS_CLIENT}
    return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
