"""Each problem of the service has its class in the client."""

import pickle

import pytest

import expofuse.client.errors as theirs
from expofuse.client.errors import (
    FAMILY_OF_CODE,
    ClientError,
    ProblemDocument,
    ProblemError,
    UnexpectedAnswerError,
    make_error,
)
from service.problems import CLIENT_LEFT_STATUS, PROBLEMS

TYPE_PREFIX = "/problems/"
FAMILIES = {
    "alignment-failed": "ExposuresError",
    "bad-option": "OptionError",
    "body-too-large": "TooLargeError",
    "codec-crashed": "ServiceError",
    "codec-failed": "ServiceError",
    "codec-memory": "TooLargeError",
    "codec-timeout": "DeadlineError",
    "deadline-passed": "DeadlineError",
    "encode-failed": "ServiceError",
    "exposure-mismatch": "ExposuresError",
    "head-too-large": "RequestError",
    "idempotency-key-reused": "RequestError",
    "image-damaged": "ImageError",
    "inference-failed": "ServiceError",
    "job-gone": "RequestError",
    "job-lost": "ServiceError",
    "job-unfinished": "RequestError",
    "jobs-off": "RequestError",
    "length-required": "RequestError",
    "malformed-document": "RequestError",
    "malformed-idempotency-key": "RequestError",
    "malformed-multipart": "RequestError",
    "malformed-request": "RequestError",
    "not-acceptable": "OptionError",
    "no-such-job": "RequestError",
    "origin-not-allowed": "RequestError",
    "queue-full": "BusyError",
    "reload-failed": "RequestError",
    "rate-limited": "BusyError",
    "request-timeout": "DeadlineError",
    "scarcity": "BusyError",
    "shared-memory": "BusyError",
    "storage-full": "BusyError",
    "target-too-long": "RequestError",
    "too-many-concurrent": "BusyError",
    "too-many-pixels": "TooLargeError",
    "metadata-too-large": "TooLargeError",
    "unauthorized": "ApiKeyError",
    "unmet-expectation": "RequestError",
    "unsupported-coding": "RequestError",
    "unsupported-http-version": "ServiceError",
    "unsupported-image": "ImageError",
    "unsupported-media-type": "ImageError",
    "unsupported-transfer-coding": "ServiceError",
    "worker-stopped": "BusyError",
}
SENT = {error.code: row for error, row in PROBLEMS.items() if row.status != CLIENT_LEFT_STATUS}


def problem(problem_type, status, title="Title", detail="detail", retry_after_s=None):
    return ProblemDocument(problem_type, title, status, detail, "id-1", retry_after_s)


def test_every_problem_of_the_service_has_a_family():
    assert SENT.keys() == FAMILIES.keys()
    assert FAMILY_OF_CODE.keys() <= SENT.keys()


@pytest.mark.parametrize("code", FAMILIES)
def test_a_problem_becomes_an_error_of_its_family(code):
    row = SENT[code]
    error = make_error(problem(TYPE_PREFIX + code, row.status, row.title))
    assert type(error) is getattr(theirs, FAMILIES[code])
    assert (error.code, error.status, error.title) == (code, row.status, row.title)
    assert error.type.endswith(code)
    assert (error.request_id, error.detail, error.retry_after_s) == ("id-1", "detail", None)
    assert isinstance(error, ClientError)


@pytest.mark.parametrize(
    ("problem_type", "code"),
    [
        ("/problems/internal-error", "internal-error"),
        ("https://fusion.example/problems/bad-option", "bad-option"),
        ("/problems/bad-option", "bad-option"),
        ("about:blank", ""),
        ("", ""),
    ],
)
def test_the_code_is_the_last_part_of_the_type(problem_type, code):
    assert problem(problem_type, 400).code == code


@pytest.mark.parametrize(
    ("status", "family"),
    [
        (400, "RequestError"),
        (404, "RequestError"),
        (413, "TooLargeError"),
        (429, "BusyError"),
        (500, "ServiceError"),
        (502, "ServiceError"),
        (503, "BusyError"),
        (504, "DeadlineError"),
        (599, "ServiceError"),
    ],
)
def test_a_problem_that_is_not_known_goes_by_its_status(status, family):
    assert type(make_error(problem("about:blank", status))) is getattr(theirs, family)


def test_the_message_is_one_line_of_what_was_told():
    assert str(make_error(problem("about:blank", 404, "Not Found", ""))) == "404: Not Found"
    assert make_error(problem("x:y", 422)).message == "422: Title: detail"


@pytest.mark.parametrize(
    "error", [make_error(problem("x:queue-full", 503)), UnexpectedAnswerError("what", 301)]
)
def test_errors_cross_processes(error):
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert str(again) == str(error)
    assert again.status == error.status
    if isinstance(error, ProblemError):
        assert again.problem == error.problem
