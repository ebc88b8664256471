import asyncio

import pytest

from expofuse.errors import PixelLimitError
from expofuse.files.headers import ImageHeader
from service.admission import Admission, count_megapixels, count_resized
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
    )
    return Admission(limits, metrics)


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
