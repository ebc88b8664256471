"""Damaged requests to a real server: each is answered, and none confuses what follows."""

import json
import logging

import pytest

from tests.fuzz.answers import AnswerError
from tests.fuzz.corpus_files import CORPUS, list_cases, load_case, save_case
from tests.fuzz.forms import FormCase
from tests.fuzz.framing import Exchange
from tests.fuzz.judgement import check_answers, read_requests
from tests.fuzz.search import judging, search
from tests.integration.conftest import RELEASED, server_settings
from tests.server import running_server

CASES = 90
"""Of a short run; `python -m tests.fuzz --framing 2000` is the long one."""

GET = b"GET /%b HTTP/1.1\r\nHost: x\r\nX-Request-Id: %b\r\n\r\n"


@pytest.fixture(scope="module")
def judge(tmp_path_factory):
    logging.getLogger("python_multipart").setLevel(logging.ERROR)
    log_path = tmp_path_factory.mktemp("framing") / "server.log"
    with running_server(server_settings(RELEASED), log_path=log_path) as server:
        with judging(server) as one:
            yield one
        assert '"level": "error"' not in server.log()


@pytest.mark.e2e
@pytest.mark.parametrize("path", list_cases(), ids=lambda path: path.stem)
def test_what_failed_once_or_is_a_known_attack_is_answered_as_it_should_be(judge, path):
    case = load_case(path)
    answers = judge.check(case)
    ending = case.ending if isinstance(case, Exchange) else "wait"
    assert answers or ending in ("close", "reset", "half-close")


@pytest.mark.e2e
def test_damaged_forms_and_framing_are_answered(judge):
    found = search(judge, count=CASES, seed=11)
    assert found.failures == []
    assert sum(found.answers.values()) >= CASES
    assert sum(number for status, number in found.answers.items() if status >= 400) > CASES / 4


def test_the_same_seed_gives_the_same_cases():
    class Recorder:
        def __init__(self):
            self.seen = []

        def check(self, case):
            self.seen.append(case)
            return []

    first, second, other = Recorder(), Recorder(), Recorder()
    for recorder, seed in ((first, 3), (second, 3), (other, 4)):
        search(recorder, count=12, seed=seed)
    assert first.seen == second.seen != other.seen
    assert {type(case) for case in first.seen} == {Exchange, FormCase}


def test_a_failing_case_is_made_small():
    class Wrong:
        def check(self, case):
            # What is drawn depends on the modules that are loaded: only what is frequent is found.
            if isinstance(case, Exchange) and b"POST" in case.data:
                raise AnswerError("a body")
            return []

    found = search(Wrong(), count=300, seed=1, most_failures=1)
    (case, why), *_ = found.failures
    assert why == "a body"
    assert len(case.data) < 200


def test_a_case_is_the_same_when_it_is_read_back(tmp_path):
    framing = Exchange((b"\x00\xff", b"\r\n"), "reset", ids=("r0",), last="r0")
    form = FormCase("a; b", b"\x80", files=(b"\xff",), options={"a": "b"})
    for case in (framing, form, Exchange((b"",)), FormCase("", b"")):
        path = save_case(case, "why", tmp_path)
        assert load_case(path) == case
    assert all(json.loads(path.read_text())["why"] for path in CORPUS.glob("*.json"))


def test_requests_are_told_from_the_bodies_before_them():
    inner = GET % (b"healthz", b"inner")
    head = b"POST /healthz HTTP/1.1\r\nHost: x\r\nX-Request-Id: a\r\nContent-Length: %d\r\n\r\n"
    data = head % len(inner) + inner + b"\r\n" + GET % (b"healthz", b"b") + b"GET / HTTP/1.1\r\n"
    reading = read_requests(data)
    assert (reading.ids, reading.methods, reading.whole) == (["a", "b"], ["POST", "GET"], 2)


@pytest.mark.e2e
def test_an_answer_too_many_or_too_few_or_of_another_is_told(judge):
    sound = Exchange((GET % (b"healthz", b"r0") + GET % (b"version", b"r1"),), ids=("r0", "r1"))
    answers = judge.check(sound)
    reading = read_requests(sound.data)
    assert [answer.status for answer in answers] == [200, 200]
    for wrong in (answers[:1], [*answers, answers[1]], answers[::-1]):
        with pytest.raises(AnswerError):
            check_answers(sound, reading, wrong)
        with pytest.raises(AnswerError):
            check_answers(Exchange(sound.writes), reading, wrong)
    with pytest.raises(AnswerError, match="nothing behind"):
        check_answers(Exchange(sound.writes, last="r0"), reading, answers)
