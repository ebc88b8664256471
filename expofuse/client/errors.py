"""The client's errors: one class for each family of problems, and for answers that never come.

ClientError                         message
├── UsageError                      not a URL, not two to nine exposures, not a file
├── NoAnswerError                   no connection, or it ended before the whole answer had come
│   └── AnswerTimeoutError          nothing came for so long
├── UnexpectedAnswerError           what answered is no expofuse; status
└── ProblemError                    a problem document: type, title, detail, status, request_id
    ├── RequestError                the request itself is not taken
    │   ├── TooLargeError           too many bytes or pixels
    │   ├── OptionError             an option, or the format of the answer
    │   ├── ImageError              an exposure is damaged, or of a kind that is not fused
    │   └── ExposuresError          they do not belong together, or could not be aligned
    ├── ApiKeyError                 no API key, or one that is not in force
    ├── BusyError                   saturated, starting or stopping: try again later
    ├── DeadlineError               the request took too long, on its way or in the service
    └── ServiceError                the service failed
"""

import re
from dataclasses import dataclass
from http import HTTPStatus

UNNAMED_TYPE = "about:blank"
"""The type of a problem that says no more than its status (RFC 9457, section 4.2.1)."""

_CODE = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*$")


class ClientError(Exception):
    """Base of every error of the client; the message is one sentence."""

    @property
    def message(self) -> str:
        """The sentence."""
        return str(self)


class UsageError(ClientError, ValueError):
    """The caller asked for something that cannot be sent."""


class NoAnswerError(ClientError):
    """The service cannot be reached, or the connection ended before the whole answer had come."""


class AnswerTimeoutError(NoAnswerError):
    """The service did not accept the connection, take a piece or send one for `timeout_s`."""


class UnexpectedAnswerError(ClientError):
    """What answered there does not answer as this service does; another program, or a proxy.

    Attributes:
        status: HTTP status of the answer.
    """

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message, status)
        self.status = status

    def __str__(self) -> str:
        """The sentence."""
        return str(self.args[0])


@dataclass(frozen=True, slots=True)
class ProblemDocument:
    """What an answer that is none of success says.

    Attributes:
        type: Identifier of the class of problem; `about:blank` where something in front of the
            service answered.
        title: The same words for every occurrence of this class.
        status: HTTP status.
        detail: What was expected and what came; may be empty.
        request_id: Under which the service's log tells of it; None where it was not told.
        retry_after_s: How long the service asks to wait, in seconds; None where it does not.
    """

    type: str
    title: str
    status: int
    detail: str
    request_id: str | None
    retry_after_s: float | None

    @property
    def code(self) -> str:
        """The last part of the type, which names the class of problem; empty where there is none.

        Example:
            >>> ProblemDocument("/problems/queue-full", "", 503, "", None, 5.0).code
            'queue-full'
        """
        found = _CODE.search(self.type)
        return found.group() if found and self.type != UNNAMED_TYPE else ""


class ProblemError(ClientError):
    """The service answered with a problem; its classes tell what may be done about it.

    Attributes:
        problem: The document.
    """

    def __init__(self, problem: ProblemDocument) -> None:
        super().__init__(problem)
        self.problem = problem

    def __str__(self) -> str:
        """Status, title and detail on one line."""
        return ": ".join(part for part in (str(self.status), self.title, self.detail) if part)

    @property
    def type(self) -> str:
        """Identifier of the class of problem."""
        return self.problem.type

    @property
    def code(self) -> str:
        """The last part of the type; empty where there is none."""
        return self.problem.code

    @property
    def title(self) -> str:
        """The same words for every occurrence of this class."""
        return self.problem.title

    @property
    def status(self) -> int:
        """HTTP status."""
        return self.problem.status

    @property
    def detail(self) -> str:
        """What was expected and what came; may be empty."""
        return self.problem.detail

    @property
    def request_id(self) -> str | None:
        """Under which the service's log tells of it."""
        return self.problem.request_id

    @property
    def retry_after_s(self) -> float | None:
        """How long the service asks to wait, in seconds."""
        return self.problem.retry_after_s


class RequestError(ProblemError):
    """The request is not taken; sent again, it would not be taken either."""


class TooLargeError(RequestError):
    """Too many bytes or pixels, or a picture that needs too much memory."""


class OptionError(RequestError):
    """An option is unknown or has a value that is not taken, or no format can hold the picture."""


class ImageError(RequestError):
    """An exposure is damaged, or is a file of a kind that is not fused."""


class ExposuresError(RequestError):
    """The exposures do not belong together, or could not be aligned though that was required."""


class ApiKeyError(ProblemError):
    """The service asks for an API key, and none came, or one that is not in force."""


class BusyError(ProblemError):
    """The service is saturated, starting or stopping, or the key is above its limits.

    Or a proxy says so; try again later.
    """


class DeadlineError(ProblemError):
    """The request took longer than it may: it came too slowly, or the service did not get done."""


class ServiceError(ProblemError):
    """The service failed; its log says why, under the request id."""


FAMILY_OF_CODE: dict[str, type[ProblemError]] = {
    "alignment-failed": ExposuresError,
    "bad-option": OptionError,
    "body-too-large": TooLargeError,
    "codec-memory": TooLargeError,
    "exposure-mismatch": ExposuresError,
    "image-damaged": ImageError,
    "not-acceptable": OptionError,
    "too-many-pixels": TooLargeError,
    "metadata-too-large": TooLargeError,
    "unsupported-image": ImageError,
    "unsupported-media-type": ImageError,
}
"""Of the codes whose family is not told by their status."""

_FAMILY_OF_STATUS: dict[int, type[ProblemError]] = {
    HTTPStatus.REQUEST_TIMEOUT: DeadlineError,
    HTTPStatus.UNAUTHORIZED: ApiKeyError,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: TooLargeError,
    HTTPStatus.TOO_MANY_REQUESTS: BusyError,
    HTTPStatus.SERVICE_UNAVAILABLE: BusyError,
    HTTPStatus.INSUFFICIENT_STORAGE: BusyError,
    HTTPStatus.GATEWAY_TIMEOUT: DeadlineError,
}


def make_error(problem: ProblemDocument) -> ProblemError:
    """The error of a problem; one of a class that is not known here goes by its status.

    Example:
        >>> problem = ProblemDocument("/problems/new", "", 503, "", None, None)
        >>> type(make_error(problem)).__name__
        'BusyError'
    """
    family = FAMILY_OF_CODE.get(problem.code) or _FAMILY_OF_STATUS.get(problem.status)
    if family is None:
        is_ours = problem.status < HTTPStatus.INTERNAL_SERVER_ERROR
        family = RequestError if is_ours else ServiceError
    return family(problem)
