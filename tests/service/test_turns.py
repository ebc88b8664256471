"""Whose call runs next: small jobs before large ones, and nobody waits for ever."""

from service.turns import AGEING, AT_ONCE, MAX_WORK_S, Turn, WaitingCalls


def waiting(*turns):
    calls = WaitingCalls()
    for index, turn in enumerate(turns):
        calls.add(index, turn)
    return calls


def drain(calls):
    return [calls.take() for _ in range(len(calls))]


def test_small_jobs_go_first_and_equal_ones_as_they_came():
    assert drain(waiting(Turn(2, 0), Turn(0.1, 1), Turn(2, 0), Turn(0.1, 1))) == [1, 3, 0, 2]


def test_a_large_job_is_overtaken_for_a_bounded_time_alone():
    latest = MAX_WORK_S / AGEING
    large = Turn(50, 0)
    before = [Turn(0, second) for second in range(int(latest))]
    after = [Turn(0, latest + second) for second in (0.1, 5, 50)]
    assert drain(waiting(large, *after, *before))[len(before)] == 0


def test_a_call_that_had_its_turn_goes_before_all_others():
    calls = waiting(AT_ONCE, Turn(0.1, 1))
    calls.add_first("again")
    calls.add("last", Turn(0.1, 2))
    assert drain(calls) == ["again", 0, 1, "last"]


def test_who_has_left_waits_no_more():
    calls = waiting(Turn(1, 0), Turn(2, 0), Turn(3, 0))
    calls.discard(1)
    calls.discard("never there")
    assert drain(calls) == [0, 2]
    calls.add(1, AT_ONCE)
    calls.clear()
    assert not calls


def test_of_equal_work_the_caller_who_holds_less_goes_first():
    assert drain(waiting(Turn(0.1, 0, 1.0), Turn(0.1, 1), Turn(0.1, 1, 0.5))) == [1, 2, 0]
