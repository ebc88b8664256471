"""What is kept stays within its bounds, and a key stands for one request of one caller."""

import pytest

from service.errors import IdempotencyKeyError, KeyReusedError
from service.fusing import kept
from service.fusing.answering import read_idempotency_key
from service.fusing.kept import Answer, IdempotencyKeys, KeptAnswers
from service.fusing.tag import Names, matches

ONE, OTHER = Names("asked", '"tag"'), Names("other", '"other"')


@pytest.fixture
def clock(monkeypatch):
    """The time that the module sees; a test moves it on."""
    now = [1000.0]
    monkeypatch.setattr(kept.time, "monotonic", lambda: now[0])
    return now


def make_kept(max_bytes, *, max_age_s=None):
    shown = []
    answers = KeptAnswers(max_bytes, max_age_s=max_age_s, show_bytes=shown.append)
    return answers, shown


def answer(tag, size=10):
    return Answer(tag, bytes(size), "image/png", {}, kept.time.monotonic())


def test_what_was_used_longest_ago_gives_way():
    answers, shown = make_kept(30)
    for tag in "abc":
        answers.keep(answer(tag))
    assert answers.find("a") is not None
    answers.keep(answer("d"))
    assert [tag for tag in "abcd" if answers.find(tag)] == ["a", "c", "d"]
    assert shown[-1] == max(shown[:3]) == 30


def test_what_is_larger_than_the_bound_is_not_kept_and_costs_nothing():
    answers, shown = make_kept(30)
    answers.keep(answer("a"))
    answers.keep(answer("b", 31))
    assert answers.find("a") is not None
    assert answers.find("b") is None
    assert shown[-1] == 10


def test_an_answer_that_comes_again_is_counted_once():
    answers, shown = make_kept(30)
    for _ in range(5):
        answers.keep(answer("a"))
    assert shown[-1] == 10


def test_without_a_bound_of_bytes_nothing_is_kept():
    answers, _ = make_kept(0)
    answers.keep(answer("a"))
    assert answers.find("a") is None


def test_an_old_answer_is_given_up_however_often_it_is_used(clock):
    answers, shown = make_kept(30, max_age_s=60)
    answers.keep(answer("a"))
    for _ in range(6):
        clock[0] += 10
        assert answers.find("a") is not None
    clock[0] += 1
    assert answers.find("a") is None
    assert shown[-1] == 0


def test_a_key_stands_for_the_first_picture_of_its_request():
    keys = IdempotencyKeys(60)
    assert keys.claim("me", "k", ONE) == ONE.entity_tag
    after_reload = Names(ONE.asked, '"of other weights"')
    assert keys.claim("me", "k", after_reload) == ONE.entity_tag


def test_a_key_of_another_request_is_refused_and_still_stands_for_the_first():
    keys = IdempotencyKeys(60)
    keys.claim("me", "k", ONE)
    with pytest.raises(KeyReusedError):
        keys.claim("me", "k", OTHER)
    assert keys.claim("me", "k", ONE) == ONE.entity_tag


def test_keys_of_other_callers_are_not_met():
    keys = IdempotencyKeys(60)
    keys.claim("me", "k", ONE)
    assert keys.claim("you", "k", OTHER) == OTHER.entity_tag


def test_keys_are_forgotten_by_age_and_number(clock, monkeypatch):
    keys = IdempotencyKeys(60)
    keys.claim("me", "k", ONE)
    clock[0] += 61
    assert keys.claim("me", "k", OTHER) == OTHER.entity_tag
    monkeypatch.setattr(kept, "MAX_KEYS", 3)
    for number in range(3):
        keys.claim("me", str(number), ONE)
    assert keys.claim("me", "k", ONE) == ONE.entity_tag


@pytest.mark.parametrize(
    ("value", "key"),
    [('"a b"', "a b"), ("a-b", "a-b"), (" 8e03 ", "8e03"), ("k" * 255, "k" * 255)],
)
def test_keys_are_read_quoted_or_bare(value, key):
    assert read_idempotency_key([value]) == key


@pytest.mark.parametrize(
    "values", [[""], ['""'], ["k" * 256], ["a b"], ['a"b'], ["sch\xf6n"], ["a", "a"]]
)
def test_what_is_no_key_is_refused(values):
    with pytest.raises(IdempotencyKeyError, match="1 to 255 printable"):
        read_idempotency_key(values)


@pytest.mark.parametrize(
    ("value", "is_match"),
    [
        ('"tag"', True),
        ('W/"tag"', True),
        ('"x" , W/"y","tag"', True),
        (',, "tag",', True),
        ('"a,b", "tag"', True),
        ('"TAG"', False),
        ("tag", False),
        ("*", False),
        ('"tag', False),
        ('"tag" "x"', False),
        (",".join(['"x"'] * 5000), False),
        (" " * 30_000, False),
        ('"' * 30_000, False),
    ],
)
def test_entity_tags_are_compared_as_rfc_9110_says(value, is_match):
    assert matches(value, '"tag"') is is_match
