"""How long one waits: by the work before one's turn and the rate at which it is done."""

import pytest

from service.backlog import CAUTION, LEAST_SHARE, MOST_SHARE, OVERTAKING_AT_START, Backlog
from service.turns import AGEING

CORES = 2


class Clock:
    def __init__(self):
        self.now_s = 100.0

    def __call__(self):
        return self.now_s


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def backlog(clock):
    return Backlog(CORES, clock=clock)


def add(backlog, work_s, caller="a"):
    turn = backlog.make_turn(work_s, caller)
    return backlog.add({"decode": work_s / 4, "fuse": work_s * 3 / 4}, turn, caller)


def expect_wait_s(backlog, work_s, caller="a"):
    """Without the caution that is in every told wait."""
    return backlog.expect_wait_s(backlog.make_turn(work_s, caller)) / CAUTION


def work_off(backlog, clock, jobs, *, work_s, seconds):
    """Keep so many jobs in the service, and finish one of so much work every second."""
    inside = [add(backlog, work_s) for _ in range(jobs)]
    for _ in range(seconds):
        clock.now_s += 1.0
        done = inside.pop(0)
        backlog.finish(done, "decode")
        backlog.finish(done, "fuse")
        backlog.remove(done)
        inside.append(add(backlog, work_s))
    for job in inside:
        backlog.remove(job)


def test_an_empty_service_lets_nobody_wait(backlog):
    assert expect_wait_s(backlog, 1000.0) == 0.0


def test_one_waits_for_the_work_before_ones_turn_and_for_what_overtakes_meanwhile(backlog):
    for _ in range(4):
        add(backlog, 1.0)
    ahead_s = 4.0 / CORES
    assert expect_wait_s(backlog, 1.0) == pytest.approx(ahead_s * (1 + OVERTAKING_AT_START))
    assert expect_wait_s(backlog, 0.1) == 0.0
    assert expect_wait_s(backlog, 50.0) == pytest.approx(ahead_s * (1 + OVERTAKING_AT_START))


def test_a_small_job_is_overtaken_for_a_moment_alone(backlog):
    for _ in range(100):
        add(backlog, 0.1)
    most_s = 0.1 / AGEING * OVERTAKING_AT_START
    assert expect_wait_s(backlog, 0.1) == pytest.approx(10.0 / CORES + most_s)


def test_what_a_job_has_done_is_waited_for_no_more(backlog):
    job = add(backlog, 4.0)
    assert backlog.work_s == pytest.approx(4.0)
    backlog.finish(job, "decode")
    assert backlog.work_s == pytest.approx(3.0)
    backlog.finish(job, "decode")
    backlog.finish(job, "encode")
    assert backlog.work_s == pytest.approx(3.0)
    backlog.remove(job)
    backlog.remove(job)
    assert backlog.work_s == 0.0
    assert backlog.sum_by_caller() == {}


@pytest.mark.parametrize(
    ("late_s", "least", "most"), [(1.0, 0.45, 0.55), (4.0, 1.0, 1.0), (-4.0, 0.0, 0.0)]
)
def test_how_long_jobs_are_overtaken_is_learned_from_those_that_end(
    backlog, clock, late_s, least, most
):
    for _ in range(300):
        before = [add(backlog, 1.0) for _ in range(4)]
        job = add(backlog, 1.0)
        for one in before:
            backlog.remove(one)
        # Two seconds of work stood before it, and one second is its own on one core.
        clock.now_s += 3.0 + late_s
        backlog.finish(job, "decode")
        backlog.finish(job, "fuse")
        backlog.remove(job)
    before = [add(backlog, 1.0) for _ in range(4)]
    assert least <= expect_wait_s(backlog, 1.0) / 2.0 - 1.0 <= most


def test_the_rate_is_measured_under_load(backlog, clock):
    assert backlog.rate == CORES
    work_off(backlog, clock, CORES, work_s=1.0, seconds=100)
    assert backlog.rate == pytest.approx(1.0, rel=0.1)
    work_off(backlog, clock, CORES, work_s=6.0, seconds=100)
    assert backlog.rate == pytest.approx(6.0, rel=0.1)


def test_a_single_client_who_takes_his_time_does_not_slow_the_rate_down(backlog, clock):
    work_off(backlog, clock, CORES - 1, work_s=0.1, seconds=100)
    assert backlog.rate == pytest.approx(CORES)


def test_a_rate_that_nothing_has_confirmed_for_long_is_forgotten(backlog, clock):
    work_off(backlog, clock, CORES, work_s=0.5, seconds=100)
    assert backlog.rate < CORES / 3
    clock.now_s += 600.0
    add(backlog, 1.0)
    assert backlog.rate == pytest.approx(CORES, rel=0.05)


@pytest.mark.parametrize(("work_s", "share"), [(0.0, LEAST_SHARE), (1000.0, MOST_SHARE)])
def test_no_rate_is_believed_that_is_out_of_reason(backlog, clock, work_s, share):
    work_off(backlog, clock, CORES, work_s=work_s, seconds=100)
    assert backlog.rate == CORES * share


def test_a_handful_of_jobs_waits_for_less_than_ten_seconds_however_slow_the_machine(backlog, clock):
    work_off(backlog, clock, CORES, work_s=0.0, seconds=300)
    for _ in range(8):
        add(backlog, 0.25)
    assert CAUTION * expect_wait_s(backlog, 0.25) < 10.0


def test_a_slow_machine_ages_jobs_slowly(backlog, clock):
    work_off(backlog, clock, CORES, work_s=0.5, seconds=100)
    jobs = [add(backlog, 0.5) for _ in range(CORES)]
    clock.now_s += 8.0
    age_s = backlog.make_turn(0.5, "a").begin_s - jobs[0].turn.begin_s
    assert age_s == pytest.approx(2.0, rel=0.3)


def test_of_several_callers_one_with_more_than_an_equal_share_stands_behind(backlog):
    for _ in range(6):
        add(backlog, 0.5, "hog")
    add(backlog, 0.5, "other")
    assert backlog.make_turn(0.5, "other").excess_s == pytest.approx(0.5 - 3.5 / 2)
    assert backlog.make_turn(0.5, "hog").excess_s == pytest.approx(3.0 - 3.5 / 2)
    assert expect_wait_s(backlog, 0.5, "new") < expect_wait_s(backlog, 0.5, "hog")


def test_where_all_have_one_address_nobody_stands_behind(backlog):
    for _ in range(6):
        add(backlog, 0.5, "proxy")
        assert backlog.make_turn(0.5, "proxy").excess_s == 0.0
