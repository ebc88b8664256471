"""The service's branch of the error tree: why a request is refused, dropped or failed.

FusionError                         (model/errors.py)
└── ServiceError                    code, message
    ├── RequestHeadError            the request is damaged, or contradicts itself
    ├── TargetTooLongError          the request line is longer than the limit
    ├── HeadTooLargeError           more bytes of headers than the limit
    ├── RequestTimeoutError         the request comes too slowly, or does not come to its end
    ├── ExpectationError            an Expect other than 100-continue
    ├── HttpVersionError            neither HTTP/1.1 nor HTTP/1.0
    ├── TransferCodingError         a transfer coding other than chunked
    ├── UnauthorizedError           no key that is in force came with the request
    ├── RateLimitError              the key, or wrong keys of an address, came too often
    ├── TooManyConcurrentError      the key has too many requests under way
    ├── KeyFileError                the file of keys is not taken: fails the start
    ├── OriginError                 a page of this origin may not call the service
    ├── MultipartError              the body is not the form that the route takes
    ├── DocumentError               the body is not the JSON that the route takes
    ├── CodingError                 the body, or a part of it, is compressed or encoded
    ├── IdempotencyKeyError         the Idempotency-Key is no key
    ├── KeyReusedError              another request came with this Idempotency-Key
    ├── NotAcceptableError          no format that the client takes can hold the picture
    ├── LengthRequiredError         a POST without a body
    ├── BodyTooLargeError           more bytes than the limit
    ├── QueueFullError              every waiting place is taken
    ├── WorkerStoppedError          the process that should do the work is stopping or gone
    ├── DisconnectedError           the client left before its answer
    ├── DeadlineError               the job's deadline passed before its work was done
    ├── ChildStartError             a child process did not come up
    ├── AddressError                the address to listen on is taken, unknown or another's
    ├── OpenFilesError              too few open files are allowed, at start
    ├── TlsError                    the certificate, its key or the clients' are not sound
    ├── ReloadError                 the weights that lie there cannot take the place of those served
    ├── SharedMemoryError           /dev/shm is full, too small at start, or a block is gone
    ├── ScarcityError               the system has no file, memory or disk left
    ├── JobsOffError                jobs are asked for, and there is no folder to keep them in
    ├── JobNotFoundError            no job of this id, or it is another caller's
    ├── JobUnfinishedError          the picture of a job that is not done
    ├── JobGoneError                the picture of a job that was cancelled, or kept long enough
    ├── JobLostError                the service ended too often while the job ran
    ├── StorageFullError            the folder of the jobs has no room for another
    ├── JobsSetupError              the folder or a setting of the jobs cannot be used; at start
    └── CodecError                  a codec process failed at this call
        ├── CodecTimeoutError       it was over its time
        ├── CodecMemoryError        it was over its memory
        └── CodecCrashError         it died at this call, again and again

Messages name the expected and the actual value; never a path or client bytes.
"""

from model.errors import FusionError


class ServiceError(FusionError):
    """Base of the errors that belong to serving rather than to numerics."""

    code = "service-error"


class RequestHeadError(ServiceError):
    """The request is damaged, contradicts itself, or ends before its end."""

    code = "malformed-request"


class TargetTooLongError(ServiceError):
    """The request line is longer than the limit."""

    code = "target-too-long"


class HeadTooLargeError(ServiceError):
    """The request line and the headers together are larger than the limit."""

    code = "head-too-large"


class RequestTimeoutError(ServiceError):
    """The request comes too slowly, or its end does not come in time."""

    code = "request-timeout"


class ExpectationError(ServiceError):
    """The request expects of the service what it does not do."""

    code = "unmet-expectation"


class HttpVersionError(ServiceError):
    """The request is of neither HTTP/1.1 nor HTTP/1.0."""

    code = "unsupported-http-version"


class TransferCodingError(ServiceError):
    """The body comes in a transfer coding other than chunked."""

    code = "unsupported-transfer-coding"


class UnauthorizedError(ServiceError):
    """No key that is in force came with the request.

    Args:
        message: What was expected; never why a key is not in force.
        has_key: The request came with one.
    """

    code = "unauthorized"

    def __init__(self, message: str, *, has_key: bool = False) -> None:
        super().__init__(message)
        self.has_key = has_key

    @property
    def challenge(self) -> str:
        """The header `WWW-Authenticate` (RFC 6750, section 3)."""
        return 'Bearer realm="expofuse"' + (', error="invalid_token"' if self.has_key else "")


class RateLimitError(ServiceError):
    """A key has used up what it may ask for in a minute, or an address sent too many wrong ones."""

    code = "rate-limited"


class TooManyConcurrentError(ServiceError):
    """A key has as many requests under way as it may."""

    code = "too-many-concurrent"


class KeyFileError(ServiceError):
    """The file of keys cannot be read, is not of its form, or others may write to it."""

    code = "bad-key-file"


class OriginError(ServiceError):
    """A browser asks whether a page of an origin that is not listed may send its request."""

    code = "origin-not-allowed"


class CodingError(ServiceError):
    """The body, or a part of it, comes in a coding that is not taken."""

    code = "unsupported-coding"


class NotAcceptableError(ServiceError):
    """No format that the client takes can hold the picture, or none is written here."""

    code = "not-acceptable"


class IdempotencyKeyError(ServiceError):
    """The header `Idempotency-Key` holds no key, or more than one."""

    code = "malformed-idempotency-key"


class KeyReusedError(ServiceError):
    """The same caller sent another request with this `Idempotency-Key`."""

    code = "idempotency-key-reused"


class MultipartError(ServiceError):
    """The body is not the multipart form that the route takes."""

    code = "malformed-multipart"


class DocumentError(ServiceError):
    """The body is not the JSON document that the route takes."""

    code = "malformed-document"


class LengthRequiredError(ServiceError):
    """The request declares no body: neither a length nor chunks."""

    code = "length-required"


class BodyTooLargeError(ServiceError):
    """The body, declared or received, is larger than the limit."""

    code = "body-too-large"


class QueueFullError(ServiceError):
    """Every waiting place is taken; the caller may try again later.

    Attributes:
        retry_after_s: Seconds after which there should be room; None: not known.
    """

    code = "queue-full"

    def __init__(self, message: str, *, retry_after_s: int | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class WorkerStoppedError(ServiceError):
    """The process that should do the work is stopping, or is gone."""

    code = "worker-stopped"


class DisconnectedError(ServiceError):
    """The client left before its answer; nobody reads the problem document."""

    code = "disconnected"


class DeadlineError(ServiceError):
    """The job's deadline passed before its work was done."""

    code = "deadline-passed"


class AddressError(ServiceError):
    """The address to listen on is taken, is not one of this machine, or its name is unknown."""

    code = "address"


class OpenFilesError(ServiceError):
    """The process may open too few files to serve anybody."""

    code = "open-files"


class TlsError(ServiceError):
    """The certificate, its key, or the certificates of clients cannot be read or used."""

    code = "tls"


class SharedMemoryError(ServiceError):
    """Shared memory is full, too small for the settings at start, or a block of it is gone."""

    code = "shared-memory"


class ScarcityError(ServiceError):
    """The system has no open file, memory or room on a disk left for what a request needs."""

    code = "scarcity"


class JobsOffError(ServiceError):
    """The service keeps no jobs: no state folder is set."""

    code = "jobs-off"


class JobNotFoundError(ServiceError):
    """There is no job of this id, or it is not the caller's."""

    code = "no-such-job"


class JobUnfinishedError(ServiceError):
    """The picture of a job was asked for before the job was done."""

    code = "job-unfinished"


class JobGoneError(ServiceError):
    """The picture of a job is not kept any more, or the job was cancelled."""

    code = "job-gone"


class JobLostError(ServiceError):
    """The service ended too often while the job ran, or its exposures are gone."""

    code = "job-lost"


class StorageFullError(ServiceError):
    """The folder of the jobs is full of those that are not done yet, or the disk is."""

    code = "storage-full"


class JobsSetupError(ServiceError):
    """The state folder, or a setting of the jobs, cannot be used; ends the start."""

    code = "jobs-setup"


class CodecError(ServiceError):
    """A codec process failed at this call for a reason that is not one of those below."""

    code = "codec-failed"


class CodecTimeoutError(CodecError):
    """A codec process needed longer than its time for this call and was ended."""

    code = "codec-timeout"


class CodecMemoryError(CodecError):
    """This call needs more memory than a codec process may have."""

    code = "codec-memory"


class CodecCrashError(CodecError):
    """Codec processes died at this call, one after another; GLib's answer to a lack of memory."""

    code = "codec-crashed"


class ChildStartError(ServiceError):
    """A child process did not come up; at the service's start this ends it.

    Args:
        message: One sentence.
        is_passing: The system gave no process, or somebody took it away: nothing is wrong with
            the program, and the next trial is cheap and may succeed.
    """

    code = "child-start-failed"

    def __init__(self, message: str, *, is_passing: bool = False) -> None:
        super().__init__(message)
        self.is_passing = is_passing


class ReloadError(ServiceError):
    """What lies there now cannot take the place of what is served, which stays."""

    code = "reload-failed"


def error_from_code(code: str, message: str) -> FusionError:
    """Make the error that another process reported, from its code.

    Args:
        code: Code of a class of the tree; an unknown one makes a `CodecError`.
        message: Its message.
    """
    waiting: list[type[FusionError]] = [FusionError]
    while waiting:
        kind = waiting.pop()
        if kind.code == code:
            return kind(message)
        waiting.extend(kind.__subclasses__())
    return CodecError(message)
