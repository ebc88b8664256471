"""Gives a body to `receive_form` without a server, cut in any way, and says what came of it."""

import asyncio
from collections.abc import Sequence

from starlette.requests import Request

from model.errors import FusionError
from service.admission import Admission
from service.http.uploads import receive_form
from service.metrics import Metrics
from service.problem_types import find_row
from service.settings import LimitSettings
from tests.fuzz.answers import AnswerError
from tests.fuzz.forms import FormCase

STEPS = (0, 1, 7, 64)
"""Bytes of a chunk; 0: all at once. Bodies above `SMALL_BYTES` do without the smallest."""

SMALL_BYTES = 6000
MAX_BYTES = 1_000_000
Found = tuple[tuple[str, ...], tuple[bytes, ...], tuple[tuple[str, str], ...]] | FusionError


class FormReceiver:
    """Receives forms, one after the other, until it is closed."""

    def __init__(self) -> None:
        self._admission = Admission(LimitSettings(), Metrics())
        self._runner = asyncio.Runner()

    def close(self) -> None:
        """Let go of the event loop."""
        self._runner.close()

    def check(self, case: FormCase) -> int:
        """Receive a form in every cut.

        Returns:
            The status of its refusal, or 200.

        Raises:
            AnswerError: It makes a difference how the body is cut, the error is not one for the
                client, or a sound form is not found as it was made.
        """
        steps = [step for step in STEPS if step != 1 or len(case.body) <= SMALL_BYTES]
        found = [self.receive(case, step) for step in steps]
        told = [describe(one) for one in found]
        if any(one != told[0] for one in told):
            raise AnswerError(f"expected the same for every cut {steps}, got {told}")
        first = found[0]
        if isinstance(first, FusionError):
            status = find_row(first).status
            if not 400 <= status < 500 or case.files is not None:
                raise AnswerError(f"expected a form or its refusal, got {first!r}")
            return status
        _, files, options = first
        if case.files is not None and (files, dict(options)) != (
            _order(case, first),
            case.options,
        ):
            raise AnswerError("expected the files and options that were sent, got others")
        return 200

    def receive(self, case: FormCase, step: int) -> Found:
        """Receive a form in chunks of so many bytes."""
        return self._runner.run(self._receive(case, step))

    async def _receive(self, case: FormCase, step: int) -> Found:
        chunks = cut(case.body, step)
        messages = [{"type": "http.request", "body": one, "more_body": True} for one in chunks]
        waiting = iter([*messages, {"type": "http.request", "body": b"", "more_body": False}])

        async def receive() -> dict[str, object]:
            return next(waiting)

        given = {"content-type": case.content_type, "content-length": str(len(case.body))}
        headers = [(name.encode(), value.encode("latin-1")) for name, value in given.items()]
        request = Request({"type": "http", "method": "POST", "headers": headers}, receive)
        try:
            with self._admission.hold_upload() as allowance:
                form = await receive_form(request, allowance, max_bytes=MAX_BYTES)
        except FusionError as error:
            return error
        files = tuple(bytes(one) for one in form.files)
        return tuple(form.fields), files, tuple(sorted(form.options.items()))


def cut(body: bytes, step: int) -> Sequence[bytes]:
    """The body in chunks of so many bytes; 0: in one."""
    step = step or max(1, len(body))
    return [body[at : at + step] for at in range(0, len(body), step)]


def describe(found: Found) -> object:
    """What must not depend on how a body is cut."""
    return (type(found).__name__, str(found)) if isinstance(found, FusionError) else found


def _order(case: FormCase, found: tuple) -> tuple[bytes, ...]:
    """The files of a sound form in the order in which they are kept: `under` first."""
    fields, files, _ = found
    if fields == ("under", "over") and case.files == files[::-1]:
        return files
    return case.files
