"""Asking how far a request is: only by its own id, and only while it is being answered."""

from service.http.running import RunningRequests
from service.request_record import RequestRecord

SECRET = "0123456789abcdef0123456789abcdef"


def test_a_request_is_shown_while_it_is_answered():
    running, record = RunningRequests(), RequestRecord(SECRET, 5)
    assert running.describe(SECRET).stage == "none"
    with running.showing(record):
        assert running.describe(SECRET).stage == "receive"
        with record.stages.measure("decode"):
            assert running.describe(SECRET).stage == "decode"
        told = running.describe(SECRET)
        assert told.stages_ms.keys() == {"decode"}
        assert told.elapsed_s >= 0
        assert running.describe(SECRET[:-1]).stage == "none"
    assert running.describe(SECRET).stage == "none"


def test_a_job_waits_then_is_fused():
    running, record = RunningRequests(), RequestRecord(SECRET, 5)
    with running.showing(record):
        record.stages.current = "queue"
        record.find_place = lambda: 3
        told = running.describe(SECRET)
        assert (told.stage, told.place) == ("queue", 3)
        record.find_place = lambda: 0
        told = running.describe(SECRET)
        assert (told.stage, told.place) == ("fuse", 0)
        with record.stages.measure("encode"):
            assert running.describe(SECRET).stage == "encode"
        record.end = record.begin
        assert running.describe(SECRET).stage == "send"


def test_nothing_is_told_by_an_id_that_could_be_guessed():
    running, record = RunningRequests(), RequestRecord("photo-7", 5)
    with running.showing(record):
        assert running.describe("photo-7").stage == "none"


def test_of_two_requests_with_one_id_the_last_is_shown():
    running = RunningRequests()
    first, second = RequestRecord(SECRET, 5), RequestRecord(SECRET, 5)
    with running.showing(first):
        with running.showing(second), second.stages.measure("align"):
            assert running.describe(SECRET).stage == "align"
        assert running.describe(SECRET).stage == "none"
