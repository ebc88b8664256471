import asyncio
from contextlib import ExitStack

import pytest

from expofuse.errors import PixelLimitError
from expofuse.files.headers import ImageHeader
from service.admission import Admission, count_megapixels, count_resized
from service.backlog import Backlog
from service.errors import QueueFullError, WorkerStoppedError
from service.settings import LimitSettings


@pytest.fixture
def admission(metrics):
    limits = LimitSettings(
        max_jobs=3,
        max_megapixels=8,
        max_megapixels_in_flight=10,
        max_upload_bytes=1000,
        max_body_bytes=600,
        caller_reserve=0,
    )
    return Admission(limits, metrics)


def make_admission(metrics, cores=2, **limits):
    return Admission(LimitSettings(**limits), metrics, Backlog(cores))


def refusals(metrics):
    family = next(one for one in metrics.registry.collect() if one.name == "expofuse_refusals")
    return {
        one.labels["reason"]: one.value
        for one in family.samples
        if one.name.endswith("_total") and one.value
    }


WORK = {"decode": 1.0, "fuse": 3.0}
SMALL_WORK = {"decode": 0.01, "fuse": 0.1}


def test_a_16_bit_image_counts_twice_and_the_larger_one_decides():
    small, large = ImageHeader("png", 1000, 1000, 8), ImageHeader("png", 2000, 1000, 8)
    assert count_megapixels([small, large]) == count_megapixels([large, small]) == 2
    assert count_megapixels([small, ImageHeader("tiff", 1000, 1000, 16)]) == 2


def test_every_further_exposure_counts_a_third_of_a_pair():
    header = ImageHeader("png", 3000, 1000, 8)
    assert [count_megapixels([header] * count) for count in (2, 3, 5, 9)] == [3, 4, 6, 10]
    assert count_megapixels([header] * 4 + [ImageHeader("png", 3000, 1000, 16)]) == 12


@pytest.mark.parametrize(
    ("sides", "reference", "expected"),
    [
        ([(4, 3), (4, 3)], None, 0),
        ([(4, 3), (3, 4)], None, 0),
        ([(4, 3), (4, 2)], None, 1),
        ([(4, 3), (4, 2), (4, 3)], None, 2),
        ([(4, 3), (4, 2), (4, 3)], 1, 1),
        ([(4, 3), (4, 2), (3, 4)], 3, 1),
        ([(4, 3), (4, 2), (4, 3)], 2, 2),
        ([(4, 3), (4, 2), (4, 1)], None, 2),
        ([(4, 3), (4, 2)], 6, 1),
    ],
)
def test_what_may_be_brought_to_another_size_is_counted_at_its_most(sides, reference, expected):
    headers = [ImageHeader("png", width * 1000, height * 1000, 8) for width, height in sides]
    assert count_resized(headers, reference) == expected
    largest = max(header.pixels for header in headers) / 1e6
    pictures = len(headers) + 1 + expected
    assert count_megapixels(headers, resized=expected) == pytest.approx(largest * pictures / 3)


def test_megapixels_are_refused_above_the_budget_and_given_back(admission, metrics):
    with admission.admit(6.0):
        with pytest.raises(QueueFullError, match=r"6\.0 are, and 5\.0 came"), admission.admit(5.0):
            pass
        with admission.admit(4.0):
            assert admission.jobs == 2
            assert metrics.megapixels_in_flight._value.get() == 10
            with pytest.raises(QueueFullError):
                admission.check_open()
    assert admission.jobs == 0
    assert metrics.megapixels_in_flight._value.get() == 0
    admission.check_open()


def test_a_pair_that_never_fits_is_told_so_and_not_asked_to_come_back(admission):
    with pytest.raises(PixelLimitError, match="at most 10 megapixels"), admission.admit(12.0):
        pass


def test_jobs_are_refused_above_their_number(admission):
    with admission.admit(1), admission.admit(1), admission.admit(1):
        with pytest.raises(QueueFullError, match="fewer than 3 jobs"):
            admission.check_open()
        with pytest.raises(QueueFullError), admission.admit(0.1):
            pass


def test_a_job_that_fails_gives_its_place_back(admission):
    with pytest.raises(ZeroDivisionError), admission.admit(9.0):
        raise ZeroDivisionError
    with admission.admit(9.0):
        pass


def test_bytes_are_refused_above_their_budget_and_given_back(admission, metrics):
    with admission.hold_upload() as first, admission.hold_upload() as second:
        first.take(600)
        with pytest.raises(QueueFullError, match="at most 1000 bytes"):
            second.take(401)
        second.take(400)
        first.release()
        second.take(600)
        assert metrics.upload_bytes._value.get() == 1000
    assert metrics.upload_bytes._value.get() == 0


def test_a_closed_admission_refuses_and_waits_for_those_inside(admission):
    async def scenario():
        with admission.admit(1):
            admission.close()
            with pytest.raises(WorkerStoppedError):
                admission.check_open()
            waiting = asyncio.create_task(admission.wait_idle())
            await asyncio.sleep(0)
            assert not waiting.done()
        await asyncio.wait_for(waiting, 1)

    asyncio.run(scenario())


def test_what_would_wait_too_long_is_refused_and_told_when_to_come_back(metrics):
    admission = make_admission(metrics, max_wait_s=9.5)
    with ExitStack() as inside:
        # Two cores: each job of 4 core seconds takes two seconds of the clock, and lets one pass.
        for _ in range(3):
            inside.enter_context(admission.admit(2.0, WORK))
        with pytest.raises(QueueFullError, match="takes 11") as first, admission.admit(2.0, WORK):
            pass
        with pytest.raises(QueueFullError) as second, admission.admit(2.0, WORK):
            pass
        with admission.admit(0.3, SMALL_WORK):
            pass
        admission.check_open()
    assert 1 <= first.value.retry_after_s < second.value.retry_after_s <= 60
    assert refusals(metrics) == {"wait": 2}
    with admission.admit(2.0, WORK):
        pass


def test_a_job_alone_is_never_refused_for_its_own_length(metrics):
    admission = make_admission(metrics, max_wait_s=1.0)
    with admission.admit(150.0, {"decode": 1000.0}):
        pass


def test_a_body_is_not_read_whose_job_would_wait_too_long_however_small(metrics):
    admission = make_admission(metrics, max_wait_s=0.001)
    with ExitStack() as inside:
        inside.enter_context(admission.admit(0.3, {"decode": 0.0, "fuse": 1e-9}))
        for _ in range(3):
            inside.enter_context(admission.admit(0.3, {}))
        job = inside.enter_context(admission.admit(0.3, {}))
        job.left["fuse"] = 1.0
        with pytest.raises(QueueFullError, match="to begin within"):
            admission.check_open()


def test_who_cannot_wait_so_long_is_told_at_once(metrics):
    admission = make_admission(metrics)
    with admission.admit(2.0, WORK):
        with (
            pytest.raises(QueueFullError, match=r"within 1\.0 s"),
            admission.admit(2.0, WORK, patience_s=1.0),
        ):
            pass
        with admission.admit(2.0, WORK, patience_s=4.0):
            pass


def test_one_caller_alone_has_all_but_the_reserve(metrics):
    admission = make_admission(metrics)
    with ExitStack() as inside:
        for _ in range(2):
            inside.enter_context(admission.admit(50.0, caller="hog"))
        with pytest.raises(QueueFullError, match="other callers"):
            inside.enter_context(admission.admit(50.0, caller="hog"))
        inside.enter_context(admission.admit(30.0, caller="hog"))
        # What is left is for those who hold little, the same address included.
        inside.enter_context(admission.admit(15.0, caller="other"))
        with pytest.raises(QueueFullError), admission.admit(3.0, caller="hog"):
            pass
    assert refusals(metrics) == {"share": 2}


def test_three_bombs_of_three_callers_leave_room_for_small_jobs(metrics):
    admission = make_admission(metrics)
    with ExitStack() as inside:
        for name in ("a", "b"):
            inside.enter_context(admission.admit(50.0, caller=name))
        with pytest.raises(QueueFullError):
            inside.enter_context(admission.admit(50.0, caller="c"))
        for _ in range(20):
            inside.enter_context(admission.admit(0.3, caller="d"))


def test_beside_others_a_caller_has_an_equal_share_of_a_contended_budget(metrics):
    admission = make_admission(metrics, max_jobs=16)
    with ExitStack() as inside:
        for _ in range(8):
            inside.enter_context(admission.admit(0.1, caller="hog"))
        inside.enter_context(admission.admit(0.1, caller="other"))
        with pytest.raises(QueueFullError, match="8 of them by this caller"):
            inside.enter_context(admission.admit(0.1, caller="hog"))
        for _ in range(5):
            inside.enter_context(admission.admit(0.1, caller="other"))
        inside.enter_context(admission.admit(0.1, caller="new"))


def test_a_caller_who_holds_nothing_is_not_refused_for_an_equal_share(metrics):
    admission = make_admission(metrics)
    with admission.admit(4.0, caller="a"), admission.admit(120.0, caller="b"):
        pass


def test_few_jobs_know_no_reserve(metrics):
    admission = make_admission(metrics, max_jobs=2)
    with admission.admit(0.1), admission.admit(0.1):
        pass


def test_the_waiting_time_has_shares_too(metrics):
    admission = make_admission(metrics, max_wait_s=19.0)
    with ExitStack() as inside:
        for _ in range(5):
            inside.enter_context(admission.admit(0.1, WORK, "hog"))
        # 10 s of the clock are before the next, which is told 18.8; 16.6 may be one caller's.
        with pytest.raises(QueueFullError):
            inside.enter_context(admission.admit(0.1, WORK, "hog"))
        inside.enter_context(admission.admit(0.1, WORK, "other"))


def test_what_a_caller_held_is_forgotten_with_its_last_job(metrics):
    admission = make_admission(metrics)
    with admission.admit(50.0, WORK, "a"), admission.admit_more(10.0, "a"):
        assert admission.backlog.sum_by_caller() == {"a": 4.0}
    assert admission._held == {}
    assert admission.backlog.sum_by_caller() == {}


def test_who_finds_every_place_taken_is_told_when_one_is_free(metrics):
    admission = make_admission(metrics, max_jobs=3, caller_reserve=0.0)
    with ExitStack() as inside:
        for number in range(3):
            inside.enter_context(admission.admit(0.1, WORK, str(number)))
        told = []
        for _ in range(3):
            with pytest.raises(QueueFullError) as refused:
                admission.check_open("late")
            told.append(refused.value.retry_after_s)
    # A job of 4 core seconds takes two of the clock; what is told is rounded up.
    assert 2 <= told[0] < told[1] < told[2] <= 7
