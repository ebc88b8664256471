"""What is kept of one job."""

import secrets
from dataclasses import dataclass
from typing import Final

from pydantic import BaseModel, Field

from expofuse.answers import JobState, WebhookState
from service.fusing.form import Form
from service.fusing.options import FileField, FuseOptions
from service.request_record import KEY_PREFIX

ID_BYTES: Final = 16
"""An id is a secret: whoever knows it may fetch the picture."""


class StoredPicture(BaseModel):
    """The picture of a job that is done.

    Attributes:
        media_type: Of the file.
        headers: What is told about it.
        digest: SHA-256 of the file, in hexadecimal digits.
        n_bytes: Of the file.
    """

    media_type: str
    headers: dict[str, str]
    digest: str
    n_bytes: int


class StoredProblem(BaseModel):
    """Why a job failed.

    Attributes:
        code: Of the type of problem.
        detail: What was expected and what came.
    """

    code: str
    detail: str


class StoredForm(BaseModel):
    """What was asked for, but the bytes of the exposures.

    Attributes:
        options: Of the request.
        fields: The field of each exposure.
        sizes: Bytes of each exposure; their files lie one behind the other.
        trace_headers: Of the request that asked, see `RequestRecord`; no part of what is asked for.
    """

    options: FuseOptions
    fields: list[FileField]
    sizes: list[int]
    trace_headers: dict[str, str] = Field(default_factory=dict)

    def fill(self, content: bytes) -> Form:
        """The form as it was sent.

        Args:
            content: The exposures, one behind the other.
        """
        files: list[bytearray] = []
        begin = 0
        view = memoryview(content)
        for size in self.sizes:
            files.append(bytearray(view[begin : begin + size]))
            begin += size
        return Form(fields=list(self.fields), files=files)


@dataclass(frozen=True, slots=True)
class NewJob:
    """A job that is about to be accepted.

    Attributes:
        id: Names it; a secret.
        caller: Who asks, as `RequestRecord.caller`.
        request_id: Of the request that brought it; its log lines carry it.
        form: What is asked for.
        work_s: Seconds of work that are expected.
        picture_bytes: What its picture will take, at most but for metadata.
        webhook: URL to call when it is done or has failed; None: none.
    """

    id: str
    caller: str
    request_id: str
    form: StoredForm
    work_s: float
    picture_bytes: int
    webhook: str | None

    @property
    def exposure_bytes(self) -> int:
        """Bytes of all exposures."""
        return sum(self.form.sizes)


@dataclass(frozen=True, slots=True)
class Job:
    """A job as it is kept; times are seconds since 1970.

    Attributes:
        number: Place in the order of acceptance.
        id: Names it; a secret.
        caller: Who asked.
        request_id: Of the request that brought it.
        state: How far it is.
        form: What is asked for.
        work_s: Seconds of work that are expected.
        attempts: How often it was begun and not ended in order.
        accepted_s: When it was accepted.
        started_s: When it was begun last.
        finished_s: When it came to its end.
        expires_s: Until when it is kept.
        picture: Where it is done.
        problem: Where it failed.
        webhook: URL to call; None: none.
        webhook_state: What became of that.
        webhook_attempts: How often it was called.
    """

    number: int
    id: str
    caller: str
    request_id: str
    state: JobState
    form: StoredForm
    work_s: float
    attempts: int
    accepted_s: float
    started_s: float | None
    finished_s: float | None
    expires_s: float | None
    picture: StoredPicture | None
    problem: StoredProblem | None
    webhook: str | None
    webhook_state: WebhookState
    webhook_attempts: int

    def is_of(self, caller: str) -> bool:
        """Whether a caller who knows the id may have it: one by key belongs to that key alone."""
        return not self.caller.startswith(KEY_PREFIX) or self.caller == caller


def make_job_id() -> str:
    """A new id that nobody can guess, 32 hexadecimal digits."""
    return secrets.token_hex(ID_BYTES)
