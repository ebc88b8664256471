"""Lists every type of problem: its HTTP status, what it means and what to do about it.

No other place knows an error's status or words. Problem documents (`service/problems.py`), the
pages that their `type` leads to (`service/http/problem_pages.py`), the labels of metrics and
`docs/problems.md` are made from these tables.
"""

from dataclasses import dataclass
from typing import Final

from expofuse.errors import (
    EncodeError,
    ImageDecodeError,
    MediaTypeError,
    MetadataLimitError,
    OptionError,
    PixelLimitError,
    UnsupportedImageError,
)
from model.errors import AlignmentError, ExposureError, FusionError, InferenceError
from service.errors import (
    BodyTooLargeError,
    CodecCrashError,
    CodecError,
    CodecMemoryError,
    CodecTimeoutError,
    CodingError,
    DeadlineError,
    DisconnectedError,
    DocumentError,
    ExpectationError,
    HeadTooLargeError,
    HttpVersionError,
    IdempotencyKeyError,
    JobGoneError,
    JobLostError,
    JobNotFoundError,
    JobsOffError,
    JobUnfinishedError,
    KeyReusedError,
    LengthRequiredError,
    MultipartError,
    NotAcceptableError,
    OriginError,
    QueueFullError,
    RateLimitError,
    ReloadError,
    RequestHeadError,
    RequestTimeoutError,
    ScarcityError,
    SharedMemoryError,
    StorageFullError,
    TargetTooLongError,
    TooManyConcurrentError,
    TransferCodingError,
    UnauthorizedError,
    WorkerStoppedError,
)
from service.request_record import UNSETTLED_OUTCOME

TYPE_PREFIX: Final = "/problems/"
"""A `type` is this and a code: a path of the service, which answers it with the problem's page."""

NO_TYPE: Final = "about:blank"
"""The `type` of what its HTTP status alone describes (RFC 9457, section 4.2.1)."""

CLIENT_LEFT_STATUS: Final = 499
"""Never sent to anybody; for the log."""

INTERNAL_CODE: Final = "internal-error"
FUSED_OUTCOME: Final = "fused"
REUSED_OUTCOME: Final = "reused"
"""Answered with a picture that was made, or was being made, for an equal request."""

NOT_MODIFIED_OUTCOME: Final = "not-modified"
ACCEPTED_OUTCOME: Final = "accepted"
"""Of `POST /jobs`; what becomes of the job is another matter."""

"""The client has the picture already, as its `If-None-Match` says."""


_TRY_AGAIN = "Send the request again after the seconds that `Retry-After` names."
_ASK_OPERATOR = (
    "Send the request again, once. If it fails again, give the operator the `request_id`: the log "
    "of the service says under it what happened."
)


@dataclass(frozen=True, slots=True)
class Row:
    """How one class of error is told to a client.

    Attributes:
        status: HTTP status.
        title: The same words for every occurrence.
        meaning: What happened, in a sentence or two.
        remedy: What the client, or the operator, can do.
        may_retry: The answer carries `Retry-After`.
        is_internal: The cause is ours: fixed text to the client, the trace in the log.
    """

    status: int
    title: str
    meaning: str
    remedy: str
    may_retry: bool = False
    is_internal: bool = False


PROBLEMS: Final[dict[type[FusionError], Row]] = {
    RequestHeadError: Row(
        400,
        "The request is damaged",
        "The request line, a header or the framing of the body breaks the rules of HTTP, or two "
        "headers contradict each other, such as `Content-Length` beside chunks.",
        "Send the request by a library for HTTP, and see whether a proxy on the way changes it.",
    ),
    MultipartError: Row(
        400,
        "The body is not the expected form",
        "The multipart form is damaged or ends early, `under` or `over` is missing, or `exposures` "
        "stands beside them.",
        "Send either `under` and `over`, once each, or `exposures` two to nine times, and let the "
        "library write the boundary and the `Content-Type`.",
    ),
    IdempotencyKeyError: Row(
        400,
        "The Idempotency-Key is no key",
        "The header `Idempotency-Key` is empty, longer than 255 characters, holds others than "
        "printable ASCII, or comes twice.",
        "Send a new UUID with each request, and the same one only where that request is repeated.",
    ),
    UnauthorizedError: Row(
        401,
        "An API key is needed",
        "The service answers those who send an API key, and none came, or one that is not in "
        "force: mistyped, expired or revoked. It is not told which.",
        "Send `Authorization: Bearer KEY`; the Python client and the command take it from "
        "`EXPOFUSE_API_KEY`. An operator makes keys by `expofuse keys add`: `docs/deployment.md`.",
    ),
    OriginError: Row(
        403,
        "Pages of this origin may not call the service",
        "A browser asked on behalf of a page of another origin that is not listed.",
        "Add the origin of the page to `EXPOFUSE_CORS_ORIGINS` and start the service again.",
    ),
    NotAcceptableError: Row(
        406,
        "No acceptable format can hold the picture",
        "`Accept` admits no format that is written here, or only such as cannot hold a picture of "
        "this size (JPEG ends at 65,535 pixels a side, WebP at 16,383).",
        "Name another format in `Accept`, leave the header out, or set the option `format`.",
    ),
    RequestTimeoutError: Row(
        408,
        "The request came too slowly",
        "The head of the request was not complete in its time, or its body came below the least "
        "rate for too long or took too long as a whole.",
        "Send it again over a faster line, or smaller files. The bounds are `head_timeout_s`, "
        "`min_receive_bytes_per_s`, `receive_stall_timeout_s` and `receive_timeout_s` at "
        "`GET /limits`; an operator can raise them.",
    ),
    ReloadError: Row(
        409,
        "What lies there cannot be served",
        "A reload was asked for, and what was found did not pass its checks, or the service is "
        "stopping. What was served before is served on.",
        "The `detail` names the check. Mend what lies there and ask again; "
        "`expofuse weights verify` runs every check.",
    ),
    LengthRequiredError: Row(
        411,
        "The request has no body",
        "The request has neither a `Content-Length` nor chunks, so nothing can be read from it.",
        "Send the exposures as a multipart form in the body of the request.",
    ),
    BodyTooLargeError: Row(
        413,
        "The body is too large",
        "The body has more bytes than one request may have.",
        "Send fewer or smaller files. The bound is `max_body_bytes` at `GET /limits`; an operator "
        "sets it by `EXPOFUSE_LIMITS__MAX_BODY_BYTES`.",
    ),
    PixelLimitError: Row(
        413,
        "The image is too large",
        "One exposure, or all of them together, have more pixels than one request may have, or a "
        "side is too long.",
        "Reduce the exposures before they are sent. The bounds are `max_megapixels`, `max_side_px` "
        "and `max_megapixels_in_flight` at `GET /limits`; an operator can raise them.",
    ),
    MetadataLimitError: Row(
        413,
        "The file holds too much beside its picture",
        "An exposure has more than 32 MiB of metadata (profiles, EXIF, XMP, texts, embedded depth "
        "maps) before its pixels.",
        "Save the picture without it, or export it anew.",
    ),
    CodecMemoryError: Row(
        413,
        "The image needs too much memory",
        "Decoding or encoding this image takes more memory than one call may take.",
        "Save the image in another way (not progressive, not interlaced) or reduce it. An operator "
        "can raise `EXPOFUSE_CODEC__MEMORY_BYTES`.",
    ),
    TargetTooLongError: Row(
        414,
        "The request line is too long",
        "The path and the query together are longer than the bound.",
        "Send the options as fields of the form rather than in the query.",
    ),
    MediaTypeError: Row(
        415,
        "Not a media type that is taken here",
        "The body is not a multipart form, or a file is not a picture of a kind that is read here; "
        "its first bytes decide, not its name.",
        "Send `multipart/form-data` with JPEG, PNG, WebP, TIFF, AVIF, BMP or camera raw. HEIC and "
        "JPEG XL need their extras: `make serve EXTRAS=service,client,raw,heic,jxl`.",
    ),
    CodingError: Row(
        415,
        "Not a coding that is taken here",
        "The body, or a part of the form, is compressed or encoded.",
        "Send it as it is, without `Content-Encoding` and `Content-Transfer-Encoding`.",
    ),
    ImageDecodeError: Row(
        422,
        "The image is damaged",
        "Picture data of this exposure is missing, changed or inserted; the `detail` names the "
        "field and what was found.",
        "Copy the file from the camera or the card again, and see whether it opens completely in "
        "another programme.",
    ),
    UnsupportedImageError: Row(
        422,
        "The image is of a kind that is not fused",
        "The file is sound, but it has no single reading in RGB of 8 or 16 bits: it is animated, "
        "has several pages, holds floating point or high dynamic range, or an unknown layout. Or "
        "it is HEIC or camera raw and the service was installed without their decoders.",
        "Save the exposure as a JPEG, PNG or TIFF of 8 or 16 bits and send that. An operator adds "
        "the decoders by `make serve EXTRAS=service,client,raw,heic,jxl`.",
    ),
    ExposureError: Row(
        422,
        "The images do not form one set of exposures",
        "There are fewer than two or more than nine exposures, one is too small, or one does not "
        "show the same scene as the reference exposure; the `detail` names it.",
        "Send the exposures of one bracket only, all upright, two to nine of them. Exposures of "
        "several sizes need `align=auto` or `align=require`.",
    ),
    KeyReusedError: Row(
        422,
        "The Idempotency-Key was used for another request",
        "A request with other exposures or options came with the same `Idempotency-Key`, not long "
        "ago and from the same caller.",
        "Take a new key for each request; repeat one only with the very same body and options.",
    ),
    DocumentError: Row(
        422,
        "The document is not as expected",
        "The body of `POST /group` is not the JSON that it takes: a field is missing or of another "
        "type, or two frames have one name.",
        "Send what `/openapi.json` describes for `POST /group`; the `detail` names the field.",
    ),
    OptionError: Row(
        422,
        "An option is not accepted",
        "An option or a file field has an unknown name or comes twice, or an option has a value "
        "that it does not take, such as a format that cannot hold the picture.",
        "The `detail` names what was expected. All options and their values: `/openapi.json` and "
        "`docs/options.md`; the loaded weights: `GET /weights`.",
    ),
    AlignmentError: Row(
        422,
        "The images could not be aligned",
        "The option `align=require` asks for an alignment of every exposure, and at least one has "
        "none that passes the checks.",
        "Take `align=auto` to have such an exposure fused as it lies, leave it out, or take the "
        "bracket again from a steadier place.",
    ),
    ExpectationError: Row(
        417,
        "An expectation is not met here",
        "The header `Expect` asks for something other than `100-continue`.",
        "Leave the header out, or send `Expect: 100-continue`.",
    ),
    RateLimitError: Row(
        429,
        "Too many requests",
        "The key has used up the requests or the megapixels that it may ask for in a minute; or "
        "too many wrong keys came from this address.",
        _TRY_AGAIN + " `RateLimit` and `RateLimit-Policy` tell the limits of a key and what is "
        "left of them.",
        may_retry=True,
    ),
    TooManyConcurrentError: Row(
        429,
        "Too many requests at one time",
        "As many requests of this key are being answered as it may have at one time.",
        "Send the next request when one of the others is answered. `RateLimit-Policy` tells how "
        "many there may be.",
        may_retry=True,
    ),
    HeadTooLargeError: Row(
        431,
        "The headers are too large",
        "The request line and the headers together have more bytes than the bound.",
        "Send fewer or shorter headers, cookies above all. The bound is `max_head_bytes` at "
        "`GET /limits`.",
    ),
    DisconnectedError: Row(
        CLIENT_LEFT_STATUS,
        "The client left",
        "The client closed the connection before its answer. Nobody receives this problem: it "
        "stands in the log and in the metric `expofuse_requests_total`.",
        "Where there are many, compare the time limit of the clients, and of the proxies between, "
        "with `expofuse_request_seconds`.",
    ),
    InferenceError: Row(
        500,
        "The fusion failed",
        "The exposures were read, but their fusion failed on the device.",
        _ASK_OPERATOR,
        is_internal=True,
    ),
    EncodeError: Row(
        500,
        "The picture could not be written",
        "The exposures were fused, but the picture could not be written in the chosen format.",
        "Try another `format`. " + _ASK_OPERATOR,
        is_internal=True,
    ),
    CodecCrashError: Row(
        500,
        "The image could not be processed",
        "Two processes in a row died at this image, by a fault of a library or for lack of memory. "
        "They were replaced; other requests are not concerned.",
        "Save the image in another format and send that. " + _ASK_OPERATOR,
        is_internal=True,
    ),
    CodecError: Row(
        500,
        "The image could not be processed",
        "The process that reads and writes pictures failed for a reason that is not foreseen.",
        _ASK_OPERATOR,
        is_internal=True,
    ),
    TransferCodingError: Row(
        501,
        "Not a transfer coding that is taken here",
        "The body comes in a `Transfer-Encoding` other than `chunked`.",
        "Send it in chunks or with a `Content-Length`.",
    ),
    QueueFullError: Row(
        503,
        "The service is saturated",
        "The budgets for jobs, megapixels, bytes or connections are used up by other requests, the "
        "work of those before this one would take longer than a request may wait, or this caller "
        "has its share of the budgets already.",
        _TRY_AGAIN + " It is computed from the rate at which work is done. An operator adds "
        "replicas or raises the bounds: `docs/settings.md`.",
        may_retry=True,
    ),
    SharedMemoryError: Row(
        503,
        "The service is out of memory",
        "There is no room for the pixels of this request in the shared memory of the service.",
        _TRY_AGAIN + " An operator gives the container a larger `/dev/shm`: `docs/deployment.md`.",
        may_retry=True,
    ),
    ScarcityError: Row(
        503,
        "The system has nothing left for this request",
        "The service may open no more files, or the memory or the disk of its machine is used up.",
        _TRY_AGAIN + " An operator finds in the log, under the `request_id`, what is used up.",
        may_retry=True,
    ),
    WorkerStoppedError: Row(
        503,
        "The service is not ready",
        "The service is starting or shutting down, or a process of it is being replaced.",
        _TRY_AGAIN + " `GET /readyz` says when the service is ready.",
        may_retry=True,
    ),
    DeadlineError: Row(
        504,
        "The deadline passed",
        "The answer was not done within the time that a request has, waiting included.",
        "Send the request again when the service is less busy, or send smaller exposures. The "
        "bound is `deadline_s` at `GET /limits`.",
    ),
    CodecTimeoutError: Row(
        504,
        "The image took too long",
        "Decoding, alignment or encoding took longer than one call may take, twice.",
        "Send smaller exposures, or another `format` (AVIF is slow to write). The bound is "
        "`codec_timeout_s` at `GET /limits`.",
    ),
    HttpVersionError: Row(
        505,
        "Not a version of HTTP that is spoken here",
        "The request is of neither HTTP/1.1 nor HTTP/1.0.",
        "Speak HTTP/1.1. HTTP/2 belongs to a proxy in front of the service.",
    ),
    JobsOffError: Row(
        404,
        "This service keeps no jobs",
        "Jobs outlive the service in a folder, and no folder is set.",
        "Send the exposures to `POST /fuse` and wait for the picture, or ask the operator to set "
        "`EXPOFUSE_STATE_DIR`.",
    ),
    JobNotFoundError: Row(
        404,
        "There is no such job",
        "No job has this id, it was removed, or it belongs to another API key. Only the holder of "
        "a key can list jobs.",
        "Use the path that `Location` named when the job was accepted.",
    ),
    JobUnfinishedError: Row(
        409,
        "The job is not done",
        "The job waits or runs; there is no picture yet.",
        "Ask `GET /jobs/{id}` for its state until it is `done`, or have a webhook called.",
    ),
    JobGoneError: Row(
        410,
        "The picture is gone",
        "The job was cancelled, or its picture was kept for its time, or it gave way to newer ones "
        "because the folder was full.",
        "Send the exposures again and fetch the picture sooner. An operator can raise "
        "`EXPOFUSE_JOBS__KEEP_S` and `EXPOFUSE_JOBS__MAX_BYTES`.",
    ),
    JobLostError: Row(
        500,
        "The job was given up",
        "The whole service ended several times while this job ran, or the exposures of the job "
        "are no longer in the folder.",
        "Send one of the exposures alone with another to `POST /fuse` to find which one is at "
        "fault, and give the operator the `request_id`.",
    ),
    StorageFullError: Row(
        507,
        "There is no room for another job",
        "The folder of the jobs is full of those that are not done yet, or the disk is full.",
        f"{_TRY_AGAIN} An operator can raise `EXPOFUSE_JOBS__MAX_BYTES`.",
        may_retry=True,
    ),
}
"""The row of each class of error that a request can meet."""

HTTP_PROBLEMS: Final[dict[int, Row]] = {
    404: Row(
        404,
        "Not Found",
        "The service has no such path.",
        "`/openapi.json` lists the paths. Exposures are sent to `/fuse`.",
    ),
    405: Row(
        405,
        "Method Not Allowed",
        "The path does not take this method; the header `Allow` lists those that it takes.",
        "Exposures are sent by `POST`, everything else is read by `GET`.",
    ),
}
"""What the router itself answers, by status."""

INTERNAL_ROW: Final = Row(
    500,
    "Internal error",
    "Something failed that nobody foresaw; it is a fault of the service.",
    _ASK_OPERATOR,
    is_internal=True,
)

START_ONLY: Final = (
    "weights-mismatch",
    "device-unavailable",
    "child-start-failed",
    "address",
    "open-files",
    "tls",
    "bad-key-file",
    "jobs-setup",
)
"""Codes of errors that end the start and never meet a request."""


def http_code(status: int) -> str:
    """The code of what the router answers with a status.

    Example:
        >>> http_code(404)
        'http-404'
    """
    return f"http-{status}"


def _index_by_code() -> dict[str, Row]:
    rows = [(error.code, row) for error, row in PROBLEMS.items()]
    rows += [(http_code(status), row) for status, row in HTTP_PROBLEMS.items()]
    rows.append((INTERNAL_CODE, INTERNAL_ROW))
    return dict(sorted(rows, key=lambda entry: (entry[1].status, entry[0])))


PROBLEM_TYPES: Final = _index_by_code()
"""Every type of problem by its code, in the order of status and code."""

OUTCOMES: Final = (
    FUSED_OUTCOME,
    REUSED_OUTCOME,
    NOT_MODIFIED_OUTCOME,
    *sorted({error.code for error in PROBLEMS} | {INTERNAL_CODE, UNSETTLED_OUTCOME}),
)
"""Every value of the metric label `outcome`."""


def _sort_outcomes() -> dict[str, str]:
    """The kind of each outcome: whose affair it is that no picture was sent."""
    kinds = {
        FUSED_OUTCOME: FUSED_OUTCOME,
        REUSED_OUTCOME: REUSED_OUTCOME,
        NOT_MODIFIED_OUTCOME: REUSED_OUTCOME,
        ACCEPTED_OUTCOME: ACCEPTED_OUTCOME,
        UNSETTLED_OUTCOME: "failed",
    }
    for code, row in PROBLEM_TYPES.items():
        if row.status < 500:
            kinds[code] = "refused"
        else:
            kinds[code] = "shed" if row.may_retry else "failed"
    return kinds | {DisconnectedError.code: DisconnectedError.code}


_KIND_BY_OUTCOME: Final = _sort_outcomes()

OUTCOME_KINDS: Final = (
    FUSED_OUTCOME,
    REUSED_OUTCOME,
    "refused",
    "shed",
    "failed",
    DisconnectedError.code,
)
"""Outcomes by kind: fused; reused, where no fusion was needed; refused, for what the client sent or
is allowed (4xx); shed, for want of room or of a process (5xx that may be tried again); failed;
disconnected. Shed and failed are what an operator answers for."""

JOB_OUTCOME_KINDS: Final = (ACCEPTED_OUTCOME, "refused", "shed", "failed", DisconnectedError.code)
"""The same of `POST /jobs`."""

ENDED_OUTCOME_KINDS: Final = (FUSED_OUTCOME, "refused", "failed")
"""The same of a job that has ended: it waits for room, and nobody for it on a connection."""


def kind_of(outcome: str) -> str:
    """The kind of an outcome, one of `OUTCOME_KINDS`; `accepted` is its own.

    Example:
        >>> [kind_of(outcome) for outcome in ("fused", "queue-full", "bad-option", "codec-crashed")]
        ['fused', 'shed', 'refused', 'failed']
    """
    return _KIND_BY_OUTCOME.get(outcome, "failed")


def find_row(error: FusionError) -> Row:
    """The row of an error's class, or of the nearest class above it that has one."""
    for ancestor in type(error).__mro__:
        if ancestor in PROBLEMS:
            return PROBLEMS[ancestor]
    return INTERNAL_ROW


def type_of(code: str) -> str:
    """The `type` of a problem: the path of its page, or `about:blank` where there is no page.

    Example:
        >>> type_of("queue-full"), type_of("http-418")
        ('/problems/queue-full', 'about:blank')
    """
    return TYPE_PREFIX + code if code in PROBLEM_TYPES else NO_TYPE
